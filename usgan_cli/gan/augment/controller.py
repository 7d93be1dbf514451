"""The feedback loop of adaptive discriminator augmentation: how likely augmentations should be.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from usgan_cli.core.errors import FormatError, SettingsError
from usgan_cli.core.machine.placement import to_device


class AdaController:
    """Adjusts the augmentation probability so that the overfitting heuristic r_t stays at its target.

    Karras et al. 2020, section 3, equation 1 (r_t). p is also clamped at 1 from above: beyond it nothing more is
    applied, and only the way back gets longer. The tensors stay in place, so that recorded work sees their changes.

    Parameters
    ----------
    target : float
        Target of r_t = E[sign(D(real))], in [-1, 1].
    interval : int
        Number of minibatches between updates.
    kimg : float
        Thousands of real images in which p can go from 0 to 1.
    device : torch.device or str
        Where p and the observations are kept, in float64 and int64. Where the discriminator runs, neither `observe`
        nor `update` waits for it; what is read as plain numbers (`p`, `r_t`, `state_dict`) does.
    """

    def __init__(
        self,
        target: float = 0.6,
        interval: int = 4,
        kimg: float = 500,
        p: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not -1 <= target <= 1:
            raise SettingsError(f"ADA's target must lie in [-1, 1]: {target}")
        if interval < 1 or not kimg > 0:
            raise SettingsError(f"ADA's interval and kimg must be positive: {interval}, {kimg}")
        if not 0 <= p <= 1:
            raise SettingsError(f"ADA's p must lie in [0, 1]: {p}")
        self.target = target
        self.interval = interval
        self.kimg = kimg
        self.device = torch.device(device)
        self._p = torch.full((), float(p), dtype=torch.float64, device=self.device)
        self._r_t = torch.full_like(self._p, math.nan)  # not a number: never updated
        # Observations since the last update: the sum of signs, and how many.
        self._signs = torch.zeros((), dtype=torch.int64, device=self.device)
        self._count = torch.zeros_like(self._signs)

    @property
    def p_tensor(self) -> Tensor:
        """The current probability: a float64 scalar on the device, which follows every update. Not to be changed."""
        return self._p

    @property
    def p(self) -> float:
        """The current probability, in [0, 1]."""
        return float(self._p)

    @property
    def r_t(self) -> float | None:
        """The heuristic at the last update, in [-1, 1]; None before the first."""
        r_t = float(self._r_t)
        return None if math.isnan(r_t) else r_t

    @torch.no_grad()
    def observe(self, signs_sum: Tensor, count: int | Tensor) -> None:
        """Take in the discriminator's logits of a minibatch of augmented real images, over all processes.

        `signs_sum` is the sum of their signs, a scalar of any type, and `count` how many they are.
        """
        self._signs += to_device(signs_sum, self.device, torch.int64)
        self._count += to_device(count, self.device, torch.int64) if isinstance(count, Tensor) else count

    @torch.no_grad()
    def update(self, batch: int) -> None:
        """Move p one step towards the target; call it every `interval` minibatches.

        `batch` is the number of real images per minibatch, over all processes. Without observations since the last
        update p stays as it is.
        """
        step = batch * self.interval / (self.kimg * 1000)
        r_t = self._signs.double() / self._count.double()
        direction = (r_t > self.target).double() - (r_t < self.target).double()
        seen = self._count > 0
        self._r_t.copy_(torch.where(seen, r_t, self._r_t))
        self._p.copy_(torch.where(seen, (self._p + direction * step).clamp(0, 1), self._p))
        self._signs.zero_()
        self._count.zero_()

    def state_dict(self) -> dict[str, float | int | None]:
        """Return all that changes, observations since the last update included, as plain numbers."""
        return {"p": self.p, "r_t": self.r_t, "signs": int(self._signs), "count": int(self._count)}

    def load_state_dict(self, state: Mapping[str, float | int | None]) -> None:
        """Continue from what `state_dict` returned; `FormatError` if a field is missing or impossible."""
        if missing := {"p", "r_t", "signs", "count"} - set(state):
            raise FormatError(f"the state of ADA's controller lacks {', '.join(sorted(missing))}")
        p, r_t, signs, count = (state[name] for name in ("p", "r_t", "signs", "count"))
        if not isinstance(p, float | int) or not 0 <= p <= 1:
            raise FormatError(f"the state of ADA's controller has an impossible p: {p}")
        if r_t is not None and not (math.isfinite(r_t) and -1 <= r_t <= 1):
            raise FormatError(f"the state of ADA's controller has an impossible r_t: {r_t}")
        if not isinstance(signs, int) or not isinstance(count, int) or abs(signs) > count:
            raise FormatError(f"the state of ADA's controller has impossible signs or count: {signs}, {count}")
        self._p.fill_(p)
        self._r_t.fill_(math.nan if r_t is None else r_t)
        self._signs.fill_(signs)
        self._count.fill_(count)
