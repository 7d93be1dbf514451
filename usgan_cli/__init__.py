"""Do GAN-made images help a classifier trained on a small medical image dataset, and can the answer be trusted?

Each command is also a function: see `usgan_cli.api`. Importing the package loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usgan_cli.api import compare, generate, phantom, prepare, report, score, subsample, train_classifier, train_gan

__version__ = "0.1.0"
__all__ = [
    "card",
    "compare",
    "generate",
    "phantom",
    "prepare",
    "report",
    "score",
    "subsample",
    "train_classifier",
    "train_gan",
]


def __getattr__(name: str) -> Any:
    """Load the functions when one of them is first asked for, so that the package itself stays light."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from usgan_cli import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """List the functions too, before they are loaded."""
    return sorted({*globals(), *__all__})
