"""Failures of the operating system: one message with the file and the next move, wherever they happen."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usgan_cli import cli
from usgan_cli.core.images import codec
from usgan_cli.core.store import files
from usgan_cli.core.store.document import read_json
from usgan_cli.core.system_errors import as_message

FAILURES = (
    "ENOSPC", "EDQUOT", "EFBIG", "EIO", "ESTALE", "EROFS", "EACCES", "EPERM", "ENOENT", "ENAMETOOLONG", "ENOTDIR",
    "EISDIR", "EEXIST", "ENOTEMPTY", "ELOOP", "EMFILE", "ENFILE", "ENOMEM", "EBUSY", "ENOTCONN", "EXDEV",
)  # fmt: skip


def failure(name: str, *names: Any) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_has_the_file_the_reason_and_the_next_move(name: str) -> None:
    error = as_message(failure(name, "/w/data/.manifest.json.123.partial"))
    assert error is not None
    assert error.message == f"/w/data/manifest.json cannot be read or written: {os.strerror(getattr(errno, name))}."
    assert error.hint is not None
    assert error.hint.endswith(".")


def test_a_renaming_names_both_files_and_a_folder_of_parts_its_final_name() -> None:
    error = as_message(failure("EXDEV", "/w/.data.partial", None, b"/w/data"))
    assert error is not None
    assert error.message.startswith("/w/data to /w/data cannot")
    error = as_message(failure("EIO", "/w/.data.partial/images/a.png"))
    assert error is not None
    assert error.message.startswith("/w/data/images/a.png cannot")


def test_what_no_disk_explains_stays_a_bug() -> None:
    assert as_message(failure("EBADF")) is None
    assert as_message(OSError("a library's own")) is None


def fails(name: str) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise failure(name)  # without the file, as read and write do

    return fail


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("what", ["write", "sync", "rename", "read", "digest", "json", "image"])
def test_a_failure_names_its_file(name: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"{}")
    calls: dict[str, tuple[object, str, Callable[[], object]]] = {
        "write": (Path, "write_bytes", lambda: files.write_text(path, "x")),
        "sync": (os, "fsync", lambda: files.write_text(path, "x")),
        "rename": (Path, "replace", lambda: files.write_text(path, "x")),
        "read": (Path, "read_bytes", lambda: files.read_bytes(path)),
        "digest": (files.hashlib, "file_digest", lambda: files.sha256_file(path)),
        "json": (Path, "read_bytes", lambda: read_json(path)),
        "image": (Path, "read_bytes", lambda: codec.read_checked(path, "", 1)),
    }
    owner, attribute, call = calls[what]
    monkeypatch.setattr(owner, attribute, fails(name))
    with pytest.raises(Exception) as caught:
        call()
    monkeypatch.undo()
    error = as_message(caught.value) if isinstance(caught.value, OSError) else caught.value
    assert str(path) in str(error)
    assert path.read_bytes() == b"{}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("name", FAILURES)
def test_the_command_line_ends_with_one_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "write_bytes", fails(name))
    assert cli.run(["phantom", str(tmp_path / "p"), "--count", "9", "--size", "32"]) == 1
    monkeypatch.undo()
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{tmp_path / 'p'}" in err.replace("\n", "")
    assert os.strerror(getattr(errno, name)) in err
    assert "Traceback" not in err
    assert not (tmp_path / "p").exists()


def test_too_little_memory_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def greedy(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Path, "write_bytes", greedy)
    assert cli.run(["phantom", str(tmp_path / "p"), "--count", "9", "--size", "32"]) == 1
    assert "memory" in capsys.readouterr().err
