"""A bundle as a folder or URI: read its manifest, verify its files, write a new one. Knows nothing of what made it."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from penstock.bundle.manifest import FORMAT_VERSION, Manifest
from penstock.errors import BundleError, NotFoundError, StoreError
from penstock.store import blobs

__all__ = [
    "MANIFEST_NAME",
    "BundleWriter",
    "bundle_digest",
    "copy_bundle",
    "find_bundle",
    "parse_manifest",
    "read_manifest",
    "verify",
]

MANIFEST_NAME = "bundle.json"

_MANIFEST_LIMIT_BYTES = 64 * 1024 * 1024


class _Format(msgspec.Struct):
    format_version: int


def read_manifest(uri: str) -> Manifest:
    """What `bundle.json` says, without reading the files that it lists.

    Raises NotFoundError when there is no such folder, BundleError when it is not a bundle, or of a format that this
    version of Penstock cannot read, StoreError when the place cannot be read.
    """
    return parse_manifest(_manifest_bytes(uri), uri)


def parse_manifest(content: bytes, uri: str) -> Manifest:
    """The manifest in the bytes of a `bundle.json`; `uri` is for messages. Raises BundleError as `read_manifest`."""
    try:
        version = msgspec.json.decode(content, type=_Format).format_version
    except msgspec.MsgspecError as error:
        raise BundleError(f"{MANIFEST_NAME} of {uri} is damaged: {error}") from error
    if version > FORMAT_VERSION:
        raise BundleError(
            f"the bundle {uri} is of format {version} and this Penstock reads formats up to {FORMAT_VERSION}; "
            "upgrade Penstock, or export the model again with this version"
        )
    if version < 1:
        raise BundleError(f"the bundle {uri} is of format {version}; formats are counted from 1")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{MANIFEST_NAME} of {uri} does not describe a bundle: {error}") from error
    for name in manifest.files:
        try:
            blobs.join(uri, name)
        except StoreError as error:
            raise BundleError(f"{MANIFEST_NAME} of {uri} names a file outside the bundle: {error}") from error
    if MANIFEST_NAME in manifest.files:
        raise BundleError(f"{MANIFEST_NAME} of {uri} lists itself; the digest of a file cannot be inside the file")
    return manifest


def verify(uri: str, *, progress: blobs.Progress | None = None) -> Manifest:
    """The manifest of a bundle, after every file that it lists was found to have the digest that it gives.

    Raises as `read_manifest` does, BundleError naming the first file that is missing or altered, and StoreError naming
    one that is a link, a pipe or otherwise no regular file. Files that the manifest does not list are no part of the
    bundle and are not looked at.
    """
    manifest = read_manifest(uri)
    _check_files(uri, manifest, lambda name: blobs.digest_file(uri, name, progress=progress))
    return manifest


def copy_bundle(uri: str, target_uri: str, *, progress: blobs.Progress | None = None) -> tuple[Manifest, bytes]:
    """Copies a bundle to `target_uri`, which appears there whole or not at all.

    Returns its manifest and the bytes of its `bundle.json`. Raises as `verify` does for the bytes that were copied,
    AlreadyExistsError when there is something at the target.
    """
    from penstock.store.staging import StagedFolder

    content = _manifest_bytes(uri)
    manifest = parse_manifest(content, uri)
    with StagedFolder(target_uri, last=MANIFEST_NAME) as staged:
        _check_files(uri, manifest, lambda name: blobs.copy_to_local(uri, name, staged.path / name, progress=progress))
        _write(staged.path / MANIFEST_NAME, content)
        staged.publish()
    return manifest, content


def bundle_digest(uri: str) -> str:
    """SHA-256 of `bundle.json`, which holds the digests of all other files: it stands for the whole bundle."""
    return hashlib.sha256(_manifest_bytes(uri)).hexdigest()


def find_bundle(uri: str) -> str:
    """The bundle at `uri`: itself, or the newest in the folders right inside it (an exporter's `export/NAME`).

    Newest is the highest number among folders named by a number, as exporters name them by the second of the export;
    without such folders, the last by name. Raises NotFoundError when there is no such folder, BundleError when it
    holds no bundle.
    """
    if blobs.exists(blobs.join(uri, MANIFEST_NAME)):
        return uri.rstrip("/")
    children = [name for name in blobs.child_folders(uri) if not name.startswith(".")]
    children.sort(key=lambda name: (name.isdecimal(), int(name) if name.isdecimal() else 0, name), reverse=True)
    for name in children:
        child = blobs.join(uri, name)
        if blobs.exists(blobs.join(child, MANIFEST_NAME)):
            return child
    if not blobs.exists(uri):
        raise NotFoundError(f"there is no folder {uri}")
    raise BundleError(
        f"{uri} is not a bundle: neither it nor a folder in it holds {MANIFEST_NAME}; "
        "expected what export_saved_model or an exporter wrote, such as output/export/Servo/1700000000"
    )


class BundleWriter:
    """Writes a bundle under a temporary name and publishes it whole.

    ::

        with BundleWriter(uri) as writer:
            writer.write("model.onnx", data)
            save(writer.path_of("trainer/model.keras"))
            writer.stage(manifest)      # writer.folder is now a whole bundle that can be loaded and checked
            writer.write("parity.json", report)
            manifest = writer.publish(manifest)

    Left without `publish`, by an exception or a kill, it leaves nothing at `uri`.
    """

    def __init__(self, uri: str) -> None:
        from penstock.store.staging import StagedFolder  # what only reads bundles starts sooner without

        self.uri = uri.rstrip("/")
        self._staged = StagedFolder(uri, last=MANIFEST_NAME)

    def __enter__(self) -> Self:
        self._staged.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staged.__exit__(kind, error, trace)

    @property
    def folder(self) -> Path:
        """The local staging folder."""
        return self._staged.path

    def path_of(self, name: str) -> Path:
        """Where to write the file called `name` (`/` makes folders, which are made here)."""
        path = Path(blobs.join(str(self.folder), name))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, content: bytes) -> None:
        """Writes a file in one go."""
        _write(self.path_of(name), content)

    def stage(self, manifest: Manifest) -> Manifest:
        """Writes `bundle.json` for the files written so far; returns the manifest with their digests. Repeatable."""
        names = sorted(name for name in blobs.list_files(str(self.folder)) if name != MANIFEST_NAME)
        digests = {name: blobs.digest_file(str(self.folder), name) for name in names}
        complete = msgspec.structs.replace(manifest, files=digests)
        content = msgspec.json.format(msgspec.json.encode(complete), indent=2)
        parse_manifest(content, self.uri)  # what is published can be read back
        _write(self.folder / MANIFEST_NAME, content)
        return complete

    def publish(self, manifest: Manifest) -> Manifest:
        """Stages and makes the bundle visible at `uri`. Raises AlreadyExistsError when something is there already."""
        complete = self.stage(manifest)
        self._staged.publish()
        return complete


def _manifest_bytes(uri: str) -> bytes:
    try:
        return blobs.read_bytes(uri, MANIFEST_NAME, limit_bytes=_MANIFEST_LIMIT_BYTES)
    except NotFoundError as error:
        if blobs.exists(uri):
            raise BundleError(
                f"{uri} is not a bundle: it holds no {MANIFEST_NAME}; expected a folder that an export wrote"
            ) from error
        raise NotFoundError(f"there is no folder {uri}") from error


def _check_files(uri: str, manifest: Manifest, digest_of: Callable[[str], str]) -> None:
    for name, expected in manifest.files.items():
        try:
            found = digest_of(name)
        except NotFoundError as error:
            raise BundleError(f"the bundle {uri} is incomplete: {name} is missing{_others(uri, manifest)}") from error
        if found != expected:
            raise BundleError(
                f"the bundle {uri} was altered: {name} has the SHA-256 {found[:12]}…, and {MANIFEST_NAME} says "
                f"{expected[:12]}…; export the model again"
            )


def _others(uri: str, manifest: Manifest) -> str:
    present: Iterable[str] = blobs.list_files(uri)
    also = sorted(set(manifest.files) - set(present))
    return f" ({len(also)} of {len(manifest.files)} files are)" if len(also) > 1 else ""


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from error
