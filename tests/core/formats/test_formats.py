"""Every document comes back as it was written, each named once; a broken one is named with the field."""

from __future__ import annotations

import importlib
import json
import pkgutil
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from damage import write_sealed

from usgan_cli.core import formats
from usgan_cli.core.errors import FormatError
from usgan_cli.core.store import lifecycle
from usgan_cli.core.store.document import ClassName, Digest, Document, InnerFile, Part, PlanDocument, RunDocument

PLAIN: dict[Any, Any] = {str: "x", int: 3, float: 0.25, bool: True, Any: "anything"}
PLAIN |= {ClassName: "x", InnerFile: "x", Digest: 64 * "0"}


def documents() -> list[type[Document]]:
    modules = [
        lifecycle,
        *(importlib.import_module(f"{formats.__name__}.{m.name}") for m in pkgutil.iter_modules(formats.__path__)),
    ]
    own = {
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Document) and item.__module__ == module.__name__
    }
    return sorted({*own, RunDocument, PlanDocument}, key=lambda item: item.FORMAT)


def example(annotation: Any, *, sparse: bool) -> Any:
    """Return a value of a type; a sparse one has None and empty lists wherever that is allowed."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in PLAIN or origin is typing.Literal:
        return PLAIN[annotation] if annotation in PLAIN else arguments[0]
    if origin in {typing.Union, types.UnionType}:
        return None if sparse and type(None) in arguments else example(arguments[0], sparse=sparse)
    if origin in {list, dict} and sparse:
        return origin()
    if origin in {list, dict}:
        item = example(arguments[-1], sparse=sparse)
        return [item] if origin is list else {example(arguments[0], sparse=sparse): item}
    if origin is tuple:
        return tuple(example(argument, sparse=sparse) for argument in arguments)
    assert issubclass(annotation, Part)
    return annotation(
        **{name: example(field.rebuild_annotation(), sparse=sparse) for name, field in annotation.model_fields.items()}
    )


@pytest.mark.parametrize("sparse", [False, True], ids=["full", "sparse"])
@pytest.mark.parametrize("cls", documents(), ids=lambda cls: cls.__name__)
def test_a_document_comes_back_as_it_was_written(tmp_path: Path, cls: type[Document], sparse: bool) -> None:
    document = example(cls, sparse=sparse)
    document.write(tmp_path / "x.json")
    assert cls.read(tmp_path / "x.json") == document
    head = json.loads((tmp_path / "x.json").read_text())
    assert (head["format"], head["version"]) == (cls.FORMAT, cls.VERSION)


@pytest.mark.parametrize("cls", documents(), ids=lambda cls: cls.__name__)
def test_a_field_that_is_missing_is_named(tmp_path: Path, cls: type[Document]) -> None:
    field = next(name for name, field in cls.model_fields.items() if field.is_required())
    body = json.loads(example(cls, sparse=False).to_json())
    del body[field]
    write_sealed(tmp_path / "x.json", body)
    with pytest.raises(FormatError, match=rf"x\.json: field '{field}'"):
        cls.read(tmp_path / "x.json")


def test_no_two_documents_have_one_format() -> None:
    names = [cls.FORMAT for cls in documents()]
    assert len(names) > 10
    assert len(set(names)) == len(names)
