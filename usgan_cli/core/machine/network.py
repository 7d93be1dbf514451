"""Whether anything may be fetched from the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

OFFLINE = "USGAN_OFFLINE"
OFFLINE_VARIABLES = (OFFLINE, "HF_HUB_OFFLINE")


def switched_on(variable: str) -> bool:
    """Return whether an environment variable is set to anything but 0, false, no or off."""
    return os.environ.get(variable, "").strip().lower() not in {"", "0", "false", "no", "off"}


def is_offline() -> bool:
    """Return whether the user has forbidden to fetch anything."""
    return any(switched_on(variable) for variable in OFFLINE_VARIABLES)


@contextmanager
def offline_if(asked: bool) -> Iterator[None]:
    """Forbid to fetch anything in the block, and in the processes that it starts, if that is asked."""
    before = os.environ.get(OFFLINE)
    if asked:
        os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if before is not None:
            os.environ[OFFLINE] = before
        elif asked:
            os.environ.pop(OFFLINE, None)
