"""Options of `usgan phantom`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import StepOptions
from usgan_cli.core.options import option, selector


class Phantom(StepOptions):
    """Simulate B-mode ultrasound images of breast tissue: speckle from scatterers and a point-spread function."""

    COMMAND = "phantom"

    out: Path = selector("Folder to write: one subfolder a class (normal, benign, malignant).", argument=True)
    count: int = option("Images in all, in the class proportions of BUSI.", default=780, unit="images", least=6)
    size: int = option("Height and width.", default=256, unit="pixels", least=16, most=1024)
    seed: int = option("Seed of the simulation.", default=0, least=0)
