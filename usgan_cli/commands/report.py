"""Options of `usgan report`."""

from __future__ import annotations

from usgan_cli.commands.common import StepOptions, ToPlace
from usgan_cli.core.options import selector

DEFAULT_MARGIN = 2.0
"""Points of accuracy."""


class Report(ToPlace, StepOptions):
    """Write report/index.html: the study's figures and tables, from this workspace, beside the published values."""

    COMMAND = "report"

    margin: float | None = selector(
        "Differences of accuracy within ± this are of no consequence (default: 2); a study's file declares its own.",
        default=None,
        unit="points",
        above=0,
    )
    primary: str | None = selector(
        'The comparison that matters most, such as "ada-x1 n100": it has half of the 5 % (default: none); a study\'s '
        "file declares its own.",
        default=None,
        metavar="NAME",
    )
