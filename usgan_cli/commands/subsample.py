"""Options of `usgan subsample`."""

from __future__ import annotations

from usgan_cli.commands.common import FromData, Repeat, StepOptions
from usgan_cli.core.options import selector


class Subsample(FromData, Repeat, StepOptions):
    """Draw nested, stratified subsets of the training images: the 50 are among the 100, and so on."""

    COMMAND = "subsample"

    n: tuple[int, ...] = selector("Size of a subset.", unit="images", least=1)
