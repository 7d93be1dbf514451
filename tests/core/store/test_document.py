"""JSON documents come back as they were written; a file that is not what it should be is named with its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import write_sealed
from pydantic import ValidationError

from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.store.document import (
    Document,
    Part,
    PlanDocument,
    RunDocument,
    RunRecord,
    first_difference,
    read_json,
    read_run,
)

RUN = RunRecord(
    command="score",
    revision=1,
    settings={"count": 5},
    inputs={"data": "0" * 64},
    packages={"usgan": "0"},
    device="cpu",
    started="2022-01-01T00:00:00+00:00",
    wall_s=1.5,
    peak_memory_mb=10.0,
)


class Inner(Part):
    size: int
    share: float = 0.5


class Example(Document):
    FORMAT = "usgan/example"
    VERSION = 3

    name: str
    inner: Inner
    items: tuple[Inner, ...] = ()


EXAMPLE = Example(name="ä", inner=Inner(size=3), items=(Inner(size=1), Inner(size=2, share=0.25)))


def test_a_run_that_does_not_say_where_its_inputs_lie_is_written_as_it_always_was(tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    for places in (None, {}, {"data": "data"}):
        document = EXAMPLE.model_copy(update={"run": RUN.model_copy(update={"places": places})})
        document.write(path)
        assert json.loads(path.read_text(encoding="utf-8"))["run"].get("places") == places
        assert Example.read(path).run == document.run
        assert document.content_digest() == EXAMPLE.content_digest()
    assert "places" not in RUN.model_dump(mode="json")


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    for document in (EXAMPLE, EXAMPLE.model_copy(update={"run": RUN})):
        document.write(path)
        assert Example.read(path) == document
    body = json.loads(path.read_text(encoding="utf-8"))
    assert (body["format"], body["version"], body["run"]["command"]) == ("usgan/example", 3, "score")
    assert "run" not in json.loads(EXAMPLE.to_json())


def test_the_digest_is_of_what_is_said_and_not_of_the_run_that_said_it() -> None:
    later = RUN.model_copy(update={"wall_s": 99.0, "started": "2023-01-01T00:00:00+00:00", "device": "cuda"})
    digests = {EXAMPLE.model_copy(update={"run": run}).content_digest() for run in (None, RUN, later)}
    assert digests == {EXAMPLE.content_digest()}
    assert EXAMPLE.model_copy(update={"name": "b"}).content_digest() not in digests
    assert EXAMPLE.model_copy(update={"inner": Inner(size=4)}).content_digest() not in digests


def test_a_document_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EXAMPLE.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 4}, ["'usgan/example' version 4", "'usgan/example' version 3"]),
        ({"version": None}, ["version None"]),
        ({"format": "usgan/data"}, ["'usgan/data'"]),
        ({"name": None}, ["'name'"]),
        ({"name": 5}, ["'name'", "string"]),
        ({"inner": {"size": "many"}}, ["'inner.size'", "integer"]),
        ({"inner": {}}, ["'inner.size'", "required"]),
        ({"items": [{"size": 1}, {"share": 1.0}]}, ["'items.1.size'", "required"]),
        ({"inner": {"size": 1, "colour": "red"}}, ["'inner.colour'", "not permitted"]),
        ({"surprise": 1}, ["'surprise'", "not permitted"]),
        ({"run": {"command": "score"}}, ["'run.revision'", "required"]),
    ],
)
def test_what_is_wrong_is_named_with_file_and_field(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    path = tmp_path / "example.json"
    write_sealed(path, json.loads(EXAMPLE.to_json()) | change)
    with pytest.raises(FormatError) as caught:
        Example.read(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("field", ["format", "version", "name", "inner"])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    body = json.loads(EXAMPLE.to_json())
    del body[field]
    path = tmp_path / "example.json"
    write_sealed(path, body)
    with pytest.raises(FormatError, match=str(path)) as caught:
        Example.read(path)
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"format": "usgan/exa', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[1, 2]", "holds a list"),
        (b"null", "holds a NoneType"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "example.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=rf"example\.json.* {words}"):
        Example.read(path)


def test_an_absent_file_is_missing_rather_than_malformed(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nowhere\.json"):
        read_json(tmp_path / "nowhere.json")


def test_the_run_of_any_single_file_artefact_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    EXAMPLE.model_copy(update={"run": RUN}).write(path)
    assert read_run(path) == RUN
    EXAMPLE.write(path)
    with pytest.raises(FormatError, match="field 'run' is missing"):
        read_run(path)
    write_sealed(path, {"format": "usgan/example", "run": {"command": "score", "revision": "one"}})
    with pytest.raises(FormatError, match=r"field 'run\.revision'"):
        read_run(path)
    write_sealed(path, {"format": "usgan/example", "run": None})
    with pytest.raises(FormatError, match="field 'run'"):
        read_run(path)


def test_run_and_plan_documents_come_back(tmp_path: Path) -> None:
    run = RunDocument(content="c" * 64, run=RUN)
    run.write(tmp_path / "run.json")
    assert RunDocument.read(tmp_path / "run.json") == run
    plan = PlanDocument(command="train-gan", revision=2, settings={"a": [1, None]}, inputs={"data": "d"})
    plan.write(tmp_path / "config.json")
    assert PlanDocument.read(tmp_path / "config.json") == plan
    write_sealed(tmp_path / "run.json", {"format": "usgan/run", "version": 1, "content": "c"})
    with pytest.raises(FormatError, match="'run'"):
        RunDocument.read(tmp_path / "run.json")


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Inner(size=1, share=float("nan"))


def test_the_first_difference_is_named_with_both_values() -> None:
    assert first_difference(RUN, RUN.model_copy()) is None
    assert first_difference(RUN, RUN.model_copy(update={"revision": 5, "device": "cuda"})) == "revision: 1 and 5"
