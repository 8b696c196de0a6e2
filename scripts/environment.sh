#!/bin/sh
# Makes .venv hold exactly what requirements/$1.txt locks ("core", "dev" or "full"), and Penstock itself in place.
# Does nothing when it already does; rebuilds it when it is stale, half-made or its interpreter is gone.
set -eu

want=${1:?usage: environment.sh core|dev|full}
cd "$(dirname "$0")/.."
venv=$PWD/.venv
stamp=$venv/.penstock-environment

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "environment: no Python from 3.11 to 3.14 on PATH; install one, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}

digest_of() {
    cat "requirements/$1.txt" requirements/uv.txt pyproject.toml scripts/environment.sh | cksum | tr -d ' \n'
    echo " $1 $venv"
}

works() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import penstock, click, numpy' >/dev/null 2>&1
}

# Each set contains the one before it: a demo after the tests needs nothing new.
case $want in
    core) enough="core dev full" ;;
    dev) enough="dev full" ;;
    *) enough=$want ;;
esac
for made in $enough; do
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(digest_of "$made")" ] && works; then
        exit 0
    fi
done

# What has a stamp was whole once and is brought up to date in place; anything else is made anew.
if ! { [ -f "$stamp" ] && works && "$venv/bin/uv" --version >/dev/null 2>&1; }; then
    python=$(find_python)
    rm -rf "$venv"
    echo "environment: making .venv with $("$python" --version)" >&2
    "$python" -m venv "$venv" || {
        rm -rf "$venv"
        echo "environment: this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
fi
rm -f "$stamp"
echo "environment: installing requirements/$want.txt" >&2
# Compiled at once: an environment with PYTHONDONTWRITEBYTECODE would else compile Keras anew at every start.
"$venv/bin/uv" pip sync --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes requirements/uv.txt "requirements/$want.txt"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD/src" > "$site/penstock.pth"
cat > "$venv/bin/penstock" <<RUN
#!/bin/sh
'''exec' "$venv/bin/python" "\$0" "\$@"
' '''
from penstock.cli.main import main

main()
RUN
chmod +x "$venv/bin/penstock"
digest_of "$want" > "$stamp"
