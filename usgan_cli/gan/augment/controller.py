"""The feedback loop of adaptive discriminator augmentation: how likely augmentations should be.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from usgan_cli.core.errors import FormatError, SettingsError

# Above it augmentations begin to leak into the generated images (Karras et al. 2020, section 2.2 and figure 4).
LEAK_THRESHOLD = 0.8


class AdaController:
    """Adjusts the augmentation probability so that the overfitting heuristic r_t stays at its target.

    Parameters
    ----------
    target : float
        Target of r_t = E[sign(D(real))], in [-1, 1].
    interval : int
        Number of minibatches between updates.
    kimg : float
        Thousands of real images in which p can go from 0 to 1.
    p : float
        Initial probability, in [0, 1].

    Raises
    ------
    SettingsError
        If a setting is out of range.

    Notes
    -----
    Karras et al. 2020, section 3, equation 1 (r_t). p is also clamped at 1 from above: beyond it nothing more is
    applied, and only the way back gets longer.
    """

    def __init__(self, target: float = 0.6, interval: int = 4, kimg: float = 500, p: float = 0.0) -> None:
        if not -1 <= target <= 1:
            raise SettingsError(f"ADA's target must lie in [-1, 1]: {target}")
        if interval < 1 or not kimg > 0:
            raise SettingsError(f"ADA's interval and kimg must be positive: {interval}, {kimg}")
        if not 0 <= p <= 1:
            raise SettingsError(f"ADA's p must lie in [0, 1]: {p}")
        self.target = target
        self.interval = interval
        self.kimg = kimg
        self._p = float(p)
        self._r_t: float | None = None
        self._pending: Tensor | None = None

    @property
    def p(self) -> float:
        """The current probability, in [0, 1]."""
        return self._p

    @property
    def r_t(self) -> float | None:
        """The heuristic at the last update, in [-1, 1]; None before the first."""
        return self._r_t

    @property
    def leaking(self) -> bool:
        """Whether p is so high that augmentations begin to show in generated images."""
        return self._p > LEAK_THRESHOLD

    def observe(self, logits: Tensor) -> None:
        """Take in the discriminator's logits of augmented real images (any shape), without waiting for the device."""
        logits = logits.detach()
        positive, negative = (logits > 0).sum(), (logits < 0).sum()
        seen = torch.stack([positive - negative, torch.full_like(positive, logits.numel())])
        self._pending = seen if self._pending is None else self._pending.to(seen.device) + seen

    def update(self, batch: int, reduce: Callable[[Tensor], Tensor] | None = None) -> float:
        """Move p one step towards the target; call it every `interval` minibatches.

        Parameters
        ----------
        batch : int
            Real images per minibatch, over all processes.
        reduce : callable, optional
            Adds the observed [sum of signs, count] (int64) up over processes. Every process must take part.

        Returns
        -------
        float
            The new p. Without observations since the last update it stays as it is.
        """
        pending = torch.zeros(2, dtype=torch.int64) if self._pending is None else self._pending
        signs, count = (pending if reduce is None else reduce(pending)).tolist()
        self._pending = None
        if count > 0:
            self._r_t = signs / count
            step = batch * self.interval / (self.kimg * 1000)
            direction = (self._r_t > self.target) - (self._r_t < self.target)
            self._p = min(max(self._p + direction * step, 0.0), 1.0)
        return self._p

    def state_dict(self) -> dict[str, float | int | None]:
        """Return all that changes, observations since the last update included, as plain numbers."""
        signs, count = (0, 0) if self._pending is None else self._pending.tolist()
        return {"p": self._p, "r_t": self._r_t, "signs": signs, "count": count}

    def load_state_dict(self, state: Mapping[str, float | int | None]) -> None:
        """Continue from what `state_dict` returned.

        Raises
        ------
        FormatError
            If a field is missing or impossible.
        """
        if missing := {"p", "r_t", "signs", "count"} - set(state):
            raise FormatError(f"the state of ADA's controller lacks {', '.join(sorted(missing))}")
        p, r_t, signs, count = (state[name] for name in ("p", "r_t", "signs", "count"))
        if not isinstance(p, float | int) or not 0 <= p <= 1:
            raise FormatError(f"the state of ADA's controller has an impossible p: {p}")
        if r_t is not None and not (math.isfinite(r_t) and -1 <= r_t <= 1):
            raise FormatError(f"the state of ADA's controller has an impossible r_t: {r_t}")
        if not isinstance(signs, int) or not isinstance(count, int) or abs(signs) > count:
            raise FormatError(f"the state of ADA's controller has impossible signs or count: {signs}, {count}")
        self._p, self._r_t = float(p), None if r_t is None else float(r_t)
        self._pending = torch.tensor([signs, count]) if count else None
