"""Quick forms of scripts/fuzz.py and scripts/faults.py; the long ones are run by hand before a release."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from harness.damages import DAMAGES, Result, damage, judge
from harness.disturb import disturbed, reference_of, verdict_of
from harness.examples import document_classes
from harness.places import COMMANDS, Reference, copy_home, plain
from harness.readers import Reader, all_readers, changed, run_one
from harness.shim import FAULTS

from usgan_cli.core.store import files

CORPUS = Path(__file__).resolve().parent / "corpus"
CASES = 40
"""Changed files for each reader; every run has the same."""


@cache
def readers() -> dict[str, Reader]:
    return {reader.name.replace("/", "-").replace(" ", "-"): reader for reader in all_readers()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", readers())
def test_a_changed_file_is_read_or_refused_with_a_message(name: str, tmp_path: Path) -> None:
    reader, draws = readers()[name], random.Random(name)
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    for data in [*reader.seeds, *kept, *(changed(reader, draws) for _ in range(CASES))]:
        if (error := run_one(reader, tmp_path / "case", data)) is not None:
            raise error


def test_every_kept_file_belongs_to_a_reader() -> None:
    assert {place.name for place in CORPUS.iterdir()} <= readers().keys()


def test_every_format_has_a_reader() -> None:
    assert {cls.FORMAT.replace("/", "-") for cls in document_classes()} <= readers().keys()


QUICK = {command.name: command for command in COMMANDS if command.name in ("phantom", "subsample")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the harness's study: images, a dataset and a subset."""
    home = tmp_path_factory.mktemp("harness").resolve() / "base"
    home.mkdir()
    phantoms = ("phantom", "work/phantoms", "--count", "40", "--size", "32")
    for words in (phantoms, ("prepare", "work/phantoms", "--size", "32", "--test", "15"), ("subsample", "--n", "18")):
        assert plain(home, words).code == 0
    return home


@cache
def undisturbed(base: Path, name: str) -> Reference:
    return reference_of(base, base.with_name("undisturbed"), QUICK[name])


def verdict(base: Path, name: str, fault: str, event: float, amount: float = 0) -> tuple[str, str]:
    """What becomes of a command with a fault at a share of its events."""
    home, reference = base.with_name("disturbed"), undisturbed(base, name)
    copy_home(base, home, QUICK[name].without)
    ended = disturbed(home, QUICK[name], fault, max(1, round(event * reference.events)), amount)
    return verdict_of(home, QUICK[name], reference, fault, ended)


@pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", QUICK)
def test_a_disturbed_command_loses_nothing(prepared: Path, name: str, fault: str) -> None:
    event = random.Random(f"{name} {fault}").random()
    what, why = verdict(prepared, name, fault, event, amount=200.0)
    assert what == "survived", why


@pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")
def test_the_harness_sees_what_is_written_in_place(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def in_place(path: Path) -> Iterator[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path

    monkeypatch.setattr(files, "atomic_path", in_place)
    events = undisturbed(prepared, "subsample").events
    moments = (event / events for event in range(events, 0, -1))
    assert any(verdict(prepared, "subsample", "SIGKILL", moment)[0] == "half-written" for moment in moments)


@pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_dataset_is_refused(prepared: Path, kind: str) -> None:
    home = copy_home(prepared, prepared.with_name("damaged"))
    draws = random.Random(kind)
    used = json.loads((home / "work/subsets/n18-s0.json").read_text())["images"][0]
    path = home / "work/data" / (used if kind == "swap" else "manifest.json")
    assert damage(path, kind, draws) is not None
    ended = plain(home, ("train-gan", "--aug", "none", "--n", "18", "--preset", "tiny", "--kimg", "0.004"))
    assert ended.code == 1, ended.err
    assert "Error:" in ended.err
    assert "Traceback" not in ended.err


def test_only_a_picture_that_a_warning_names_counts_as_left_out() -> None:
    page, table = {"report/index.html": "a"}, {"report/tables/f1.csv": "a"}
    sound = Result(0, "{}", "", page | table)
    other_page, other_table = (dict.fromkeys(files, "b") for files in (page, table))
    warning = "Warning: scores/x.png is not the picture that was recorded."

    def verdict(name: str, err: str, files: dict[str, str]) -> str:
        return judge(Result(0, "{}", err, files), sound, {}, name)[0]

    assert verdict("scores/x.png", warning, other_page | table) == "left out"
    assert verdict("scores/x.png", "", other_page | table) == "changed"
    assert verdict("scores/x.png", warning, other_page | other_table) == "changed"
    assert verdict("scores/x.json", warning.replace("png", "json"), other_page | table) == "changed"
