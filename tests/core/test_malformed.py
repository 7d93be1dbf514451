"""Files that lie: JSON, safetensors, torch files, zip and npz of any content are read, or refused with their name."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.classifier import Predictions
from usgan_cli.core.formats.generator import GeneratorDocument, Log, read_log
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.formats.tensors import read_tensors
from usgan_cli.core.images.generated import open_writer, read_pixels
from usgan_cli.core.machine.weights import read_state
from usgan_cli.study.config import load_study

HEAD = b'{"format": "usgan/generator", "version": 1, "classes": '
JSON = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe",
    "NUL": b"\0" * 10,
    "cut": b'{"format": ',
    "a list": b"[]",
    "deep lists": b'{"a": ' + b"[" * 100_000,
    "deep objects": b'{"a": ' * 100_000,
    "rather deep": b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}",
    "giant integer": b'{"a": ' + b"9" * 5000 + b"}",
    "giant version": b'{"format": "usgan/generator", "version": ' + b"9" * 4000 + b"}",
    "not a number": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "surrogate": HEAD + b'["\\ud800"]}',
    "a path": HEAD + b'["a\\nb"]}',
    "object as format": b'{"format": {"a": [1]}, "version": []}',
}


@pytest.mark.parametrize("kind", JSON)
def test_any_bytes_as_json_are_one_message(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "generator.json"
    path.write_bytes(JSON[kind])
    with pytest.raises(UsganError) as caught:
        GeneratorDocument.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes}


SAFETENSORS = {
    "empty": b"",
    "short": b"\1\2",
    "header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "header of all bits": b"\xff" * 64,
    "no JSON": safetensors(b"nonsense"),
    "not UTF-8": safetensors(b"\xff\xff"),
    "deep": safetensors(b"[" * 50_000),
    "another type": safetensors(one(dtype="F999"), b"\0" * 4),
    "giant shape": safetensors(one(shape=[1 << 60, 1 << 60]), b"\0" * 4),
    "negative shape": safetensors(one(shape=[-1]), b"\0" * 4),
    "offsets beyond": safetensors(one(data_offsets=[0, 1 << 50]), b"\0" * 4),
    "offsets backwards": safetensors(one(data_offsets=[4, 0]), b"\0" * 4),
    "no offsets": safetensors({"a": {"dtype": "F32", "shape": [1]}}, b"\0" * 4),
}


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_any_bytes_as_safetensors_are_one_message(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(SAFETENSORS[kind])
    for read in (read_tensors, read_state):
        with pytest.raises(UsganError) as caught:
            read(path)
        assert str(path) in str(caught.value)


def torch_file(tmp_path: Path) -> bytes:
    torch.save({"a": torch.zeros(3)}, tmp_path / "whole.pth")
    return (tmp_path / "whole.pth").read_bytes()


PTH: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"<!DOCTYPE html>",
    "pointer": lambda _: b"version https://git-lfs.github.com/spec/v1\n",
    "cut": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-30],
    "old pickle": lambda _: b"\x80\x02}q\x00.",
    "calls": lambda _: b"cos\nsystem\n(S'true'\ntR.",
    "stack": lambda _: b"\x80\x02.",
    "bits": lambda data: bytes(byte ^ (i % 97 == 0) for i, byte in enumerate(data)),
    "zip without a pickle": lambda _: b"PK\x05\x06" + b"\0" * 18,
    "number": lambda _: b"\x80\x02K\x01.",
}


@pytest.mark.parametrize("kind", PTH)
def test_any_bytes_as_weights_are_one_message(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(PTH[kind](torch_file(tmp_path)))
    if kind == "old pickle":
        return
    with pytest.raises(UsganError) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert "\n" not in caught.value.message


def generated(folder: Path, form: Any) -> SyntheticManifest:
    with open_writer(folder, form, ["a", "b"], 4, (1, 16, 16)) as writer:
        images = [writer.add(np.full((1, 16, 16), i, np.uint8), i % 2, i) for i in range(4)]
    return SyntheticManifest(
        classes=["a", "b"], size=16, channels=1, gan="0", gan_name="g", truncation_psi=1, noise="random",
        class_shares={"a": 0.5, "b": 0.5}, images=images,
    )  # fmt: skip


def encrypted(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(mark, place + 4)
    path.write_bytes(data)


def odd_compression(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = data.find(mark)
        while place >= 0:
            data[place + offset] = 97
            place = data.find(mark, place + 4)
    path.write_bytes(data)


def lying_npz(header: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        text = header.ljust(118) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)

    return write


ARCHIVES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"PK nothing"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:400]),
    "encrypted": encrypted,
    "odd compression": odd_compression,
    "giant": lying_npz(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 16, 16)}"),
    "pickle": lying_npz(b"{'descr': '|O', 'fortran_order': False, 'shape': (4,)}"),
    "no header": lying_npz(b"{'descr': "),
    "code": lying_npz(b"__import__('os').system('true')"),
    "deep": lying_npz(b"(" * 117),
    "flat": lying_npz(b"{'descr': '|u1', 'fortran_order': False, 'shape': ()}"),
}


@pytest.mark.parametrize("form", ["zip", "npz"])
@pytest.mark.parametrize("kind", ARCHIVES)
def test_any_archive_of_generated_images_is_one_message(form: str, kind: str, tmp_path: Path) -> None:
    manifest = generated(tmp_path, form)
    path = tmp_path / f"images.{form}"
    ARCHIVES[kind](path)
    with pytest.raises(UsganError) as caught:
        read_pixels(tmp_path, manifest)
    assert "images." in str(caught.value)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "line", [b"\xff\n", b"{}\n", b"[" * 9999 + b"\n", b'{"kimg": ' + b"9" * 5000 + b"}\n", b"NaN\n"]
)
def test_any_line_of_a_log_is_one_message(line: bytes, tmp_path: Path) -> None:
    (tmp_path / Log.FILE).write_bytes(line + b"\n")
    with pytest.raises(UsganError, match=r"log\.jsonl, line 1"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    "row", [b"\xff", b"\0", b"0,test,f,c,x", b"0,test,f,z,1", b"9" * 30 + b",test,f,c,1", b"9" * 5000 + b",test,f,c,1"]
)
def test_any_table_of_predictions_is_one_message(row: bytes, tmp_path: Path) -> None:
    path = tmp_path / Predictions.FILE
    path.write_bytes(b"fold,part,file,label,p_c\n" + row + b"\n")
    with pytest.raises(UsganError, match=r"predictions\.csv"):
        Predictions.read(path)


@pytest.mark.parametrize("text", [b"\xff", b"a = ", b"a = " + b"9" * 5000, b"a = " + b"[" * 100_000, b'"\\ud800" = 1'])
def test_any_study_is_one_message(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text)
    with pytest.raises(UsganError) as caught:
        load_study(str(path))
    assert str(path) in str(caught.value)
