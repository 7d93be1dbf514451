"""Folders and archives that are hostile, or only strange."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_data import noise_folders, zipped

from usgan_cli.core.errors import DataError, UndecodableError
from usgan_cli.core.images import codec
from usgan_cli.data.source import files
from usgan_cli.data.source.files import FolderTree, ZipTree

PNG = codec.encode_png(np.zeros((1, 4, 4), np.uint8))


def archive(path: Path, members: dict[str, bytes], **options: object) -> ZipTree:
    with zipfile.ZipFile(path, "w", **options) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return ZipTree(path)


def reasons(tree: FolderTree | ZipTree) -> dict[str, str]:
    return {item.source: item.reason for item in tree.listing().left_out}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "deep"
    real.mkdir(parents=True)
    (real / "1.png").write_bytes(PNG)
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a" / "linked").symlink_to(real)
    (top / "a" / "one.png").symlink_to(real / "1.png")
    (top / "a" / "up").symlink_to(top)
    (top / "a" / "self").symlink_to(top / "a" / "self")
    (top / "a" / "gone.png").symlink_to(top / "nowhere")
    tree = FolderTree(top)
    assert set(tree.listing().files) == {"a/linked/1.png", "a/one.png"}
    assert reasons(tree) == {"a/up": files.LOOP, "a/self": files.NO_FILE, "a/gone.png": files.NO_FILE}


def test_special_files_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert reasons(FolderTree(tmp_path)) == {"pipe.png": files.NO_FILE}


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "locked").mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: Path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"a/locked cannot be read: Permission denied"):
        FolderTree(tmp_path).listing()


def test_a_link_in_a_circle_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("a.png")
    with pytest.raises(UndecodableError, match="cannot be read"):
        FolderTree(tmp_path).read("a.png")
    assert FolderTree(tmp_path).head("a.png", 4) == b""


def test_members_that_lead_outside_are_set_aside(tmp_path: Path) -> None:
    bad = ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png", "a/../b/2.png"]
    tree = archive(tmp_path / "x.zip", dict.fromkeys([*bad, "a/1.png", "./b/1.png", "c\\1.png"], PNG))
    found = tree.listing()
    assert set(found.files) == {"a/1.png", "b/1.png", "c/1.png"}
    assert {item.reason for item in found.left_out} == {files.OUTSIDE}
    assert len(found.left_out) == len(bad)
    assert found.folders == {"a", "b", "c"}
    assert tree.read("c/1.png") == PNG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        with out.open("a/bomb.png", "w", force_zip64=True) as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
        out.writestr("a/1.png", PNG)
        out.writestr("a/zeros.bmp", bytes(1 << 20))  # as compressible, but of a possible size
    tree = ZipTree(path)
    assert path.stat().st_size < 1 << 18
    assert set(tree.listing().files) == {"a/1.png", "a/zeros.bmp"}
    assert reasons(tree) == {"a/bomb.png": files.BOMB}


def test_a_member_that_lies_about_its_size_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    archive(path, {"a/1.png": bytes(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    assert data.count((1 << 20).to_bytes(4, "little")) == 2  # local header and directory
    path.write_bytes(data.replace((1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tree = ZipTree(path)
    assert tree.listing().files == ("a/1.png",)
    with pytest.raises(UndecodableError, match="cannot be read from the archive"):
        tree.read("a/1.png")


def test_a_member_whose_own_header_has_no_utf8_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    archive(path, {"ü/1.png": PNG, "ü/2.png": PNG})
    data = path.read_bytes()
    first = data.index("ü/1.png".encode())
    path.write_bytes(data[:first] + b"\x93" + data[first + 1 :])
    tree = ZipTree(path)
    assert set(tree.listing().files) == {"ü/1.png", "ü/2.png"}
    assert tree.read("ü/2.png") == PNG
    with pytest.raises(UndecodableError, match="cannot be read from the archive"):
        tree.read("ü/1.png")


def test_links_and_repeated_members(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
        out.writestr("a/1.png", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            out.writestr("a/1.png", PNG)
    tree = ZipTree(tmp_path / "x.zip")
    assert tree.listing().files == ("a/1.png",)
    assert tree.read("a/1.png") == PNG  # what unpacking would leave
    assert reasons(tree) == {"a/link.png": files.LINK, "a/1.png": files.REPLACED}


def test_a_damaged_member_has_a_reason(tmp_path: Path) -> None:
    tree = archive(tmp_path / "x.zip", {"a/1.png": PNG, "a/2.png": PNG + b"x"})
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[data.index(PNG) + len(PNG) // 2] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    assert len(tree.listing().files) == 2
    with pytest.raises(UndecodableError, match="archive"):
        tree.read("a/1.png")
    assert tree.read("a/2.png") == PNG + b"x"


def test_what_is_no_archive_or_encrypted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match=r"x\.zip cannot be read as a \.zip"):
        ZipTree(tmp_path / "x.zip").listing()
    archive(tmp_path / "locked.zip", {"a/1.png": PNG})
    data = bytearray((tmp_path / "locked.zip").read_bytes())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + offset] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        ZipTree(tmp_path / "locked.zip").listing()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOENT, errno.EMFILE])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_error_of_the_disk_leaves_no_image_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    """The next time it would be read, and the dataset would be another one."""
    folder = noise_folders(tmp_path / "in", {"a": 3, "b": 3})
    tree = FolderTree(folder) if kind == "folder" else ZipTree(zipped(folder, tmp_path / "in.zip"))
    name = tree.listing().files[0]

    def broken(*_: object, **__: object) -> bytes:
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr(Path, "read_bytes", broken)
    monkeypatch.setattr(zipfile.ZipExtFile, "read", broken)
    with pytest.raises(OSError, match=os.strerror(number)):
        tree.read(name)


def test_a_file_that_may_not_be_read_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = FolderTree(noise_folders(tmp_path / "in", {"a": 3, "b": 3}))

    def forbidden(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(UndecodableError, match="Permission denied"):
        tree.read("a/0.png")
