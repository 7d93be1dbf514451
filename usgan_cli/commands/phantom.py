"""Options of `usgan phantom`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import StepOptions
from usgan_cli.core.options import option


class Phantom(StepOptions):
    """Simulate B-mode ultrasound images of breast tissue: speckle from scatterers and a point-spread function."""

    COMMAND = "phantom"

    out: Path = option(
        help="Folder to write: one subfolder a class (normal, benign, malignant).",
        argument=True,
        recorded=False,
        in_study=False,
    )
    count: int = option(default=780, help="Images in all, in the class proportions of BUSI.", unit="images", least=6)
    size: int = option(default=256, help="Height and width.", unit="pixels", least=16, most=1024)
    seed: int = option(default=0, help="Seed of the simulation.", least=0)
