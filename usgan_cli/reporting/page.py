"""The page as a list of sections, each a list of blocks, and its rendering as one HTML file."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from usgan_cli.core.table import Table
from usgan_cli.reporting import paper
from usgan_cli.reporting.cautions import Caution
from usgan_cli.reporting.charts import Chart, Plate
from usgan_cli.reporting.first_screen import Effects, Heading
from usgan_cli.reporting.records import Missing
from usgan_cli.reporting.thumbnails import Pairs, Picture, Samples


@dataclass(frozen=True)
class Sentences:
    """One sentence is a paragraph, several are a list."""

    lines: list[str]


@dataclass(frozen=True)
class Bitmaps:
    """Samples of every GAN, closest pairs, or the last sheets of trainings; the template arranges each kind."""

    kind: Literal["samples", "pairs", "sheets"]
    items: Sequence[Samples | Pairs | Picture]


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader opens on demand."""

    title: str
    blocks: list[Block]
    open: bool


Block = Sentences | Table | Plate | Bitmaps | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    """Its anchor."""
    title: str
    blocks: list[Block]
    short: str = ""
    """Its name in the table of contents, where that is not the title."""
    problems: list[str] = field(default_factory=list)
    """What cannot be shown, in words."""


@dataclass(frozen=True)
class Page:
    """Everything that the template shows."""

    heading: Heading
    about: list[str]
    """The study's name, its dates, its dataset."""
    headline: str
    finding: str
    """The size of the effect."""
    effects: Effects | None
    facts: list[tuple[str, str]]
    cautions: list[Caution]
    """What weighs most comes first."""
    missing: dict[str, list[Missing]]
    """By what is missing."""
    sections: list[Section]

    def blocks(self) -> list[Block]:
        """Return every block, those within others too."""
        return [block for section in self.sections for block in _flat(section.blocks)]

    def tables(self) -> list[Table]:
        """Return the tables in the page's order."""
        return [block for block in self.blocks() if isinstance(block, Table)]

    def charts(self) -> list[Chart]:
        """Return the figures in the page's order."""
        charts: list[Chart] = []
        for block in self.blocks():
            if isinstance(block, Plate):
                charts += block.charts
            elif isinstance(block, Bitmaps):
                charts += [item.chart for item in block.items if isinstance(item, Samples)]
        return charts

    def numbers(self) -> dict[int, int]:
        """Return the number of every table, and of every plate of figures, by the block's id."""
        sheets = [block for block in self.blocks() if isinstance(block, Bitmaps) and block.kind == "sheets"]
        figures = [block for block in self.blocks() if isinstance(block, Plate | Bitmaps) and block not in sheets]
        return {id(block): i for blocks in (self.tables(), figures) for i, block in enumerate(blocks, start=1)}


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _flat(block.blocks)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _unbroken(text: str) -> str:
    """Return text whose equations and percentages do not break across lines."""
    return re.sub(r"(?<=\+) (?=\d)| (?=[=<%])|(?<=[=<]) ", "\u00a0", text)


def render(page: Page) -> str:
    """Return the page as HTML that needs no other file."""
    environment = Environment(
        loader=PackageLoader("usgan_cli.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["data_uri"] = _data_uri
    environment.filters |= {"unbroken": _unbroken, "kind": lambda block: type(block).__name__}
    numbers = page.numbers()
    environment.globals["number_of"] = lambda block: numbers[id(block)]
    return environment.get_template("report.html").render(page=page, doi=paper.DOI)
