"""JSON files with a format and a version: validated when read, written whole.

Every file of the workspace is a `Document`, defined in one module of `core.formats` or here. An unknown version, a
missing field or a wrong type is an error that names the file and the field.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.names import is_inside, problem_of_class, shortened
from usgan_cli.core.store import files


def _class_name(name: str) -> str:
    if (problem := problem_of_class(name)) is not None:
        raise ValueError(f"the class name {shortened(name)!r} {problem}")
    return name


def _inner_file(file: str) -> str:
    if not is_inside(file):
        raise ValueError(f"{shortened(file)!r} is not a path inside the folder")
    return file


ClassName = Annotated[str, AfterValidator(_class_name)]
"""A class, which may be called anything that can be shown on one line."""
InnerFile = Annotated[str, AfterValidator(_inner_file)]
"""A file relative to the record's folder, and never outside it."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256, where a file is named after it."""


DEEPEST = 50
"""Levels of lists and objects inside each other in a JSON file; a document has fewer than ten."""


class Part(BaseModel):
    """A piece of a document: immutable, with no fields but those it names."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class RunRecord(Part):
    """How an artefact was made: enough to repeat it (see `Step`), and to see whether that has changed since."""

    command: str
    revision: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    packages: dict[str, str]
    device: str
    started: str
    wall_s: float
    peak_memory_mb: float


class Document(Part):
    """A JSON file of the workspace."""

    FORMAT: ClassVar[str]
    VERSION: ClassVar[int] = 1
    FILE: ClassVar[str]
    """Name of the file in its artefact's folder, where the artefact is a folder."""

    run: RunRecord | None = None
    """The run that made a single-file artefact; a folder keeps it in `run.json` instead."""

    def content_digest(self) -> str:
        """Return the SHA-256 of everything but `run`: equal contents have equal digests, whenever they were made."""
        return files.digest_json(self.model_dump(mode="json", by_alias=True, exclude={"run"}))

    def to_json(self) -> str:
        """Return the text that `read` understands."""
        body = self.model_dump(mode="json", by_alias=True, exclude=None if self.run else {"run"})
        head = {"format": self.FORMAT, "version": self.VERSION}
        return json.dumps(head | body, indent=1, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the document to `path`, whole or not at all."""
        files.write_text(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate a document: raise a `MissingError` or a `FormatError` that names the file and the field."""
        body = read_json(path)
        head = (body.pop("format", None), body.pop("version", None))
        if head != (cls.FORMAT, cls.VERSION):
            raise FormatError(
                f"{path} is of format {shortened(repr(head[0]))} version {shortened(repr(head[1]))}; "
                f"this version of usgan reads {cls.FORMAT!r} version {cls.VERSION}.",
            )
        return _validated(path, cls, body)


class RunDocument(Document):
    """`run.json` of an artefact that is a folder: present once the artefact is finished."""

    FORMAT = "usgan/run"
    FILE = "run.json"

    run: RunRecord
    content: str
    """Content digest of the artefact's main document."""

    @classmethod
    def find(cls, folder: Path) -> RunDocument | None:
        """Return the run of a finished artefact; None if the folder is absent or unfinished."""
        path = folder / cls.FILE
        return cls.read(path) if path.is_file() else None


class PlanDocument(Document):
    """`config.json` of an artefact that grows in place: what is being made, before it is finished."""

    FORMAT = "usgan/config"
    FILE = "config.json"

    command: str
    revision: int
    settings: dict[str, Any]
    inputs: dict[str, str]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an error names the file."""
    try:
        body = json.loads(files.read_bytes(path).decode(), parse_constant=_no_number)
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist.") from None
    except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise FormatError(f"{path} is not valid JSON: {error}.") from None
    except RecursionError:
        raise FormatError(f"{path} is nested too deeply.") from None
    if _is_deeper(body, DEEPEST):
        raise FormatError(f"{path} is nested more than {DEEPEST} levels deep.")
    if not isinstance(body, dict):
        raise FormatError(f"{path} holds a {type(body).__name__}, not a JSON object.")
    return body


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects lie inside each other more than so many levels deep."""
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(
        _is_deeper(one, levels - 1) for one in (value.values() if isinstance(value, dict) else value)
    )


def read_run(path: Path) -> RunRecord:
    """Read the run that made a single-file artefact of any format."""
    body = read_json(path)
    if "run" not in body:
        raise FormatError(f"{path}: field 'run' is missing.", "Move the file away and make it again.")
    return _validated(path, RunRecord, body["run"], ("run",))


P = TypeVar("P", bound=Part)


def _validated(path: Path, cls: type[P], body: Any, inside: tuple[str, ...] = ()) -> P:
    """Return `body` as a `cls`; `inside` names the field of the file that holds it."""
    try:
        return cls.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = shortened(".".join(map(str, (*inside, *first["loc"])))) or "(whole file)"
        raise FormatError(f"{path}: field {field!r}: {first['msg']}.") from None


def first_difference(a: Part, b: Part) -> str | None:
    """Return the first field in which two records of one kind differ, in words; None if they are equal."""
    left, right = a.model_dump(mode="json"), b.model_dump(mode="json")
    for field, value in left.items():
        if value != right[field]:
            return f"{field}: {value!r} and {right[field]!r}"
    return None
