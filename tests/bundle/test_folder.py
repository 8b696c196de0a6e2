"""Bundles as folders: written whole, read with clear errors, verified file by file, copied, found."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from penstock.bundle.folder import MANIFEST_NAME, BundleWriter, copy_bundle, find_bundle, read_manifest, verify
from penstock.bundle.manifest import FORMAT_VERSION, BundleKind, Manifest, OutputTensor, Signature, Task
from penstock.data.schema import Column, DataType
from penstock.errors import AlreadyExistsError, BundleError, NotFoundError, StoreError

ROOMS = Column(name="RM", type=DataType.FLOAT)
MANIFEST = Manifest(
    format_version=FORMAT_VERSION,
    kind=BundleKind.TRAINED,
    task=Task.REGRESSION,
    signature=Signature(inputs=(ROOMS,), outputs=(OutputTensor(name="predictions", dtype="float32", shape=(None, 1)),)),
    graph_inputs=(ROOMS,),
    created="2026-11-23T12:00:00Z",
    metrics={"average_loss": 2.5},
)


def write_bundle(folder: Path, **facts: object) -> Path:
    with BundleWriter(str(folder)) as writer:
        writer.write("model.onnx", b"graph")
        writer.write("trainer/model.keras", b"weights")
        writer.publish(msgspec.structs.replace(MANIFEST, **facts))
    return folder


def test_a_written_bundle_reads_back_and_verifies(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "export" / "Servo" / "1700000000")
    manifest = verify(str(folder))
    assert manifest == read_manifest(str(folder))
    assert set(manifest.files) == {"model.onnx", "trainer/model.keras"}
    assert manifest.metrics == {"average_loss": 2.5}
    assert [path.name for path in folder.parent.iterdir()] == ["1700000000"], "the temporary name is gone"


def test_the_staging_folder_is_a_whole_bundle_before_it_is_published(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with BundleWriter(str(target)) as writer:
        writer.write("model.onnx", b"graph")
        writer.stage(MANIFEST)
        assert set(verify(str(writer.folder)).files) == {"model.onnx"}
        assert not target.exists()
        writer.write("parity.json", b"{}")
        writer.publish(MANIFEST)
    assert set(verify(str(target)).files) == {"model.onnx", "parity.json"}


def test_a_writer_left_by_an_exception_leaves_nothing(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with BundleWriter(str(tmp_path / "bundle")) as writer:
            writer.write("model.onnx", b"graph")
            raise RuntimeError("the parity check failed")

    with pytest.raises(RuntimeError, match="the parity check failed"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_never_replaces_what_is_there(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    with pytest.raises(AlreadyExistsError, match="bundle is there already"):
        write_bundle(tmp_path / "bundle", metrics={"average_loss": 1.0})
    assert verify(str(folder)).metrics == {"average_loss": 2.5}


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b", "", "a//b", "a\\b", "nul\0"])
def test_a_writer_refuses_names_that_lead_outside(tmp_path: Path, name: str) -> None:
    with BundleWriter(str(tmp_path / "bundle")) as writer, pytest.raises(StoreError, match="not the name of a file"):
        writer.write(name, b"x")


def test_a_missing_folder_and_a_folder_that_is_no_bundle_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no folder .*nowhere"):
        read_manifest(str(tmp_path / "nowhere"))
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"is not a bundle: it holds no bundle\.json"):
        read_manifest(str(tmp_path))


def test_an_altered_file_is_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "trainer" / "model.keras").write_bytes(b"other weights")
    with pytest.raises(BundleError, match=r"was altered: trainer/model\.keras"):
        verify(str(folder))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"incomplete: model\.onnx is missing"):
        verify(str(folder))


def test_a_file_in_place_of_a_folder_is_a_missing_file(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "trainer" / "model.keras").unlink()
    (folder / "trainer").rmdir()
    (folder / "trainer").write_text("not a folder")
    with pytest.raises(BundleError, match=r"incomplete: trainer/model\.keras is missing"):
        verify(str(folder))


def test_unlisted_files_are_no_part_of_a_bundle(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / ".DS_Store").write_bytes(b"finder")
    verify(str(folder))
    copy_bundle(str(folder), str(tmp_path / "copy"))
    assert not (tmp_path / "copy" / ".DS_Store").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "missing required field `format_version`"),
        (b'{"format_version": 1}', "does not describe a bundle"),
        (b'{"format_version": 2}', "is of format 2 and this Penstock reads formats up to 1; upgrade Penstock"),
        (b'{"format_version": 0}', "counted from 1"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(BundleError) as caught:
        read_manifest(str(tmp_path))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "trainer/../../outside"])
def test_a_manifest_cannot_name_files_outside_the_bundle(tmp_path: Path, name: str) -> None:
    hostile = msgspec.structs.replace(MANIFEST, files={name: "0" * 64})
    (tmp_path / MANIFEST_NAME).write_bytes(msgspec.json.encode(hostile))
    with pytest.raises(BundleError, match="names a file outside the bundle"):
        verify(str(tmp_path))


def test_a_manifest_cannot_list_itself(tmp_path: Path) -> None:
    hostile = msgspec.structs.replace(MANIFEST, files={MANIFEST_NAME: "0" * 64})
    (tmp_path / MANIFEST_NAME).write_bytes(msgspec.json.encode(hostile))
    with pytest.raises(BundleError, match="lists itself"):
        read_manifest(str(tmp_path))


def link_file(folder: Path) -> None:
    (folder / "model.onnx").rename(folder.parent / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def link_folder(folder: Path) -> None:
    (folder / "trainer").rename(folder.parent / "elsewhere")
    (folder / "trainer").symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", [link_file, link_folder, pipe])
def test_links_and_pipes_in_a_bundle_are_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = write_bundle(tmp_path / "bundle")
    spoil(folder)
    for act in (lambda: verify(str(folder)), lambda: copy_bundle(str(folder), str(tmp_path / "copy"))):
        with pytest.raises(StoreError, match=r"expected a regular file|is not a regular file"):
            act()
    assert not (tmp_path / "copy").exists()


def test_a_link_to_a_bundle_reads_as_the_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path / "1700000000")
    (tmp_path / "latest").symlink_to(tmp_path / "1700000000")
    assert verify(str(tmp_path / "latest")).metrics == {"average_loss": 2.5}


def test_a_copy_holds_the_same_bytes(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    seen: list[int] = []
    manifest, content = copy_bundle(str(folder), str(tmp_path / "copy"), progress=seen.append)
    assert manifest == verify(str(tmp_path / "copy"))
    assert content == (tmp_path / "copy" / MANIFEST_NAME).read_bytes() == (folder / MANIFEST_NAME).read_bytes()
    assert sum(seen) == len(b"graph") + len(b"weights")


def test_a_copy_of_an_altered_bundle_does_not_appear(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "model.onnx").write_bytes(b"grapH")
    with pytest.raises(BundleError, match=r"was altered: model\.onnx"):
        copy_bundle(str(folder), str(tmp_path / "copy"))
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_names_in_any_script_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "модель 🏠"
    with BundleWriter(str(folder)) as writer:
        writer.write("trainer/données à jour.json", b"{}")
        writer.publish(MANIFEST)
    copy_bundle(str(folder), str(tmp_path / "複製"))
    assert set(verify(str(tmp_path / "複製")).files) == {"trainer/données à jour.json"}


def test_the_newest_export_of_an_exporter_is_found(tmp_path: Path) -> None:
    for name in ("999", "1700000000", "1700000001", "temp-copy"):
        write_bundle(tmp_path / "Servo" / name)
    (tmp_path / "Servo" / "1800000000").mkdir()
    assert find_bundle(str(tmp_path / "Servo")) == str(tmp_path / "Servo" / "1700000001")
    assert find_bundle(f"{tmp_path}/Servo/999/") == str(tmp_path / "Servo" / "999")


def test_a_folder_without_a_bundle_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"neither it nor a folder in it holds bundle\.json"):
        find_bundle(str(tmp_path / "empty"))
    with pytest.raises(NotFoundError, match="there is no folder"):
        find_bundle(str(tmp_path / "nowhere"))


WRITE_FOREVER = """
import sys, msgspec
from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import Manifest
manifest = msgspec.json.decode(sys.argv[2], type=Manifest)
print("ready", flush=True)
for number in range(1_000_000):
    with BundleWriter(f"{sys.argv[1]}/{number}") as writer:
        for part in range(5):
            writer.write(f"part-{part}", b"x" * 20_000)
        writer.publish(manifest)
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_writer_killed_at_any_moment_leaves_whole_bundles_and_the_next_one_clears_its_rest(
    tmp_path: Path, seed: int
) -> None:
    words = [sys.executable, "-c", WRITE_FOREVER, str(tmp_path), msgspec.json.encode(MANIFEST).decode()]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.1 + random.Random(seed).random() * 0.1)
        writer.send_signal(signal.SIGKILL)
    left = [path.name for path in tmp_path.iterdir()]
    bundles = [name for name in left if not name.startswith(".")]
    assert bundles
    for name in bundles:
        assert len(verify(str(tmp_path / name)).files) == 5
    write_bundle(tmp_path / "after")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*bundles, "after"])
