"""Makes a trainer's packages importable for one job: unpacked beside it, what they require in a cached environment.

`python -m penstock.jobs.installation REQUEST.json` does it as a process of its own, whose output goes to the job's log.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import penstock.errors as errors
from penstock.store import blobs

__all__ = ["Runtime", "environment_with", "install", "install_plain_wheels", "main", "request_installation"]

_PLAIN_WHEEL = "-py3-none-any.whl"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_FALLBACK = "zz-penstock.pth"


@dataclass(frozen=True)
class Runtime:
    """python: the interpreter to run a trainer with. paths: what goes in front of its `sys.path`."""

    python: str
    paths: list[str]


def install_plain_wheels(packages: Sequence[str], *, folder: Path) -> Runtime | None:
    """The runtime of packages that only need unpacking, at once; None when there is more to do.

    packages: paths or URIs of archives. folder: the job's.
    """
    if not all(blobs.is_local(uri) and uri.endswith(_PLAIN_WHEEL) for uri in packages):
        return None
    wheels = [blobs.local_path(uri) for uri in packages]
    if any(_requirements_of(wheel) for wheel in wheels if wheel.is_file()):
        return None
    return Runtime(sys.executable, [str(_unpack(wheels, folder / "site"))] if wheels else [])


def install(packages: Sequence[str], *, folder: Path, home: Path) -> Runtime:
    """The runtime of any packages: wheels, source archives, requirement files.

    home: where environments and built wheels are cached. Raises TrainingError, and NotFoundError for an archive that is
    not there.
    """
    local = [_fetch(uri, folder / "packages") for uri in packages]
    wheels = [_wheel_of(file, home) for file in local if file.suffix != ".txt"]
    required = [line for wheel in wheels for line in _requirements_of(wheel)]
    for file in local:
        if file.suffix == ".txt":
            required += _lines_of(file)
    required = [
        line for line in required if line.strip() and not line.lstrip().startswith("#") and not _is_penstock(line)
    ]
    site = _unpack(wheels, folder / "site")
    if not required:
        return Runtime(sys.executable, [str(site)])
    return Runtime(str(environment_with(required, home=home, with_penstock=True)), [str(site)])


def environment_with(requirements: Sequence[str], *, home: Path, with_penstock: bool = False) -> Path:
    """The interpreter of an environment that holds exactly these requirements, made when first asked for.

    with_penstock: whether what is not found in it is looked for where Penstock is installed. pip never sees that, so
        what the requirements lead to is whole in itself and comes first.
    Raises TrainingError with pip's last words.
    """
    base = [sys.version, sys.prefix, str(_penstock_folder())] if with_penstock else [sys.version]
    key = hashlib.sha256(json.dumps([sorted(requirements), *base]).encode()).hexdigest()[:20]
    folder = home / "environments" / key
    python = folder / "bin" / "python"
    complete = folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another job that installs the same requirements")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists() and python.exists():
            os.utime(complete)
            return python
        shutil.rmtree(folder, ignore_errors=True)
        _say(f"making an environment for: {', '.join(line.strip() for line in requirements if line.strip())}")
        _make_environment(folder, requirements)
        if with_penstock:
            places = [*dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")), _penstock_folder()]
            site = next((folder / "lib").glob("python3*/site-packages"))
            (site / _FALLBACK).write_text("".join(f"{place}\n" for place in places))
        complete.touch()
    return python


def request_installation(packages: Sequence[str], *, folder: Path, home: Path) -> list[str]:
    """The command that installs them; on success it leaves the Runtime in `folder/runtime.json`."""
    request = folder / "installation.json"
    request.write_text(json.dumps({"packages": list(packages), "folder": str(folder), "home": str(home)}))
    return [sys.executable, "-P", "-m", "penstock.jobs.installation", str(request)]


def main(arguments: Sequence[str]) -> int:
    """Carries out a request; exit status 0, or 1 with the reason on stderr."""
    request = json.loads(Path(arguments[0]).read_text())
    try:
        runtime = install(request["packages"], folder=Path(request["folder"]), home=Path(request["home"]))
    except errors.PenstockError as error:
        print(f"ERROR: {error}", file=sys.stderr)  # noqa: T201 - this process's job is to say it
        return 1
    (Path(request["folder"]) / "runtime.json").write_text(json.dumps(asdict(runtime)))
    return 0


def _fetch(uri: str, folder: Path) -> Path:
    if blobs.is_local(uri):
        path = blobs.local_path(uri)
        if not path.is_file():
            raise errors.NotFoundError(f"there is no package {uri}")
        return path
    parent, _, name = uri.rpartition("/")
    # Two packages may have one name in different folders.
    target = folder / hashlib.sha256(uri.encode()).hexdigest()[:12] / name
    blobs.copy_to_local(parent, name, target)
    return target


def _lines_of(requirements: Path) -> list[str]:
    try:
        return requirements.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise errors.TrainingError(f"{requirements.name} is not text in UTF-8: {error}") from None


def _wheel_of(archive: Path, home: Path) -> Path:
    """The archive itself if it is a wheel, else the wheel built from it, kept by the archive's digest."""
    if archive.suffix == ".whl":
        return archive
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:20]
    folder = home / "environments" / "wheels" / f"{digest}-{sys.version_info[0]}.{sys.version_info[1]}"
    if not list(folder.glob("*.whl")):
        _say(f"building {archive.name}")
        builder = environment_with(["setuptools>=61", "wheel", "pip>=23"], home=home)
        scratch = folder.with_name(f"{folder.name}-{os.getpid()}")
        command = [
            str(builder),
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(scratch),
            str(archive),
        ]
        _run(command, f"building {archive.name}")
        try:
            scratch.rename(folder)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)  # another job built it meanwhile
    return next(folder.glob("*.whl"))


def _requirements_of(wheel: Path) -> list[str]:
    """What a wheel requires, its extras left out. Raises TrainingError for a file that is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as content:
            names = [name for name in content.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            lines = content.read(names[0]).decode("utf-8", "replace").splitlines() if names else []
    except (OSError, zipfile.BadZipFile) as error:
        raise errors.TrainingError(f"package {wheel} cannot be read as a wheel: {error}") from None
    header = lines[: lines.index("")] if "" in lines else lines
    found = [line.removeprefix("Requires-Dist:").strip() for line in header if line.startswith("Requires-Dist:")]
    return [line for line in found if not re.search(r"extra\s*==", line) and not _is_penstock(line)]


def _unpack(wheels: Sequence[Path], site: Path) -> Path:
    """All wheels side by side in `site`. Raises TrainingError for one with a file that would land elsewhere."""
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as content:
                for name in content.namelist():
                    inner = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", name)
                    if inner.endswith("/") or re.match(r"[^/]+\.data/", inner):
                        continue
                    target = site / inner
                    if ".." in Path(inner).parts or Path(inner).is_absolute():
                        raise errors.TrainingError(
                            f"package {wheel.name} holds {name!r}, which leads out of its folder"
                        )
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read(name))
        except (OSError, zipfile.BadZipFile) as error:
            raise errors.TrainingError(f"package {wheel} cannot be unpacked: {error}") from None
    return site


def _make_environment(folder: Path, requirements: Sequence[str]) -> None:
    import venv

    outer_pip = importlib.util.find_spec("pip") and _pip_version() >= (22, 3)
    # A pip of its own takes seconds; one that is there already can install for others, unless it is asked for.
    own = not outer_pip or any(_name_of(line) == "pip" for line in requirements)
    venv.EnvBuilder(with_pip=own, symlinks=True, clear=True).create(folder)
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip"] if own else [sys.executable, "-m", "pip", "--python", python]
    file = folder / "requirements.txt"
    file.write_text("\n".join(requirements) + "\n")
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--quiet"]
    _run([*command, "install", *options, "-r", str(file)], "installing the requirements")


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise errors.TrainingError(f"{what} failed:\n{tail}")


def _pip_version() -> tuple[int, ...]:
    from importlib.metadata import version

    return tuple(int(part) for part in version("pip").split(".")[:2] if part.isdecimal())


def _name_of(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


def _is_penstock(requirement: str) -> bool:
    return _name_of(requirement) == "penstock"


def _penstock_folder() -> Path:
    return Path(errors.__file__).resolve().parents[1]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - stderr is the job's log, or the submitter's terminal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
