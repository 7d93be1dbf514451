"""Tiny sources of images: class folders of noise or nothing, archives and tables of them."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from usgan_cli.core.images import codec


def put(path: Path) -> None:
    """Write a black image of 4 x 4 pixels."""
    codec.write_png(path, np.zeros((1, 4, 4), np.uint8))


def noise_folders(top: Path, counts: Mapping[str, int], size: int = 24, seed: int = 0) -> Path:
    """Write `top/<folder>/0.png` and so on: as many different images of noise in each folder as `counts` says."""
    draws = np.random.default_rng(seed)
    for folder, count in counts.items():
        for i in range(count):
            codec.write_png(top / folder / f"{i}.png", draws.integers(0, 256, (1, size, size), dtype=np.uint8))
    return top


def noise_source(top: Path) -> Path:
    """Write twenty benign and ten malignant images of noise, of different sizes, named as BUSI's."""
    draws = np.random.default_rng(0)
    for name, count in (("benign", 20), ("malignant", 10)):
        for i in range(1, count + 1):
            pixels = draws.integers(0, 256, (1, 20 + i, 30), dtype=np.uint8)
            codec.write_png(top / name / f"{name} ({i}).png", pixels)
    return top


def noise_rows(benign: int = 20, malignant: int = 10) -> list[tuple[str, str, int]]:
    """Return path, class and number of the images of `noise_source`, or of the first of each class."""
    counts = {"benign": benign, "malignant": malignant}
    return [(f"{name}/{name} ({i}).png", name, i) for name, count in counts.items() for i in range(1, count + 1)]


def zipped(folder: Path, archive: Path, *, inside: str = "") -> Path:
    """Write an archive of what a folder holds, below `inside` ("name/"), compressed and in an unusual order."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*"), reverse=True):
            out.write(path, inside + path.relative_to(folder).as_posix())
    return archive


def table(path: Path, head: str, rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file; `head` is its line of column names."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head.split(","), *rows])
    return path
