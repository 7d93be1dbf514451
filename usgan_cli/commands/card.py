"""Options of `usgan card`."""

from __future__ import annotations

from usgan_cli.commands.common import StepOptions, ToPlace
from usgan_cli.core.options import option


class Card(ToPlace, StepOptions):
    """Write what others need to use this study's results: a card for each GAN, a dataset card, a CLAIM checklist.

    All of it comes from the workspace's records; what they do not know is left for you to fill in. A generator whose
    images are called copies of real ones is marked as not to be shared.
    """

    COMMAND = "card"

    license: str = option(
        "Licence of the images, as an SPDX name such as CC-BY-4.0 (default: left for you to fill in).",
        default="",
        metavar="SPDX",
    )
