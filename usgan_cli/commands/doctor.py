"""Options of `usgan doctor`."""

from __future__ import annotations

from usgan_cli.commands.common import InWorkspace
from usgan_cli.core.options import selector


class Doctor(InWorkspace):
    """Show this machine: device, packages, weights, workspace, and how a GAN would be trained. Changes nothing."""

    COMMAND = "doctor"

    measure: bool = selector(
        "Also time a few training iterations (seconds on a GPU, up to a minute on a CPU): seconds per thousand images "
        "(kimg) of two sizes.",
        default=False,
    )
