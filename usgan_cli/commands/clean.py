"""Options of `usgan clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import InWorkspace
from usgan_cli.core.options import option

Kind = Literal["caches", "leftovers", "outdated"]


class Clean(InWorkspace):
    """List caches, leftovers of killed processes and artefacts made from inputs that have been replaced; --yes removes.

    What is current, being written, unfinished or not made by usgan is never touched.
    """

    COMMAND = "clean"

    folder: Path | None = option(
        "The workspace to clean, in place of --work.", default=None, metavar="[WORK]", argument=True
    )
    only: tuple[Kind, ...] = option(
        "What to list: features of images, which are computed again when needed; leftovers; out-of-date artefacts "
        "(default: all).",
        default=(),
    )
    yes: bool = option("Remove what is listed.", default=False)
