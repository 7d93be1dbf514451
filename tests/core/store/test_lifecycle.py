"""An artefact is made once, skipped when nothing changed, refused when something did, and never half there."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from usgan_cli.core.errors import BusyError, FormatError, SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files, lifecycle
from usgan_cli.core.store.document import Document, sealed
from usgan_cli.core.store.lifecycle import Existing, Growth
from usgan_cli.core.store.provenance import package_versions
from usgan_cli.core.store.step import Outcome, Request, Step

STEP = Step("score", 1, {"count": 5, "net": {"depth": 2, "sizes": (1, 2)}}, {"data": "d" * 64})
OTHER_INPUT = replace(STEP, inputs={"data": "e" * 64})


class Made(Document):
    FORMAT = "usgan/made"

    value: int


MAKING: dict[str, Callable[..., AbstractContextManager[lifecycle.Making]]] = {
    "file": lifecycle.making_file,
    "folder": lifecycle.making_folder,
    "grown": lifecycle.growing_folder,
}


class Maker:
    """Makes the three kinds of artefact and counts how often it worked."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self.path = path if kind != "file" else path.with_suffix(".json")
        self.progress = Silent()
        self.worked = 0
        self.found: list[list[str]] = []
        self.failure: BaseException | None = None

    def __call__(
        self, step: Step = STEP, *, force: bool = False, refresh: bool = False, dry_run: bool = False, **options: Any
    ) -> Outcome:
        request = Request(self.progress, force=force, refresh=refresh, dry_run=dry_run)
        with MAKING[self.kind](self.path, step, self._summary, request, **options) as making:
            if making.needed:
                making.document = self._document() if self.kind == "file" else self._fill(making.place)
        return making.outcome

    def _document(self) -> Made:
        self.worked += 1
        if self.failure is not None:
            raise self.failure
        return Made(value=self.worked)

    def _fill(self, folder: Path) -> Made:
        self.found.append(sorted(p.name for p in folder.iterdir()))
        files.write_text(folder / "part.txt", f"made by call {self.worked + 1}")
        document = self._document()
        document.write(folder / "made.json")
        return document

    def _summary(self, path: Path) -> dict[str, Any]:
        return {"value": Made.read(path if self.kind == "file" else path / "made.json").value}

    @property
    def left(self) -> list[str]:
        """What lies next to the artefact, except the lock's empty file."""
        return sorted(p.name for p in self.path.parent.iterdir() if not p.name.endswith(".lock"))


@pytest.fixture(params=["file", "folder", "grown"])
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    return Maker(request.param, tmp_path / "there" / "made")


@pytest.fixture(params=["file", "folder"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    return Maker(request.param, tmp_path / "there" / "made")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_made_once_then_skipped(maker: Maker) -> None:
    assert maker() == Outcome(maker.path, "done", {"value": 1})
    before = snapshot(maker.path.parent)
    assert maker() == Outcome(maker.path, "skipped", {"value": 1})
    assert maker.worked == 1
    assert snapshot(maker.path.parent) == before
    assert maker.progress.notes == [f"{maker.path} is up to date; nothing to do."]
    assert maker.left == [maker.path.name]


def test_the_run_is_recorded(maker: Maker) -> None:
    maker()
    run = json.loads((maker.path if maker.kind == "file" else maker.path / "run.json").read_text())["run"]
    assert (run["command"], run["revision"], run["inputs"]) == ("score", 1, {"data": "d" * 64})
    assert run["settings"] == {"count": 5, "net": {"depth": 2, "sizes": [1, 2]}}
    assert {"usgan", "torch", "numpy"} <= run["packages"].keys()
    assert run["wall_s"] >= 0
    assert run["peak_memory_mb"] > 1
    assert run["device"].startswith("c")
    if maker.kind != "file":
        content = json.loads((maker.path / "run.json").read_text())["content"]
        assert content == Made(value=1).content_digest()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (replace(STEP, settings={**STEP.settings, "count": 6}), ["count is 5 there and 6 now"]),
        (replace(STEP, settings={"count": 5, "net": {"depth": 3, "sizes": [1, 2]}}), ["net.depth is 2 there and 3"]),
        (replace(STEP, settings={**STEP.settings, "new": True}), ["new is 'unset' there and True now"]),
        (OTHER_INPUT, ["its input 'data' has changed"]),
        (replace(STEP, inputs={**STEP.inputs, "subset": "s"}), ["its input 'subset' was not there when it was made"]),
        (replace(STEP, revision=2), ["made by revision 1 of this step (now 2)"]),
        (
            replace(STEP, settings={"count": 7, "net": {}}, revision=2),
            ["count is 5 there and 7", "net.depth is 2 there and 'unset' now", "revision 1"],
        ),
    ],
)
def test_what_differs_is_refused_and_named(maker: Maker, step: Step, words: list[str]) -> None:
    maker()
    before = snapshot(maker.path.parent)
    with pytest.raises(SettingsError) as caught:
        maker(step)
    for word in [str(maker.path), *words, "--refresh", "--out"]:
        assert word in str(caught.value)
    assert maker.worked == 1
    assert snapshot(maker.path.parent) == before


def test_force_makes_it_again_with_whatever_settings(maker: Maker) -> None:
    maker()
    changed = replace(STEP, settings={"count": 6}, revision=2)
    assert maker(changed, force=True) == Outcome(maker.path, "done", {"value": 2})
    assert maker(changed).status == "skipped"
    assert maker(changed, force=True).result == {"value": 3}
    # A folder made again holds nothing of the old one.
    assert all("made.json" not in found and "part.txt" not in found for found in maker.found)
    assert maker.left == [maker.path.name]


def test_force_does_not_replace_what_another_command_made(maker: Maker) -> None:
    maker()
    with pytest.raises(SettingsError, match=r"made by usgan score; usgan .* does not replace it"):
        maker(replace(STEP, command="ttest"), force=True)
    assert maker.worked == 1


def test_new_inputs_are_enough_to_derive_it_again_where_that_was_said(published: Maker) -> None:
    published()
    assert published(OTHER_INPUT, on_new_inputs="redo") == Outcome(published.path, "done", {"value": 2})
    assert published.progress.notes[-1].endswith(": its inputs have changed.")
    assert published(OTHER_INPUT, on_new_inputs="redo").status == "skipped"
    # Settings are not inputs.
    with pytest.raises(SettingsError, match="count is 5 there and 6 now"):
        published(replace(STEP, settings={**STEP.settings, "count": 6}), on_new_inputs="redo")


def test_refreshing_makes_again_what_differs_and_leaves_what_does_not(maker: Maker) -> None:
    maker()
    assert maker(refresh=True).status == "skipped"
    assert maker.progress.notes == [f"{maker.path} is up to date; nothing to do."]
    maker.progress.notes.clear()
    assert maker(OTHER_INPUT, refresh=True).status == "done"
    assert maker.worked == 2
    assert [note.count("its input 'data' has changed") for note in maker.progress.notes] == [1]
    assert maker(OTHER_INPUT).status == "skipped"


@pytest.mark.parametrize("refresh", [False, True])
def test_what_another_command_made_is_not_replaced_and_the_hint_works(maker: Maker, refresh: bool) -> None:
    maker()
    for command, place in (("ttest", "--out"), ("phantom", "folder"), ("export", "--onnx"), ("subsample", "--work")):
        with pytest.raises(SettingsError, match=r"made by usgan score; usgan .* does not replace it") as caught:
            maker(replace(STEP, command=command), refresh=refresh)
        assert caught.value.hint == f"Choose another {place}, or move it away."


def test_a_hint_of_another_place_names_an_option_that_the_command_has() -> None:
    from usgan_cli.cli import COMMANDS
    from usgan_cli.commands.common import StepOptions
    from usgan_cli.core.options import options_of

    for command in COMMANDS:
        if issubclass(command, StepOptions) and command.COMMAND not in ("study", "status"):
            place = replace(STEP, command=command.COMMAND).elsewhere
            fields = {one.name for one in options_of(command)}
            if command.COMMAND == "phantom":  # names it without an option
                assert place == "another folder"
            else:
                assert place.removeprefix("another --") in fields
                assert place == "another --out" or "out" not in fields


def test_refreshing_begins_an_unfinished_folder_of_other_settings_anew(tmp_path: Path) -> None:
    maker = Maker("grown", tmp_path / "there")
    maker.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        maker()
    maker.failure = None
    planned = maker(refresh=True, dry_run=True)
    assert (planned.changes, planned.begun) == ((), True)
    planned = maker(OTHER_INPUT, refresh=True, dry_run=True)
    assert (planned.changes, planned.begun) == (("its input 'data' has changed since",), False)
    maker(OTHER_INPUT, refresh=True)
    assert "part.txt" not in maker.found[-1]


def test_a_dry_run_tells_what_would_change(published: Maker) -> None:
    assert published(dry_run=True).changes == ()
    published()
    planned = published(OTHER_INPUT, dry_run=True, refresh=True)
    assert planned.status == "planned"
    assert planned.changes == ("its input 'data' has changed since",)
    assert published.worked == 1


def test_a_dry_run_writes_nothing(maker: Maker, tmp_path: Path) -> None:
    plan = {"settings": dict(STEP.settings), "inputs": dict(STEP.inputs)}
    assert maker(dry_run=True) == Outcome(maker.path, "planned", plan)
    assert list(tmp_path.iterdir()) == []
    maker()
    before = snapshot(tmp_path)
    assert maker(dry_run=True).status == "skipped"
    assert maker(replace(STEP, revision=2), dry_run=True, force=True).status == "planned"
    assert snapshot(tmp_path) == before
    assert maker.worked == 1


@pytest.mark.parametrize("force", [False, True])
def test_what_usgan_did_not_make_is_never_touched(maker: Maker, force: bool) -> None:
    if maker.kind == "file":
        maker.path = maker.path.with_suffix(".txt")
        maker.path.parent.mkdir()
        maker.path.write_text("a person's notes")
    else:
        maker.path.mkdir(parents=True)
        (maker.path / "notes.txt").write_text("a person's notes")
    before = snapshot(maker.path.parent)
    with pytest.raises(SettingsError, match="was not made by usgan"):
        maker(force=force)
    assert snapshot(maker.path.parent) == before
    assert maker.worked == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("notes", "not valid JSON"),
        ("{}", "not a file of usgan"),
        (json.dumps(sealed({"format": "notes"})), "not a file of usgan"),
    ],
)
def test_a_json_file_without_a_run_is_refused_with_its_field(tmp_path: Path, text: str, words: str) -> None:
    maker = Maker("file", tmp_path / "made")
    maker.path.write_text(text)
    for force in (False, True):
        with pytest.raises(FormatError, match=words):
            maker(force=force)
    assert maker.path.read_text() == text


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    maker = Maker("file", tmp_path / "made")
    maker.path = tmp_path / "made-without-suffix"
    assert maker().status == "done"
    assert maker().status == "skipped"


def test_an_empty_folder_is_free_to_use(tmp_path: Path) -> None:
    for kind in ("folder", "grown"):
        maker = Maker(kind, tmp_path / kind)
        maker.path.mkdir()
        assert maker().status == "done"


@pytest.mark.parametrize("failure", [RuntimeError("in the middle"), KeyboardInterrupt()])
def test_work_that_fails_leaves_nothing_behind(published: Maker, failure: BaseException) -> None:
    published.failure = failure
    with pytest.raises(type(failure)):
        published()
    assert published.left == []
    # The lock is free again, and a second try succeeds.
    published.failure = None
    assert published().status == "done"


def test_work_that_fails_under_force_leaves_the_old_artefact(published: Maker) -> None:
    published()
    before = snapshot(published.path.parent)
    published.failure = RuntimeError("in the middle")
    with pytest.raises(RuntimeError):
        published(replace(STEP, revision=2), force=True)
    assert snapshot(published.path.parent) == before
    assert published().status == "skipped"


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["set aside", "folder", "plan"])
def test_a_failure_as_work_begins_anew_leaves_the_finished_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, failure: BaseException
) -> None:
    maker = Maker("grown", tmp_path / "made")
    maker()
    before = snapshot(tmp_path)
    where, what = {
        "set aside": (Path, "rename"),
        "folder": (Path, "mkdir"),
        "plan": (lifecycle.PlanDocument, "write"),
    }[moment]
    done = getattr(where, what)

    def fail(self: Any, *given: Any, **named: Any) -> Any:
        if moment == "folder" and self != maker.path:
            return done(self, *given, **named)
        monkeypatch.undo()
        if moment == "set aside":
            done(self, *given, **named)
        raise failure

    monkeypatch.setattr(where, what, fail)
    with pytest.raises(type(failure)):
        maker(replace(STEP, revision=2), force=True)
    assert snapshot(tmp_path) == before
    assert maker.left == ["made"]
    assert maker().status == "skipped"


def test_an_artefact_that_a_killed_process_set_aside_is_found_again(tmp_path: Path) -> None:
    for kind in ("folder", "grown"):
        for begun in (False, True):
            maker = Maker(kind, tmp_path / f"{kind}{begun}" / "made")
            maker()
            maker.path.rename(maker.path.with_name(".made.old"))
            if begun:
                maker.path.mkdir()
            assert maker().status == "skipped"
            assert maker.left == ["made"]


def test_what_a_killed_process_left_beside_a_finished_artefact_goes_wherever_it_lies(maker: Maker) -> None:
    maker()
    for kind in ("old", "partial"):
        (files.beside(maker.path, kind) / "made").mkdir(parents=True)
        lifecycle.PlanDocument(command="score", revision=1, settings={}, inputs={}).write(
            files.beside(maker.path, kind) / "config.json"
        )
    assert maker().status == "skipped"
    assert len(maker.left) == 3, "these may be a person's"
    dead = {"pid": 2**22 + 1, "machine": files.this_machine()}
    files.beside(maker.path, "holder").write_text(json.dumps(dead))
    assert maker(dry_run=True).status == "skipped"
    assert len(maker.left) == 4
    assert maker().status == "skipped"
    assert maker.left == [maker.path.name]


@pytest.mark.parametrize("there", ["a folder", "an empty folder", "nothing"])
@pytest.mark.parametrize("kind", ["folder", "grown"])
def test_an_artefact_that_is_a_link_stays_one(tmp_path: Path, kind: str, there: str) -> None:
    maker = Maker(kind, tmp_path / "there" / "made")
    maker.path.parent.mkdir()
    big = tmp_path / "big" / "data"
    maker.path.symlink_to(big)
    if there != "nothing":
        big.mkdir(parents=True)
    if there == "a folder":
        maker()
    result = maker(replace(STEP, revision=2), force=True)
    assert result.status == "done"
    assert maker.path.is_symlink()
    assert {"made.json", "run.json"} <= {entry.name for entry in big.iterdir()}
    assert [entry.name for entry in big.parent.iterdir()] == ["data"]
    assert maker.left == ["made"]
    assert maker(replace(STEP, revision=2)).status == "skipped"


def test_an_unfinished_folder_is_continued(tmp_path: Path) -> None:
    maker = Maker("grown", tmp_path / "made")
    maker.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        maker()
    assert sorted(p.name for p in maker.path.iterdir()) == ["config.json", "part.txt"]
    plan = json.loads((maker.path / "config.json").read_text())
    assert (plan["command"], plan["settings"]["count"], plan["inputs"]) == ("score", 5, {"data": "d" * 64})
    assert lifecycle.find_existing(maker.path) == Existing(replace(STEP, settings=plan["settings"]), False, None)

    # Other settings may not continue it ...
    with pytest.raises(SettingsError, match="count is 5 there and 6 now"):
        maker(replace(STEP, settings={**STEP.settings, "count": 6}))
    # ... the same do, and find what was left; what a killed writer left half-written goes.
    files.write_text(maker.path / "state.txt", "state")
    (maker.path / ".part.txt.17.partial").write_text("half")
    maker.failure = None
    assert maker() == Outcome(maker.path, "done", {"value": 2})
    assert maker.found[-1] == ["config.json", "part.txt", "state.txt"]
    assert (maker.path / "run.json").is_file()
    assert lifecycle.find_existing(maker.path) == Existing(replace(STEP, settings=plan["settings"]), True, None)
    assert maker().status == "skipped"


def test_force_begins_an_unfinished_folder_anew(tmp_path: Path) -> None:
    maker = Maker("grown", tmp_path / "made")
    maker.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        maker()
    maker.failure = None
    assert maker(replace(STEP, revision=2), force=True).status == "done"
    assert maker.found[-1] == ["config.json"]


def test_a_folder_killed_while_its_first_file_was_written_is_not_foreign(tmp_path: Path) -> None:
    maker = Maker("grown", tmp_path / "made")
    maker.path.mkdir()
    (maker.path / ".config.json.17.partial").write_text('{"comm')
    assert maker().status == "done"
    assert sorted(p.name for p in maker.path.iterdir()) == ["config.json", "made.json", "part.txt", "run.json"]


def test_two_processes_cannot_make_one_artefact(maker: Maker) -> None:
    hold = "import sys,time;from pathlib import Path;from usgan_cli.core.store.files import locked\n"
    hold += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(maker.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BusyError, match=rf"written by process {other.pid}\."):
            maker()
        assert not maker.path.exists()
        assert maker.worked == 0
    finally:
        other.kill()
        other.wait()
    assert maker().status == "done"


def test_whoever_waited_finds_it_done(published: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other process finishes between the first look and the lock.
    twin = Maker(published.kind, published.path.with_suffix(""))
    locked = files.locked

    def late(path: Path, *, wait_s: float = 0) -> Any:
        monkeypatch.setattr(files, "locked", locked)
        twin()
        return locked(path, wait_s=wait_s)

    monkeypatch.setattr(files, "locked", late)
    assert published().status == "skipped"
    assert (published.worked, twin.worked) == (0, 1)


KILLED = """
import sys, time
from pathlib import Path
from usgan_cli.core.store import files, lifecycle
from usgan_cli.core.store.step import Request, Step
from usgan_cli.core.store.document import Document, sealed
from usgan_cli.core.store.lifecycle import Existing, Growth
from usgan_cli.core.progress import Silent

def stop():
    with files.atomic_path(Path(sys.argv[2] + "-side.txt")) as temporary:
        temporary.write_text("half")
        print("working", flush=True)
        time.sleep(60)

def fill(folder):
    files.write_text(folder / "part.txt", "by the killed one")
    stop()

step = Step("score", 1, {"count": 5, "net": {"depth": 2, "sizes": [1, 2]}}, {"data": "d" * 64})
kind, path = sys.argv[1], Path(sys.argv[2])
make = {"file": lifecycle.making_file, "folder": lifecycle.making_folder, "grown": lifecycle.growing_folder}[kind]
with make(path, step, lambda path: {}, Request(Silent())) as making:
    stop() if kind == "file" else fill(making.place)
"""


def test_a_killed_process_leaves_nothing_that_looks_finished(maker: Maker) -> None:
    maker.path.parent.mkdir()
    command = [sys.executable, "-c", KILLED, maker.kind, str(maker.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    if maker.kind == "grown":
        assert lifecycle.find_existing(maker.path) is not None
        assert not (maker.path / "run.json").exists()
    else:
        assert not maker.path.exists()
    assert maker() == Outcome(maker.path, "done", {"value": 1})
    assert [name for name in maker.left if "side" not in name] == [maker.path.name]
    if maker.kind == "grown":
        assert maker.found == [["config.json", "part.txt"]]


def test_steps_compare_by_value() -> None:
    listed = replace(STEP, settings={"net": {"sizes": [1, 2], "depth": 2}, "count": 5})
    assert STEP.differences(listed) == []
    assert STEP.differences(OTHER_INPUT) == ["its input 'data' has changed since"]


def begun(folder: Path) -> dict[str, float]:
    """How far work has come that is limited by `count`: a part of it while unfinished."""
    finished = (folder / "run.json").exists()
    return {"count": lifecycle.PlanDocument.read(folder / "config.json").settings["count"] if finished else 2}


def test_a_limit_that_is_raised_continues_what_is_there(tmp_path: Path) -> None:
    grown = Maker("grown", tmp_path / "made")
    longer = replace(STEP, settings={**STEP.settings, "count": 9})
    assert grown(growth=Growth(begun)).status == "done"
    assert grown(longer, growth=Growth(begun)) == Outcome(grown.path, "done", {"value": 2})
    assert "goes on from count 5 to 9" in grown.progress.notes[-1]
    assert "part.txt" in grown.found[-1], "the work finds what is there"
    assert "run.json" not in grown.found[-1], "what is being continued does not look finished"
    assert grown(longer, growth=Growth(begun)).status == "skipped"
    with pytest.raises(SettingsError, match="count is 9 there and 5 now"):
        grown(growth=Growth(begun))
    with pytest.raises(SettingsError, match="has changed since"):
        grown(replace(OTHER_INPUT, settings={**STEP.settings, "count": 12}), growth=Growth(begun))
    with pytest.raises(SettingsError, match="count is 9 there and 12 now"):
        grown(replace(STEP, settings={**STEP.settings, "count": 12}))


def test_work_that_fails_before_it_leaves_anything_leaves_nothing(tmp_path: Path) -> None:
    grown = Maker("grown", tmp_path / "made")
    request = Request(Silent())
    with (
        pytest.raises(SettingsError, match="impossible"),
        lifecycle.growing_folder(grown.path, STEP, lambda _: {}, request) as making,
    ):
        raise SettingsError(f"impossible in {making.place}")
    assert not grown.path.exists()
    assert grown(replace(STEP, settings={"count": 1})).status == "done"


def test_the_limit_of_an_unfinished_artefact_may_change(tmp_path: Path) -> None:
    grown = Maker("grown", tmp_path / "made")
    grown.failure = RuntimeError("stopped")
    with pytest.raises(RuntimeError):
        grown(growth=Growth(begun))
    grown.failure = None
    longer = replace(STEP, settings={**STEP.settings, "count": 9})
    assert grown(longer, growth=Growth(begun)).status == "done"
    found = lifecycle.find_existing(grown.path)
    assert found is not None
    assert found.step.settings["count"] == 9


def test_recorded_versions_are_those_installed() -> None:
    versions: Callable[[], dict[str, str]] = package_versions
    from importlib.metadata import version

    from usgan_cli import __version__

    assert versions()["usgan"] == __version__
    assert versions()["numpy"] == version("numpy")


@pytest.mark.parametrize("kind", MAKING)
def test_work_that_leaves_no_document_is_a_mistake_of_the_program(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "made.json"
    with (
        pytest.raises(RuntimeError, match="set no document"),
        MAKING[kind](path, STEP, lambda _: {}, Request(Silent())) as making,
        pytest.raises(RuntimeError, match="still being made"),
    ):
        _ = making.outcome
    assert not path.exists()


def test_a_limit_may_be_lifted_lowered_or_set_until_it_is_passed(tmp_path: Path) -> None:
    def step(count: float | None, hours: float | None) -> Step:
        return replace(STEP, settings={**STEP.settings, "count": count, "hours": hours})

    def so_far(folder: Path) -> dict[str, float]:
        return {"count": 4, "hours": 1}

    grown = Maker("grown", tmp_path / "made")
    assert grown(step(4, None), growth=Growth(so_far)).status == "done"
    assert grown(step(None, 2), growth=Growth(so_far)).status == "done"
    assert "goes on from count 4 to unlimited and hours unlimited to 2" in grown.progress.notes[-1]
    assert grown(step(6, 1.5), growth=Growth(so_far)).status == "done", "both lower than before, neither passed"
    for passed in (step(3, 1.5), step(6, 0.5), step(3, 9)):
        with pytest.raises(SettingsError, match="exists and differs"):
            grown(passed, growth=Growth(so_far))


def test_a_limit_towards_which_the_work_has_turned_stays_as_it_is(tmp_path: Path) -> None:
    def step(count: float | None) -> Step:
        return replace(STEP, settings={**STEP.settings, "count": count})

    done = {"count": 4.0}
    grown = Maker("grown", tmp_path / "made")
    growth = Growth(lambda _: done, open_until=0.5, closed="It has turned towards its end.")
    assert grown(step(8), growth=growth).status == "done"
    assert grown(step(9), growth=growth).status == "done", "half of 8 is where it turns, no sooner"
    done["count"] = 4.6
    for end in (10, 9.1, 4.7, None):
        with pytest.raises(SettingsError, match=r"differs.*It has turned towards its end\."):
            grown(step(end), growth=growth)
    assert grown(step(9), growth=growth).status == "skipped"
    done["count"] = 4.5
    with pytest.raises(SettingsError, match="turned"):
        grown(step(8.9), growth=growth)  # of this end, more than half would be over
