"""Options of `usgan status`."""

from __future__ import annotations

from usgan_cli.commands.common import StepOptions


class Status(StepOptions):
    """Show the grid of the workspace's study: what is done, running, out of date, unfinished and missing.

    Without a study, list the artefacts that are there.
    """

    COMMAND = "status"
    READS_ONLY = True
