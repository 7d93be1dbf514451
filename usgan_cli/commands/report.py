"""Options of `usgan report`."""

from __future__ import annotations

from usgan_cli.commands.common import StepOptions, ToPlace


class Report(ToPlace, StepOptions):
    """Write report/index.html: the study's figures and tables, from this workspace, beside the published values."""

    COMMAND = "report"
