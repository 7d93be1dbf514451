"""Options of `usgan doctor`."""

from __future__ import annotations

from usgan_cli.commands.common import InWorkspace


class Doctor(InWorkspace):
    """Show device, precision, packages, pretrained weights and workspace of this machine; change nothing."""

    COMMAND = "doctor"
