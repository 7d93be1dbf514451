"""JSON files with a format and a version: validated when read, written whole.

Every file of the workspace is a `Document`, defined in one module of `core.formats` or here. An unknown version, a
missing field or a wrong type is an error that names the file and the field.

A document carries the digest of its own content, which is checked whenever it is read, and a folder's `run.json` holds
the digests of the folder's other files. Both are against accidents (a bad disk, a broken copy, a careless edit), not
against forgery: whoever wants to can write a digest that fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from usgan_cli.core.errors import DamagedError, FormatError, MissingError, UnsealedError, VersionError
from usgan_cli.core.names import is_inside, problem_of_class, shortened
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import locate, remedy

FORMATS = "usgan/"
"""How the name of every format begins."""
SELF_DIGEST = "self_sha256"
"""Field of a document's file with the digest of everything else in it (see `sealed`)."""


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
    study: str | None = None
    """Name of the study that this was a step of; None for a command that a person gave."""
    places: dict[str, str] | None = Field(default=None, exclude_if=lambda places: places is None)
    """Where in the artefact's workspace each input lies ("gans/ada-n100-s0"), by role; those that lie elsewhere are not
    listed. Older records do not have it, nor do those of steps that take no folder of a workspace."""


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

    def file_digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files in the artefact's folder that the document lists, by relative path."""
        return {}

    def beside(self) -> dict[str, str]:
        """Return the SHA-256 of the files that lie beside the document and belong to it, by name."""
        return {}

    def check_beside(self, path: Path) -> None:
        """Raise a `DamagedError` or `MissingError` for a file beside the document, at `path`, that is not as it was."""
        for name, sha256 in self.beside().items():
            check_digest(path.with_name(name), sha256)

    def to_json(self) -> str:
        """Return the text that `read` understands."""
        body = self.model_dump(mode="json", by_alias=True, exclude=None if self.run else {"run"})
        head = {"format": self.FORMAT, "version": self.VERSION}
        return json.dumps(sealed(head | body), indent=1, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the document to `path`, whole or not at all."""
        files.write_text(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate a document.

        Raises
        ------
        MissingError
            There is no such file.
        DamagedError
            It is not JSON, its content does not match its own digest, or it is another document in this one's place.
        VersionError
            It is of another version.
        FormatError
            A field is missing or wrong; the message names it.
        """
        body = read_sealed(path)
        kind, version = body.pop("format"), body.pop("version", None)
        if (kind, version) != (cls.FORMAT, cls.VERSION):
            text = (
                f"{path} is of format {shortened(repr(kind))} version {shortened(repr(version))}; "
                f"this version of usgan reads {cls.FORMAT!r} version {cls.VERSION}."
            )
            if kind != cls.FORMAT:
                raise DamagedError(text, remedy(path))
            raise VersionError(text, remedy(path), older=isinstance(version, int) and version < cls.VERSION)
        return _validated(path, cls, body)


class RunDocument(Document):
    """`run.json` of an artefact that is a folder: present once the artefact is finished."""

    FORMAT = "usgan/run"
    FILE = "run.json"

    run: RunRecord
    content: str
    """Content digest of the artefact's main document."""
    files: dict[InnerFile, str] = Field(default_factory=dict)
    """SHA-256 of every other file of the folder, by relative path, but for those whose digests that document lists."""

    @classmethod
    def find(cls, folder: Path) -> RunDocument | None:
        """Return the run of a finished artefact; None if the folder is absent or unfinished."""
        path = folder / cls.FILE
        return cls.read(path) if path.is_file() else None

    def check(self, folder: Path, document: Document, name: str) -> None:
        """Raise a `DamagedError` if the folder's main document, in the file `name`, is not the one of this run."""
        if document.content_digest() != self.content:
            raise DamagedError(
                f"{folder / name} is not what was recorded when it was made ({folder / self.FILE}).",
                remedy(folder / name),
            )

    def check_file(self, folder: Path, name: str) -> None:
        """Raise a `DamagedError` if a file of the folder is not the one of this run; one that it does not know passes.

        Raises
        ------
        MissingError
            There is no such file.
        """
        check_digest(folder / name, self.files.get(name))


class PlanDocument(Document):
    """`config.json` of an artefact that grows in place: what is being made, before it is finished."""

    FORMAT = "usgan/config"
    FILE = "config.json"

    command: str
    revision: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    study: str | None = None
    """As in `RunRecord`."""


D = TypeVar("D", bound=Document)


def read_main(folder: Path, kind: type[D]) -> D:
    """Read the main document of an artefact that is a folder, which must be the one that its `run.json` recorded."""
    document = kind.read(folder / kind.FILE)
    if (run := RunDocument.find(folder)) is not None:
        run.check(folder, document, kind.FILE)
    return document


def check_digest(path: Path, sha256: str | None) -> None:
    """Raise a `DamagedError` if a file has another SHA-256 than was recorded; without one, it only has to exist."""
    if not path.is_file():
        raise MissingError(f"{path} does not exist.", remedy(path))
    if sha256 is not None and files.sha256_file(path) != sha256:
        raise DamagedError(f"{path} is not the file that was recorded when it was made.", remedy(path))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an error names the file."""
    try:
        body = json.loads(files.read_bytes(path).decode(), parse_constant=_no_number)
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist.", remedy(path)) from None
    except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise DamagedError(f"{path} is not valid JSON: {error}.", remedy(path)) from None
    except RecursionError:
        raise DamagedError(f"{path} is nested too deeply.", remedy(path)) from None
    if _is_deeper(body, DEEPEST):
        raise DamagedError(f"{path} is nested more than {DEEPEST} levels deep.", remedy(path))
    if not isinstance(body, dict):
        raise DamagedError(f"{path} holds a {type(body).__name__}, not a JSON object.", remedy(path))
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


def sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document's file, with the digest of all others behind format and version."""
    rest = {name: value for name, value in body.items() if name != SELF_DIGEST}
    head = {name: rest[name] for name in ("format", "version") if name in rest}
    return head | {SELF_DIGEST: files.digest_json(rest)} | rest


def read_sealed(path: Path) -> dict[str, Any]:
    """Read the fields of a document of any format, and check its digest, which is left out."""
    body = read_json(path)
    if not str(body.get("format")).startswith(FORMATS):
        raise FormatError(f"{path} is not a file of usgan: it has no field 'format' that says so.", _elsewhere(path))
    digest = body.pop(SELF_DIGEST, None)
    if digest is None:
        head = [shortened(repr(body.get(name))) for name in ("format", "version")]
        raise UnsealedError(
            f"{path} is of format {head[0]} version {head[1]} without a digest of its own ({SELF_DIGEST}): an older "
            "usgan made it, or it was edited.",
            remedy(path),
        )
    try:
        same = files.digest_json(body) == digest
    except ValueError:  # NaN and infinity, which no document holds
        same = False
    if not same:
        raise DamagedError(
            f"{path} was changed or damaged after it was written: its digest does not fit.", remedy(path)
        )
    return body


def _elsewhere(path: Path) -> str:
    return "Choose another place, or move it away." if locate(path) is None else remedy(path)


def read_run(path: Path) -> RunRecord:
    """Read the run that made a single-file artefact of any format."""
    body = read_sealed(path)
    if "run" not in body:
        raise FormatError(f"{path}: field 'run' is missing.", remedy(path))
    return _validated(path, RunRecord, body["run"], ("run",))


P = TypeVar("P", bound=Part)


def _validated(path: Path, cls: type[P], body: Any, inside: tuple[str, ...] = ()) -> P:
    """Return `body` as a `cls`; `inside` names the field of the file that holds it."""
    try:
        return cls.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = shortened(".".join(map(str, (*inside, *first["loc"])))) or "(whole file)"
        raise FormatError(f"{path}: field {field!r}: {first['msg']}.", remedy(path)) from None


def first_difference(a: Part, b: Part) -> str | None:
    """Return the first field in which two records of one kind differ, in words; None if they are equal."""
    left, right = a.model_dump(mode="json"), b.model_dump(mode="json")
    for field, value in left.items():
        if value != right[field]:
            return f"{field}: {value!r} and {right[field]!r}"
    return None
