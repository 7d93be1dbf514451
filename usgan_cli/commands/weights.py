"""Options of `usgan weights`."""

from __future__ import annotations

from usgan_cli.commands.common import InWorkspace
from usgan_cli.core.options import selector


class Weights(InWorkspace):
    """List the pretrained weights that choices need and where they are; get some (--fetch), read them all (--check)."""

    COMMAND = "weights"

    fetch: tuple[str, ...] = selector(
        "Get these from the network, unless they are on this machine: inception (the FID), efficientnet_b2 or another "
        "network of timm.",
        default=(),
        metavar="NAME",
    )
    check: bool = selector("Read every tensor of those that are here; unusable ones end with status 1.", default=False)
