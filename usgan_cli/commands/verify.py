"""Options of `usgan verify`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import InWorkspace
from usgan_cli.core.options import option


class Verify(InWorkspace):
    """Check every file of a workspace against the digests that were recorded, and list what is not as it should be.

    Exit status 1 if something is damaged, missing or made by another version of usgan that this one cannot read; each
    line has the command that mends it. Nothing is changed.
    """

    COMMAND = "verify"

    folder: Path | None = option(
        "The workspace to check, in place of --work.", default=None, metavar="[WORK]", argument=True
    )
