#!/bin/sh
# Compiles requirements/*.txt from pyproject.toml and requirements/*.in: hashed, for Linux and macOS on ARM.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
lock() {
    "$uv" pip compile --universal --generate-hashes --no-header --quiet --python-version 3.11 "$@"
}
lock requirements/uv.in -o requirements/uv.txt
lock pyproject.toml -o requirements/core.txt
lock requirements/serve.in -c requirements/core.txt -o requirements/serve.txt
cp requirements/serve.txt src/penstock/export/serve.txt  # goes into the images that `penstock export --to docker` writes
everyday="--extra export --extra beam --extra postgres --extra excel --extra cluster --extra grpc --extra cloud --extra sklearn --extra xgboost"
# shellcheck disable=SC2086
lock pyproject.toml $everyday --extra tensorflow --group dev -o requirements/full.txt
# shellcheck disable=SC2086
lock pyproject.toml $everyday --group dev -c requirements/full.txt -o requirements/dev.txt
