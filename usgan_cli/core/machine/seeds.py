"""Randomness that belongs to the item: every draw has a seed derived from its purpose.

Numbers come from a new generator, made from (seed, purpose, index), so that nothing depends on how the work was
batched or interrupted, and no random state has to be saved.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(*parts: str | int) -> int:
    """Return a 63-bit seed that depends on every part and on their order, as in (seed, "latents", index)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_generator(*parts: str | int) -> np.random.Generator:
    """Return a NumPy generator seeded from the parts (see `derive_seed`)."""
    import numpy as np

    return np.random.default_rng(derive_seed(*parts))


def torch_generator(*parts: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a torch generator on `device`, seeded from the parts (see `derive_seed`)."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(*parts))
