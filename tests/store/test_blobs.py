"""Files of local folders: what is particular to them. What every place must do is in tests/seams."""

import doctest
import os
from pathlib import Path

import fsspec
import pytest

from penstock.errors import NotFoundError, StoreError, UsageError
from penstock.store import blobs


def test_examples_hold() -> None:
    assert doctest.testmod(blobs).failed == 0


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("file://localhost/a%20b", "/a b"),
        ("file:///%C3%A9", "/é"),
        ("/a/b%20c", "/a/b%20c"),
    ],
)
def test_local_addresses_are_paths(uri: str, path: str) -> None:
    assert blobs.is_local(uri)
    assert str(blobs.local_path(uri)) == path


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert blobs.absolute("output/export") == f"{tmp_path}/output/export"
    assert blobs.absolute("s3://bucket/x/") == "s3://bucket/x"


def test_a_file_address_of_another_host_is_refused() -> None:
    with pytest.raises(UsageError, match="names the host 'server'; write file:///server/share"):
        blobs.local_path("file://server/share")


def test_links_are_listed_and_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"123")
    (folder / "loop").symlink_to(folder)
    (folder / "link").symlink_to(folder / "sub" / "file")
    assert blobs.list_files(str(folder)) == {"link": 0, "loop": 0, "sub/file": 3}


def test_links_may_be_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"123")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "file").symlink_to(tmp_path / "elsewhere" / "file")
    (folder / "sub" / "gone").symlink_to(tmp_path / "nothing")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder / "sub")
    (folder / "sub" / "forth").symlink_to(tmp_path / "elsewhere")
    gone = ["linked/back/gone", "sub/gone"]
    found = ["linked/back/file", "linked/file", "sub/file", "sub/forth/file"]
    assert blobs.list_files(str(folder), follow_links=True) == dict.fromkeys(found, 3) | dict.fromkeys(gone, 0)


def test_a_file_that_is_named_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert blobs.read_uri(str(tmp_path / "link")) == blobs.read_uri(f"file://{tmp_path}/file") == b"123"
    fsspec.filesystem("memory").pipe("/bucket/file", b"12")
    assert blobs.read_uri("memory://bucket/file") == b"12"
    with pytest.raises(NotFoundError, match=r"there is no .*nothing"):
        blobs.read_uri(str(tmp_path / "nothing"))
    with pytest.raises(StoreError, match=r"cannot read .*: Is a directory"):
        blobs.read_uri(str(tmp_path))


def test_files_behind_links_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub").symlink_to(tmp_path)
    for name in ("link", "sub/secret"):
        with pytest.raises(StoreError, match="is a symbolic link"):
            blobs.read_bytes(str(folder), name)


@pytest.mark.timeout(20)
def test_devices_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(StoreError, match=r"is not a regular file|Is a directory"):
            blobs.read_bytes(str(tmp_path), name)


def test_a_folder_that_is_a_file_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotFoundError, match="is not a folder"):
        blobs.list_files(str(tmp_path / "file"))
    with pytest.raises(NotFoundError):
        blobs.read_bytes(str(tmp_path / "file"), "inside")


def test_deleting_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "1").symlink_to(tmp_path / "kept")
    blobs.remove_folder(str(tmp_path / "models" / "1"), under=str(tmp_path / "models"))
    assert (tmp_path / "kept" / "file").exists()
    assert list((tmp_path / "models").iterdir()) == []


def test_only_empty_folders_are_removed_as_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full" / "file").mkdir(parents=True)
    for name in ("empty", "full", "nowhere"):
        blobs.remove_empty_folder(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
