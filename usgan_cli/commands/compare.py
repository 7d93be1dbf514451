"""Options of `usgan compare`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import InWorkspace
from usgan_cli.core.options import selector


class Compare(InWorkspace):
    """Set two studies side by side: settings that differ, image quality of each GAN, verdict of each comparison.

    Distances are shown beside one another only where both were measured in the same way.
    """

    COMMAND = "compare"

    first: Path = selector("Workspace of a study.", metavar="WORK1", argument=True)
    second: Path = selector("Workspace of the other study.", metavar="WORK2", argument=True)
    markdown: Path | None = selector("Also write the tables as Markdown to this file.", default=None, metavar="FILE")
