"""Tensors and records of a GAN come back exactly; damaged, foreign and unfinished ones are named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_gan import tiny_document

from usgan_cli.core.errors import DamagedError, FormatError, MissingError
from usgan_cli.core.formats.generator import (
    LogRow,
    TrainingState,
    read_generator,
    read_generator_document,
    read_log,
)
from usgan_cli.core.formats.tensors import read_tensors, write_tensors

TENSORS = {
    "mapping.fc0.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "w_avg": torch.arange(5, dtype=torch.float64),
    "step": torch.tensor(7, dtype=torch.int64),
    "half": torch.ones(2, dtype=torch.bfloat16),
}


def row(kimg: float, **changes: Any) -> LogRow:
    names = [name for name, field in LogRow.model_fields.items() if field.is_required()]
    return LogRow(**(dict.fromkeys(names, 0.5) | {"kimg": kimg} | changes))


def test_tensors_come_back_exactly_and_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.safetensors"
    digest = write_tensors(path, TENSORS)
    back = read_tensors(path, digest)
    assert back.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(TENSORS)
    assert write_tensors(tmp_path / "again.safetensors", TENSORS) == digest


def test_views_and_parameters_are_written_as_what_they_show(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    named = {"turned": base.T, "parameter": torch.nn.Parameter(base)}
    write_tensors(tmp_path / "x.safetensors", named)
    back = read_tensors(tmp_path / "x.safetensors")
    assert all(torch.equal(back[name], tensor) for name, tensor in named.items())


def test_damaged_and_foreign_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(MissingError, match=r"x\.safetensors"):
        read_tensors(path)
    digest = write_tensors(path, TENSORS)
    whole = path.read_bytes()
    with pytest.raises(FormatError, match="SHA-256 differs"):
        read_tensors(path, "1" * 64)
    path.write_bytes(whole[:-3])
    with pytest.raises(FormatError, match="SHA-256 differs"):
        read_tensors(path, digest)
    with pytest.raises(DamagedError, match="its digest does not fit"):
        read_tensors(path)
    # Another program's file has no digest, and may be cut short all the same.
    save_file(TENSORS, path)
    assert read_tensors(path, foreign=True).keys() == TENSORS.keys()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DamagedError, match="not a whole safetensors file"):
        read_tensors(path, foreign=True)


def test_a_pickle_is_refused_without_running_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "x.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(FormatError):
        read_tensors(tmp_path / "x.safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_generator_comes_back(tmp_path: Path) -> None:
    digest = write_tensors(tmp_path / "generator.safetensors", TENSORS)
    document = tiny_document(tensors=digest)
    document.write(tmp_path / "generator.json")
    assert read_generator_document(tmp_path) == document
    found, tensors = read_generator(tmp_path)
    assert found == document
    assert torch.equal(tensors["w_avg"], TENSORS["w_avg"])
    # Tensors of another training beside this record.
    write_tensors(tmp_path / "generator.safetensors", {"w_avg": torch.zeros(5)})
    with pytest.raises(FormatError, match="SHA-256 differs"):
        read_generator(tmp_path)


def test_an_absent_generator_is_told_from_an_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"holds no generator[^$]*usgan train-gan"):
        read_generator(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingError, match=r"has not finished[^$]*same usgan train-gan again"):
        read_generator_document(tmp_path)


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    state = TrainingState(
        step=3,
        images=12,
        p=0.25,
        augment={"sum": 1.5, "count": 4, "none": None},
        path_length_mean=0.1,
        seconds=1.0,
        log_bytes=100,
        log_sha256="1" * 64,
        best=None,
        tensors="0" * 64,
    )
    state.write(tmp_path / "state.json")
    assert TrainingState.read(tmp_path / "state.json") == state


def test_the_log_is_read_up_to_a_line_cut_short(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
    rows = [row(1.0), row(2.0, fd=30.5, fd_extractor="inception@0")]
    lines = [r.model_dump_json(exclude_none=True) + "\n" for r in rows]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    assert read_log(tmp_path) == rows
    (tmp_path / "log.jsonl").write_text("".join(lines) + lines[0][:20])
    assert read_log(tmp_path) == rows


@pytest.mark.parametrize("line", ["nonsense", '{"kimg": 1.0}', "[]"])
def test_a_broken_line_of_the_log_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "log.jsonl").write_text(row(1.0).model_dump_json(exclude_none=True) + f"\n{line}\n")
    with pytest.raises(FormatError, match=r"log\.jsonl, line 2"):
        read_log(tmp_path)
