"""What every place must do that bundles are kept in: a folder, a file:// address, an object store."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.bundle.folder import BundleWriter, copy_bundle, find_bundle, read_manifest, verify
from penstock.errors import AlreadyExistsError, BundleError, MissingExtraError, NotFoundError, StoreError
from penstock.store import blobs

MakeBundle = Callable[..., Path]

NAMES = ["bundle.json", "model.onnx", "trainer/model.keras"]


def test_a_bundle_goes_there_and_comes_back(artifacts_uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    there = blobs.join(artifacts_uri, "local", "m", "1")
    manifest, _ = copy_bundle(str(bundle), there)
    assert verify(there) == manifest
    assert list(blobs.list_files(there)) == NAMES
    copy_bundle(there, str(tmp_path / "back"))
    for name in NAMES:
        assert (tmp_path / "back" / name).read_bytes() == (bundle / name).read_bytes()


def test_a_bundle_is_written_there(artifacts_uri: str, make_bundle: MakeBundle) -> None:
    manifest = read_manifest(str(make_bundle()))
    there = blobs.join(artifacts_uri, "été 🏠")
    with BundleWriter(there) as writer:
        writer.write("données.bin", b"x" * 10_000_000)
        assert not blobs.exists(there)
        writer.publish(manifest)
    assert set(verify(there).files) == {"données.bin"}
    assert blobs.list_files(there)["données.bin"] == 10_000_000


def test_nothing_is_written_over(artifacts_uri: str, make_bundle: MakeBundle) -> None:
    there = blobs.join(artifacts_uri, "1")
    copy_bundle(str(make_bundle("a")), there)
    with pytest.raises(AlreadyExistsError, match="is there already"):
        copy_bundle(str(make_bundle("b", graph=b"other")), there)
    assert blobs.read_bytes(there, "model.onnx") == b"graph"


def test_a_failed_copy_leaves_nothing_to_find(artifacts_uri: str, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    (bundle / "model.onnx").write_bytes(b"altered")
    there = blobs.join(artifacts_uri, "1")
    with pytest.raises(BundleError, match="was altered"):
        copy_bundle(str(bundle), there)
    assert not blobs.exists(there)


def test_exporters_folders_are_found(artifacts_uri: str, make_bundle: MakeBundle) -> None:
    exports = blobs.join(artifacts_uri, "export", "Servo")
    with pytest.raises(NotFoundError, match="there is no folder"):
        find_bundle(exports)
    assert blobs.child_folders(exports) == []
    for stamp in ("999", "1700000000", "1600000000"):
        copy_bundle(str(make_bundle(stamp)), blobs.join(exports, stamp))
    assert blobs.child_folders(exports) == ["1600000000", "1700000000", "999"]
    assert find_bundle(exports) == blobs.join(exports, "1700000000")
    assert find_bundle(blobs.join(exports, "999")) == blobs.join(exports, "999")


def test_missing_things_are_said_to_be_missing(artifacts_uri: str, make_bundle: MakeBundle) -> None:
    there = blobs.join(artifacts_uri, "1")
    with pytest.raises(NotFoundError, match="there is no folder"):
        blobs.list_files(there)
    with pytest.raises(NotFoundError):
        blobs.read_bytes(there, "bundle.json")
    with pytest.raises(NotFoundError, match="there is no folder"):
        read_manifest(there)
    copy_bundle(str(make_bundle()), there)
    with pytest.raises(NotFoundError):
        blobs.digest_file(there, "nothing.bin")
    with pytest.raises(StoreError, match="larger than 3 bytes"):
        blobs.read_bytes(there, "model.onnx", limit_bytes=3)


def test_folders_are_deleted_with_all_they_hold_and_nothing_else(artifacts_uri: str, make_bundle: MakeBundle) -> None:
    for number in ("1", "2"):
        copy_bundle(str(make_bundle(number)), blobs.join(artifacts_uri, number))
    blobs.remove_folder(blobs.join(artifacts_uri, "1"), under=artifacts_uri)
    assert not blobs.exists(blobs.join(artifacts_uri, "1"))
    verify(blobs.join(artifacts_uri, "2"))
    blobs.remove_folder(blobs.join(artifacts_uri, "1"), under=artifacts_uri)
    for outside in (artifacts_uri, artifacts_uri + "/", artifacts_uri + "/../other", artifacts_uri + "2", "/"):
        with pytest.raises(StoreError, match=r"will not delete|is not the name of a file"):
            blobs.remove_folder(outside, under=artifacts_uri)
    verify(blobs.join(artifacts_uri, "2"))


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a//b", ".", "a/../../b", "..\\b"])
def test_no_name_leads_outside(artifacts_uri: str, name: str) -> None:
    for act in (blobs.read_bytes, blobs.digest_file):
        with pytest.raises(StoreError, match="is not the name of a file inside"):
            act(artifacts_uri, name)


def test_an_address_of_an_unknown_kind_says_so() -> None:
    with pytest.raises(StoreError, match=r"cannot open nosuchscheme://a/b/bundle.json: Protocol not known"):
        read_manifest("nosuchscheme://a/b")


@pytest.mark.parametrize(("scheme", "library"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_an_object_store_without_its_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, scheme: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'penstock\[cloud\]'"):
        read_manifest(f"{scheme}://bucket/bundle")
