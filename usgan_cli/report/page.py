"""The page as a list of sections, each a list of blocks, and its rendering as one HTML file."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from usgan_cli.report import paper
from usgan_cli.report.cautions import Caution
from usgan_cli.report.charts import Chart, Plate
from usgan_cli.report.missing import Missing
from usgan_cli.report.table_model import Table
from usgan_cli.report.thumbnails import Pairs, Picture, Samples


@dataclass(frozen=True)
class Words:
    """Sentences: one is a paragraph, several are a list."""

    kind: ClassVar[str] = "words"
    lines: list[str]


@dataclass(frozen=True)
class TableBlock:
    """A table."""

    kind: ClassVar[str] = "table"
    table: Table


@dataclass(frozen=True)
class PlateBlock:
    """Figures under one caption."""

    kind: ClassVar[str] = "plate"
    plate: Plate


@dataclass(frozen=True)
class SamplesBlock:
    """Samples of every GAN beside real images."""

    kind: ClassVar[str] = "samples"
    samples: list[Samples]


@dataclass(frozen=True)
class GridsBlock:
    """Sheets of samples of several trainings."""

    kind: ClassVar[str] = "grids"
    pictures: list[Picture]


@dataclass(frozen=True)
class PairsBlock:
    """Generated images beside their nearest training images."""

    kind: ClassVar[str] = "pairs"
    pairs: list[Pairs]


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader opens on demand."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: list[Block]
    open: bool


Block = Words | TableBlock | PlateBlock | SamplesBlock | GridsBlock | PairsBlock | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name : str
        Its anchor.
    title, short : str
        Heading, and its name in the table of contents.
    blocks : list of Block
    """

    name: str
    title: str
    short: str
    blocks: list[Block]


@dataclass
class Page:
    """Everything that the template shows."""

    headline: str
    finding: str
    quality_finding: str
    facts: list[tuple[str, str]]
    cautions: list[Caution]
    missing: dict[str, list[Missing]]
    sections: list[Section] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)

    def tables(self) -> list[Table]:
        """Return the tables in the page's order."""
        return [block.table for block in self.blocks() if isinstance(block, TableBlock)]

    def charts(self) -> list[Chart]:
        """Return the figures in the page's order."""
        found = []
        for block in self.blocks():
            if isinstance(block, PlateBlock):
                found += block.plate.charts
            elif isinstance(block, SamplesBlock):
                found += [samples.chart for samples in block.samples]
        return found

    def blocks(self) -> list[Block]:
        """Return every block, those within others too."""
        return [block for section in self.sections for block in _flat(section.blocks)]

    def numbers(self) -> dict[int, int]:
        """Return the number of every table and of every plate or set of samples in its own row, by the block's id."""
        tables = [block for block in self.blocks() if isinstance(block, TableBlock)]
        figures = [block for block in self.blocks() if isinstance(block, PlateBlock | SamplesBlock | PairsBlock)]
        return {id(block): i for found in (tables, figures) for i, block in enumerate(found, start=1)}


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _flat(block.blocks)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _bound(text: str) -> str:
    """Return text whose equations and percentages do not break across lines."""
    return re.sub(r"(?<=\+) (?=\d)| (?=[=<%])|(?<=[=<]) ", "\u00a0", text)


def render(page: Page) -> str:
    """Return the page as HTML that needs no other file."""
    environment = Environment(
        loader=PackageLoader("usgan_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["data_uri"] = _data_uri
    environment.filters["bound"] = _bound
    numbers = page.numbers()
    environment.globals["number_of"] = lambda block: numbers[id(block)]
    template = environment.get_template("report.html")
    return template.render(page=page, citation=paper.CITATION, doi=paper.DOI)
