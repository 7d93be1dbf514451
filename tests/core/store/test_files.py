"""Files are whole or absent, digests are those of the standard, and a lock says who holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.errors import BusyError
from usgan_cli.core.store import files

# FIPS 180-2, appendix B.1: the digest of "abc".
SHA256_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

HOLD = """
import sys, time
from pathlib import Path
from usgan_cli.core.store import files
with files.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

ADD_ONE = """
import sys, time
from pathlib import Path
from usgan_cli.core.store import files
path = Path(sys.argv[1])
with files.locked(path, wait_s=20):
    count = int(path.read_text())
    time.sleep(0.1)
    files.write_text(path, str(count + 1))
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_digests_are_those_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256_bytes(b"abc") == SHA256_ABC
    assert files.sha256_file(tmp_path / "abc") == SHA256_ABC


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none()), max_size=6))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert files.digest_json(value) == files.digest_json(turned)


def test_a_digest_tells_values_apart_and_refuses_nan() -> None:
    assert files.digest_json({"a": 1}) != files.digest_json({"a": "1"})
    assert files.digest_json([1, 2]) != files.digest_json([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        files.digest_json(float("nan"))


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    files.write_text(path, "ä first")
    assert path.read_bytes() == "ä first".encode()
    with pytest.raises(RuntimeError, match="on the way"), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "ä first"
        raise RuntimeError("on the way")
    assert path.read_text() == "ä first"
    assert names(path.parent) == ["file.txt"]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    for leftover in (".x.json.17.partial", ".y.json.17.partial", ".x.json.more.17.partial"):
        (tmp_path / leftover).write_text("half")
    with files.locked(tmp_path / "x.json"):
        assert not (tmp_path / ".x.json.17.partial").exists()
    # Temporary files of other artefacts may be in use by processes that hold their locks.
    assert (tmp_path / ".y.json.17.partial").exists()
    assert (tmp_path / ".x.json.more.17.partial").exists()


def test_clearing_spares_all_but_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in (".a.json.12.partial", "sub/.b.12.partial", "tensors.partial", ".hidden", "c.json"):
        (tmp_path / name).write_text("x")
    files.clear_partial(tmp_path)
    assert names(tmp_path) == [".hidden", "c.json", "sub", "tensors.partial"]
    assert names(tmp_path / "sub") == []


def test_a_lock_held_elsewhere_is_an_error_that_says_who(tmp_path: Path) -> None:
    path = tmp_path / "artefact"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=rf"artefact is being written by process {other.pid}\.\n.*Wait"):
            files.locked(path).__enter__()
        # The one that was refused must not have taken the holder's name away.
        assert json.loads((tmp_path / ".artefact.holder").read_text())["pid"] == other.pid
        assert str(other.pid) in (files.holder_of(path) or "")
    finally:
        other.kill()
        other.wait()
    # A killed holder holds nothing, though its name is still there.
    assert (tmp_path / ".artefact.holder").exists()
    assert files.holder_of(path) is None
    with files.locked(path):
        assert json.loads((tmp_path / ".artefact.holder").read_text())["pid"] == os.getpid()
    assert not (tmp_path / ".artefact.holder").exists()


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "artefact"
    held, seen = threading.Event(), []

    def hold() -> None:
        with files.locked(path):
            held.set()
            time.sleep(0.3)
            seen.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with files.locked(path, wait_s=20):
        seen.append("second")
    thread.join()
    assert seen == ["first", "second"]


def test_nothing_is_lost_between_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", ADD_ONE, str(path)]) for _ in range(3)]
    assert [worker.wait(timeout=30) for worker in workers] == [0, 0, 0]
    assert path.read_text() == "3"


def test_a_lock_is_released_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.locked(tmp_path / "x"):
        raise RuntimeError
    with files.locked(tmp_path / "x"):
        pass
    assert not (tmp_path / ".x.holder").exists()


def test_a_lock_that_is_claimed_to_clear_up_is_waited_for(tmp_path: Path) -> None:
    claimed, seen = threading.Event(), []

    def claim() -> None:
        with files.claimed(tmp_path / "x"):
            claimed.set()
            time.sleep(0.3)
            seen.append("cleared")

    thread = threading.Thread(target=claim)
    thread.start()
    claimed.wait()
    with pytest.raises(BusyError), files.claimed(tmp_path / "x"):
        pass
    with files.locked(tmp_path / "x"):
        seen.append("locked")
    thread.join()
    assert seen == ["cleared", "locked"]


def test_a_lock_whose_holder_says_nothing_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CLEARING_S", 0.2)
    with (
        files.claimed(tmp_path / "x"),
        pytest.raises(BusyError, match="another process"),
        files.locked(tmp_path / "x"),
    ):
        pass
