"""Cells and names that several tables and figures share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.text import stars
from usgan_cli.report import paper
from usgan_cli.report.records import SubsetKey
from usgan_cli.report.table_model import Cell, Column, empty, number, p_value

PUBLISHED = f"Published ({paper.CITATION})"
SHORT_LABELS = {"none": "StyleGAN2", "ada": "ADA", "diffaug": "DiffAug", "ada+diffaug": "ADA + DiffAug"}
LEAD_COLUMNS = [Column("n", ("n",), shown=False), Column("Seed", ("seed",), shown=False)]
ANOTHER_SIZE = "Published values are of the nearest published n within a factor of two, which is named."


def lead(key: SubsetKey) -> list[Cell]:
    """Return the cells of `LEAD_COLUMNS`."""
    return [Cell(str(key.n), (key.n,)), Cell(str(key.seed), (key.seed,))]


def spread(value: Measured | paper.Spread, digits: int, scale: float = 1) -> Cell:
    """Return a cell with mean ± sd."""
    mean, sd = value.mean * scale, value.sd * scale
    return Cell(f"{number(mean, digits)} ± {number(sd, digits)}", (mean, sd))


def ranged(value: float | None, interval: tuple[float, float] | None, digits: int, scale: float = 1) -> Cell:
    """Return a cell with a value and its interval below; both may be absent."""
    if value is None:
        return empty(3)
    if interval is None:
        return Cell(number(scale * value, digits), (scale * value, None, None))
    low, high = (scale * bound for bound in interval)
    small = f"[{number(low, digits)}, {number(high, digits)}]"
    return Cell(number(scale * value, digits), (scale * value, low, high), small)


def plain(value: float | None, digits: int, scale: float = 1) -> Cell:
    """Return a cell with one number, which may be absent."""
    return empty(1) if value is None else Cell(number(scale * value, digits), (scale * value,))


def count(value: int | None) -> Cell:
    """Return a cell with a whole number, which may be absent."""
    return empty(1) if value is None else Cell(str(value), (value,))


def words(text: str) -> Cell:
    """Return a cell that says something."""
    return Cell(text, (text,))


def p_cell(value: float | None) -> Cell:
    """Return a cell with a p-value as it is."""
    return Cell(p_value(value), (value,))


def adjusted(value: float | None) -> Cell:
    """Return a cell with an adjusted p-value: the only one with stars."""
    mark = stars(value)
    return Cell(f"{p_value(value)}{' ' if mark else ''}{mark}", (value,), strong=bool(mark))


def short_name(name: str) -> str:
    """Return a name with long digests in it cut to eight digits."""
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{8,}", r"\1", name)


def network_name(extractor: str) -> str:
    """Return the name of an extractor's network, without the digest of its weights."""
    return extractor.partition("@")[0]


def is_fid(extractor: str) -> bool:
    """Return whether an extractor is the FID Inception network, whose Fréchet distance alone is called FID."""
    return re.match(r"inception(?![a-z])", extractor, flags=re.IGNORECASE) is not None


def distance_name(extractor: str) -> str:
    """Return what the Fréchet distance of an extractor is called."""
    return "FID" if is_fid(extractor) else "FD"


def kernel_name(extractor: str) -> str:
    """Return what the kernel distance of an extractor is called."""
    return "KID" if is_fid(extractor) else "KD"


def subset_title(key: SubsetKey, keys: Sequence[SubsetKey]) -> str:
    """Return "n = 100", with the seed where a number of images was drawn with more than one."""
    repeated = sum(other.n == key.n for other in keys) > 1
    return f"n = {key.n}, seed {key.seed}" if repeated or key.seed else f"n = {key.n}"


def training_label(aug: str | None, ratio: float, variant: str = "") -> str:
    """Return a classifier's training set in words, with what is unlike the study's protocol."""
    beyond = f" ({variant})" if variant else ""
    return "Real alone" if aug is None else f"+ {100 * ratio:g} % {SHORT_LABELS.get(aug, aug)}{beyond}"


def published_size(sizes: Sequence[int]) -> tuple[bool, list[Column]]:
    """Return whether a column must say which n the published values are for, and that column."""
    differs = any(paper.nearest_size(n) != n for n in sizes)
    return differs, [Column("n", ("published_n",), PUBLISHED)] if differs else []


def size_cell(n: int | None, differs: bool) -> list[Cell]:
    """Return the cell of that column."""
    return [count(n)] if differs else []
