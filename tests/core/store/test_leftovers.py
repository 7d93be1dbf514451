"""What killed processes leave is cleared, and nothing that a living one is writing."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from processes import Forked

from usgan_cli import cli
from usgan_cli.core.store import files
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.leftovers import clear_leftovers, find_leftovers

DEAD = 2**22 + 1
"""A process number beyond Linux's and macOS' largest."""


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def temporary(name: str, pid: int, machine: str | None = None) -> str:
    return f".{name}.{machine or files.these_processes()}-{pid}.partial"


def held_by_the_dead(path: Path) -> Path:
    """Put the name of a killed process beside an artefact, as the holder of its lock."""
    return put(path.with_name(f".{path.name}.holder"), json.dumps({"pid": DEAD, "machine": files.this_machine()}))


def record(folder: Path) -> Path:
    """Put the record of an artefact into a folder."""
    PlanDocument(command="score", revision=1, settings={}, inputs={}).write(folder / PlanDocument.FILE)
    return folder


def test_leftovers_of_dead_processes_are_found_wherever_they_are(tmp_path: Path) -> None:
    gone = [
        put(tmp_path / temporary("study.json", DEAD)),
        put(tmp_path / "subsets" / temporary("n8-s0.json", DEAD)),
        put(tmp_path / "gans" / "ada-n8-s0" / "checkpoint" / temporary("kimg1.json", DEAD)),
        put(tmp_path / "classifiers" / "n8-s0" / "real" / "folds" / temporary("fold0.json", DEAD)),
        put(tmp_path / "splits" / "s1" / "subsets" / temporary("n8-s0.json", DEAD)),
        held_by_the_dead(tmp_path / "scores" / "a.json"),
        put(tmp_path / "scores" / ".b.json.holder", "{"),
        put(tmp_path / "synthetic" / ".a.partial" / "1.png").parent,
        held_by_the_dead(tmp_path / "synthetic" / "a"),
        put(tmp_path / ".data.partial" / "1.png").parent,
        held_by_the_dead(tmp_path / "data"),
        put(tmp_path / "cache" / temporary("a.safetensors", DEAD)),
        put(tmp_path / "snakemake" / temporary("plan.json", DEAD)),
    ]
    put(tmp_path / "scores" / ".b.json.lock", "")
    put(tmp_path / "synthetic" / "b" / "1.png")
    gone.append(record(tmp_path / "synthetic" / ".b.old"))
    gone.append(held_by_the_dead(tmp_path / "synthetic" / "b"))
    kept = [
        put(tmp_path / "subsets" / "n8-s0.json"),
        put(tmp_path / "subsets" / ".n8-s0.json.lock", ""),
        put(tmp_path / "subsets" / temporary("n9-s0.json", os.getpid())),
        put(tmp_path / "subsets" / temporary("n9-s0.json", DEAD, "0" * 8)),
    ]
    assert {leftover.path for leftover in find_leftovers(tmp_path)} == set(gone)
    assert {leftover.path for leftover in clear_leftovers(tmp_path)} == set(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_what_a_person_keeps_under_such_names_stays(tmp_path: Path) -> None:
    kept = [
        put(tmp_path / ".hidden"),
        put(tmp_path / "notes.partial"),
        put(tmp_path / ".git" / "HEAD"),
        put(tmp_path / ".venv.old" / "bin"),
        put(tmp_path / "venv" / "bin"),
        put(tmp_path / ".notes.old" / "today"),
        put(tmp_path / "sub" / ".cfg.partial" / "a"),
        put(tmp_path / "sub" / temporary("a", DEAD)),
        put(tmp_path / temporary("a", DEAD)),
        put(tmp_path / ".mail.holder"),
        put(tmp_path / ".data.old" / "1.png"),
        put(tmp_path / ".data.partial" / "1.png"),
        put(tmp_path / "data" / "1.png"),
        put(tmp_path / ".data.lock", ""),
        put(tmp_path / "gans" / ".mine.old" / "notes.txt"),
        put(tmp_path / "gans" / ".mine.holder", "a person's"),
        put(tmp_path / "elsewhere" / temporary("a", DEAD)),
        held_by_the_dead(tmp_path / "notes"),
        held_by_the_dead(tmp_path / "sub" / "cfg"),
    ]
    (tmp_path / "gans" / "linked").symlink_to(tmp_path / "elsewhere")
    assert find_leftovers(tmp_path) == []
    held_by_the_dead(tmp_path / "data")
    (tmp_path / ".data.partial").rename(tmp_path / ".data.parts")
    assert [leftover.path.name for leftover in clear_leftovers(tmp_path)] == [".data.holder"]
    assert [path for path in kept if not path.exists()] == [tmp_path / ".data.partial" / "1.png"]


def test_a_temporary_file_of_another_machine_is_left_over_once_it_is_old(tmp_path: Path) -> None:
    path = put(tmp_path / "subsets" / temporary("a", DEAD, "0" * 8))
    assert find_leftovers(tmp_path) == []
    os.utime(path, (0, 0))
    assert [leftover.path for leftover in find_leftovers(tmp_path)] == [path]


def test_a_temporary_file_that_no_lock_protects_may_be_of_a_process_that_cannot_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for space in ("pid:[1]", "pid:[2]"):
        (tmp_path / space).symlink_to(space)
    monkeypatch.setattr(files, "PROCESSES", tmp_path / "pid:[1]")
    path = put(tmp_path / "cache" / "lite2" / temporary("a.safetensors", DEAD))
    monkeypatch.setattr(files, "PROCESSES", tmp_path / "pid:[2]")
    assert find_leftovers(tmp_path) == []
    monkeypatch.setattr(files, "PROCESSES", tmp_path / "pid:[1]")
    assert [leftover.path for leftover in clear_leftovers(tmp_path)] == [path]


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    place = tmp_path / "synthetic"
    left = [put(place / ".a.partial" / "1.png").parent, put(place / temporary("a", DEAD))]
    with files.locked(place / "a"):
        assert find_leftovers(tmp_path) == []
        put(place / temporary("a", DEAD))
    holder = held_by_the_dead(place / "a")
    assert {leftover.path for leftover in find_leftovers(tmp_path)} == {*left, holder}


def test_what_a_process_writes_that_cannot_be_seen_stays(tmp_path: Path) -> None:
    # As in two containers of one host name, where the number of the other's process is that of none here.
    paths = {
        "synthetic/a": ["synthetic/.a.partial/1.png", "synthetic/.a.holder"],
        "gans/a": [f"gans/a/checkpoint/{temporary('kimg1.json', DEAD)}", "gans/.a.old/config.json"],
        "scores/a.json": [f"scores/{temporary('a-nearest.png', DEAD)}", f"scores/{temporary('a.json', DEAD)}"],
        "pictures/a.png.json": [f"pictures/{temporary('a.png', DEAD)}"],
    }
    written = [put(tmp_path / path) for beside in paths.values() for path in beside]
    record(tmp_path / "gans" / ".a.old")
    for artefact in paths:
        held_by_the_dead(tmp_path / artefact)
    with ExitStack() as held:
        for artefact in paths:
            held.enter_context(files.claimed(tmp_path / artefact))
        assert find_leftovers(tmp_path) != []
        assert clear_leftovers(tmp_path) == []
        assert all(path.exists() for path in written)
    assert clear_leftovers(tmp_path) != []
    assert not any(path.exists() for path in written)


def test_a_leftover_is_looked_at_again_once_its_lock_is_held(tmp_path: Path) -> None:
    path = record(tmp_path / "gans" / ".a.old")
    put(tmp_path / "gans" / "a" / "generator.json")
    held_by_the_dead(tmp_path / "gans" / "a")
    found = {leftover.path: leftover for leftover in find_leftovers(tmp_path)}
    (tmp_path / "gans" / "a" / "generator.json").unlink()
    assert found[path].remove()
    assert (tmp_path / "gans" / "a" / PlanDocument.FILE).exists()
    assert not found[path].remove()


def test_an_artefact_whose_replacement_was_cut_short_gets_its_name_back(tmp_path: Path) -> None:
    put(record(tmp_path / "gans" / ".a.old") / "generator.json", "whole")
    held_by_the_dead(tmp_path / "gans" / "a")
    leftover, _ = clear_leftovers(tmp_path)
    assert "gets its name back" in leftover.why
    assert (tmp_path / "gans" / "a" / "generator.json").read_text() == "whole"
    assert find_leftovers(tmp_path) == []


def test_a_link_that_is_left_over_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    big = put(tmp_path / "big" / "1.png")
    put(tmp_path / "data" / "1.png")
    (tmp_path / ".data.old").symlink_to(big.parent)
    held_by_the_dead(tmp_path / "data")
    assert len(clear_leftovers(tmp_path)) == 2
    assert big.exists() and not (tmp_path / ".data.old").is_symlink()


def test_the_next_command_clears_them(tmp_path: Path) -> None:
    left = put(tmp_path / "subsets" / temporary("n8-s0.json", DEAD))
    assert cli.run(["report", "--dry-run", "--work", str(tmp_path)]) in {0, 1}
    assert left.exists(), "a dry run changes nothing"
    assert cli.run(["status", "--work", str(tmp_path)]) == 1  # there is nothing else in it
    assert left.exists(), "and one may only look"
    assert cli.run(["subsample", "--n", "8", "--work", str(tmp_path)]) == 1  # there is no dataset
    assert not left.exists()


def test_what_one_may_not_remove_stays_without_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_by_the_dead(tmp_path / "data")
    left = put(tmp_path / "subsets" / temporary("n8-s0.json", DEAD))

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert clear_leftovers(tmp_path) == []
    assert left.exists()


def test_locks_and_temporary_files_name_neither_user_nor_machine(tmp_path: Path) -> None:
    import getpass
    import socket

    with files.locked(tmp_path / "a"), files.atomic_path(tmp_path / "b") as place:
        place.write_text("x")
        text = (tmp_path / ".a.holder").read_text() + " ".join(path.name for path in tmp_path.iterdir())
    for name in (socket.gethostname(), getpass.getuser()):
        assert len(name) < 4 or name not in text
    assert files.holder_of(tmp_path / "a") is None


def test_who_guesses_the_name_of_a_machine_cannot_check_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import uuid

    def known_as(name: str, identifier: str | None, address: int) -> str:
        path = tmp_path / "machine-id"
        path.unlink(missing_ok=True)
        if identifier is not None:
            path.write_text(identifier)
        monkeypatch.setattr(files, "MACHINE_IDS", (tmp_path / "absent", path))
        monkeypatch.setattr(socket, "gethostname", lambda: name)
        monkeypatch.setattr(uuid, "getnode", lambda: address)
        return files.this_machine()

    own, drawn = 0x0223456789AB, 0x0223456789AB | files.RANDOM_ADDRESS
    cases = [("ward7", "a1\n", own), ("ward7", "a2\n", own), ("ward8", "a1\n", own), ("ward7", None, own)]
    cases += [("ward7", "", own + 1)]
    known = [known_as(*case) for case in cases]
    assert known == [known_as(*case) for case in cases], "a machine keeps its name"
    assert len(set(known)) == len(cases)
    assert not {files.sha256_bytes(name.encode())[:8] for name in ("ward7", "ward8", "/ward7", "/ward8")} & {*known}
    assert known_as("ward7", None, drawn) == known_as("ward7", None, drawn + 1), "not another in each process"


def killed(path: Path, at: str, size: int) -> int:
    """Draw a picture in a process that ends at once at a moment; to be forked."""
    from usgan_cli.core.progress import Silent
    from usgan_cli.core.store import recorded_file
    from usgan_cli.core.store.step import Request, Step

    if at == "before the record":
        recorded_file.FileRecord.write = lambda *_: os._exit(9)  # type: ignore[method-assign]
    if at == "before the file":
        replace = Path.replace
        Path.replace = lambda self, to: os._exit(9) if to.name == "a.png" else replace(self, to)  # type: ignore[method-assign]
    if at == "while drawing":
        recorded_file.files.sha256_file = lambda *_: os._exit(9)  # type: ignore[assignment]
    step = Step("draw", 1, {"size": size})
    with recorded_file.making_recorded_file(path, step, Request(Silent(), force=True)) as making:
        making.place.write_text("picture")
    return 0


def test_a_picture_killed_at_any_moment_is_made_by_the_same_command(tmp_path: Path) -> None:
    from usgan_cli.core.progress import Silent
    from usgan_cli.core.store.recorded_file import making_recorded_file
    from usgan_cli.core.store.step import Request, Step

    for moment in ("while drawing", "before the record", "before the file"):
        for before in (False, True):
            path = tmp_path / f"{moment}{before}" / "a.png"
            if before:
                with making_recorded_file(path, Step("draw", 1, {"size": 3}), Request(Silent())) as making:
                    making.place.write_text("old")
            size = 4 if before else 3
            assert Forked(partial(killed, path, moment, size)).wait() == 9
            clear_leftovers(tmp_path)
            step = Step("draw", 1, {"size": size})
            with making_recorded_file(path, step, Request(Silent(), refresh=True)) as making:
                if making.needed:
                    making.place.write_text("picture")
            assert path.read_text() == "picture"
            assert making.outcome.status == "done"
            left = {entry.name for entry in path.parent.iterdir() if not entry.name.endswith(".lock")}
            assert left == {"a.png", "a.png.json"}
