"""A trainer's folder as an archive that pip can install anywhere. Nothing of it is imported or run in this process."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import zipfile
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock.errors import AlreadyExistsError, NotFoundError, TrainingError, UsageError, did_you_mean
from penstock.store import blobs
from penstock.store.staging import StagedFolder

__all__ = ["build_package", "package_folder", "stage_packages"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LARGEST_BYTES = 200 * 1024 * 1024
_NEVER = {"__pycache__", "node_modules", "build", "dist"}
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_LEGACY_BUILD: dict[str, Any] = {
    "requires": ["setuptools>=61", "wheel"],
    "build-backend": "setuptools.build_meta:__legacy__",
}

# PEP 517, run inside the build environment: prints the name of the archive last.
_BUILD_SDIST = """
import importlib, sys
target, backend, *paths = sys.argv[1:]
sys.path[:0] = paths
name, _, attribute = backend.partition(":")
hooks = importlib.import_module(name)
for part in filter(None, attribute.split(".")):
    hooks = getattr(hooks, part)
print(hooks.build_sdist(target))
"""


def package_folder(module_name: str, package_path: str | None) -> Path:
    """The folder of the package that a module belongs to; by default the one of the module's first name, here.

    Raises UsageError or NotFoundError.
    """
    if not _MODULE.fullmatch(module_name):
        raise UsageError(f"--module-name is {module_name!r}; expected dotted names such as trainer.task")
    package = module_name.partition(".")[0]
    folder = Path(package_path or package).resolve()
    if not folder.is_dir():
        raise NotFoundError(f"there is no package folder {str(folder)!r}; name it with --package-path")
    if folder.name != package:
        raise UsageError(
            f"module {module_name!r} is of package {package!r}, but --package-path ends in {folder.name!r}"
        )
    if not (folder / "__init__.py").is_file():
        raise NotFoundError(f"{str(folder)!r} has no __init__.py, so it is not a package; add an empty one")
    if _build_system(folder.parent) is None:  # a build may make modules
        _check_module(module_name, folder)
    return folder


def build_package(folder: Path, *, target: Path, home: Path) -> list[Path]:
    """Archives of the package in `folder`, written into `target`; the first is the package itself.

    A setup.py or a pyproject.toml beside the package says what belongs to it: then it is a source archive, built in an
    environment of its own. Without either it is a wheel of the folder as it lies there, and a requirements.txt in it or
    beside it comes along. Raises TrainingError when the build fails, UsageError for a folder of more than 200 MB.
    """
    project = folder.parent
    build = _build_system(project)
    if build is not None:
        return [_source_archive(project, folder.name, build, target=target, home=home)]
    built = [_wheel(folder, target)]
    for place in (folder, project):
        requirements = place / "requirements.txt"
        if requirements.is_file():
            shutil.copyfile(requirements, target / "requirements.txt")
            return [*built, target / "requirements.txt"]
    return built


def stage_packages(files: Sequence[Path], base_uri: str) -> list[str]:
    """Copies archives to `base_uri/DIGEST/`, where their common SHA-256 is the name; returns their URIs."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    target = blobs.join(base_uri, digest.hexdigest())
    staged = StagedFolder(target, last=files[-1].name)
    with staged:
        for file in files:
            shutil.copyfile(file, staged.path / file.name)
        with suppress(AlreadyExistsError):  # the same archives, submitted before
            staged.publish()
    return [blobs.join(target, file.name) for file in files]


def _check_module(module_name: str, folder: Path) -> None:
    """Raises NotFoundError for a module that the package's folder does not hold, or that cannot be run."""
    place = folder.joinpath(*module_name.split(".")[1:])
    if place.is_dir():
        if not (place / "__main__.py").is_file():
            raise NotFoundError(
                f"{module_name!r} is a package without a __main__.py, so it cannot be run; name a module of it with "
                f"--module-name, such as {module_name}.task"
            )
        return
    if place.parent.is_dir() and any(file.name.startswith(f"{place.name}.") for file in place.parent.iterdir()):
        return
    there = sorted(f"{folder.name}.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__")
    known = f"; it has {', '.join(there[:8])}" if there else ""
    raise NotFoundError(
        f"package {str(folder)!r} has no module {module_name!r}{known}{did_you_mean(module_name, there)}"
    )


def _build_system(project: Path) -> dict[str, Any] | None:
    """What builds the project in this folder; None where there is none."""
    file = project / "pyproject.toml"
    if file.is_file():
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not TOML: {error}") from None
        if "build-system" in content:
            return _checked_build({**_LEGACY_BUILD, **content["build-system"]}, file)
        if "project" in content:
            return {**_LEGACY_BUILD, "build-backend": "setuptools.build_meta"}
    return _LEGACY_BUILD if (project / "setup.py").is_file() else None


def _checked_build(build: dict[str, Any], file: Path) -> dict[str, Any]:
    """The section as PEP 517 and 518 want it. Raises UsageError."""
    for name in ("requires", "backend-path"):
        value = build.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise UsageError(f"{file}: build-system.{name} is {value!r}; expected a list of texts")
    if not isinstance(build["build-backend"], str):
        raise UsageError(f"{file}: build-system.build-backend is {build['build-backend']!r}; expected a text")
    return build


def _source_archive(project: Path, package: str, build: dict[str, Any], *, target: Path, home: Path) -> Path:
    from penstock.jobs.installation import environment_with

    python = environment_with([str(one) for one in build["requires"]], home=home)
    with tempfile.TemporaryDirectory(prefix="penstock-build-") as scratch:
        copy = Path(scratch) / "project"
        _link_tree(project, copy)
        paths = [str(copy / one) for one in build.get("backend-path", ())]
        command = [str(python), "-c", _BUILD_SDIST, str(target.resolve()), str(build["build-backend"]), *paths]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise TrainingError(
            f"{project} does not build as a source archive: the build ended with status {done.returncode}"
            f"{':' if tail else ''}\n{tail}".rstrip()
        )
    archive = target / done.stdout.split()[-1]
    if not _holds(archive, package):
        raise TrainingError(
            f"the project in {project} leaves package {package!r} out of its archive {archive.name}; name it in "
            f"packages= of its setup.py, or in pyproject.toml"
        )
    return archive


def _link_tree(source: Path, copy: Path) -> None:
    """The project under another name, so that a build writes nothing into the user's. Files are linked, not copied."""
    for parent, folders, files in os.walk(source):
        here = copy / Path(parent).relative_to(source)
        here.mkdir(parents=True)
        folders[:] = [name for name in folders if not _is_left_out(Path(parent) / name)]
        for name in files:
            file = Path(parent) / name
            if not file.is_file():
                continue
            try:
                os.link(file, here / name)
            except OSError:
                shutil.copyfile(file, here / name)


def _is_left_out(folder: Path) -> bool:
    name = folder.name
    return name in _NEVER or name.startswith(".") or name.endswith(".egg-info") or (folder / "pyvenv.cfg").exists()


def _holds(archive: Path, package: str) -> bool:
    import tarfile

    with tarfile.open(archive) as content:
        return any(name.endswith(f"/{package}/__init__.py") for name in content.getnames())


def _wheel(folder: Path, target: Path) -> Path:
    """A wheel of a folder, the same bytes for the same files. See PEP 427."""
    name = folder.name
    files = {file.relative_to(folder.parent).as_posix(): file for file in _files(folder)}
    size = sum(file.stat().st_size for file in files.values())
    if size > _LARGEST_BYTES:
        raise UsageError(
            f"package {str(folder)!r} holds {size / 1e6:,.0f} MB; at most 200 MB travel with a job: keep data outside "
            "of the package and name its address in the trainer's arguments"
        )
    info = f"{name}-0.0.0.dist-info"
    texts = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: penstock\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = target / f"{name}-0.0.0-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        contents = ((inner, file.read_bytes()) for inner, file in files.items())
        for inner, data in [*contents, *((inner, text.encode()) for inner, text in texts.items())]:
            archive.writestr(_entry(inner), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{inner},sha256={digest},{len(data)}\n")
        archive.writestr(_entry(f"{info}/RECORD"), "".join([*record, f"{info}/RECORD,,\n"]))
    return path


def _files(folder: Path) -> Generator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_left_out(Path(parent) / name))
        for name in sorted(files):
            file = Path(parent) / name
            # Hidden files hold editors' state and passwords, not code.
            if not name.startswith(".") and not name.endswith(".pyc") and file.is_file():
                yield file


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
