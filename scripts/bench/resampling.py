"""Resampling with any filter, in public operations: what the networks' binomial filters are checked against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def setup_filter(
    f: Sequence[float] | Sequence[Sequence[float]] | Tensor, *, normalize: bool = True, gain: float = 1.0
) -> Tensor:
    """Make a two-dimensional filter from its taps.

    Parameters
    ----------
    f : sequence or Tensor
        Taps of a separable filter ([k]) or a whole filter ([kh, kw]).
    normalize : bool
        Divide by the sum, so that a constant image is kept.
    gain : float
        Factor on the whole filter.

    Returns
    -------
    Tensor
        [kh, kw], float32.
    """
    taps = torch.as_tensor(f, dtype=torch.float32)
    if taps.ndim == 1:
        taps = torch.outer(taps, taps)
    if normalize:
        taps = taps / taps.sum()
    return taps * gain


def _four(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Spell padding out as (left, right, top, bottom)."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    left, right, top, bottom = padding
    return left, right, top, bottom


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter and keep every `down`-th pixel.

    Parameters
    ----------
    x : Tensor
        Images, [N, C, H, W].
    f : Tensor
        Filter, [kh, kw].
    up, down : int
        Whole factors, at least 1.
    padding : int or sequence of int
        Zeros around the enlarged image: one number, (x, y) or (left, right, top, bottom); negative crops.
    flip_filter : bool
        False convolves, True correlates.
    gain : float
        Factor on the result.

    Returns
    -------
    Tensor
        [N, C, (H * up + top + bottom - kh) // down + 1, (W * up + left + right - kw) // down + 1].
    """
    n, c, h, w = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, _four(padding))
    f = f.to(x.dtype) * gain
    if not flip_filter:
        f = f.flip((0, 1))
    return F.conv2d(x, f.expand(c, 1, *f.shape), stride=down, groups=c)


def upsample2d(
    x: Tensor, f: Tensor, up: int = 2, padding: int = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Enlarge images by a whole factor, keeping a constant image constant away from the borders.

    Parameters
    ----------
    x, f, up, flip_filter, gain
        As for `upfirdn2d`.
    padding : int
        Pixels by which the result is larger on each side.

    Returns
    -------
    Tensor
        [N, C, H * up + 2 * padding, W * up + 2 * padding].
    """
    kh, kw = f.shape
    pad = _up_padding(kw, up, padding) + _up_padding(kh, up, padding)
    return upfirdn2d(x, f, up=up, padding=pad, flip_filter=flip_filter, gain=gain * up**2)


def downsample2d(
    x: Tensor, f: Tensor, down: int = 2, padding: int = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Shrink images by a whole factor.

    Parameters
    ----------
    x, f, down, flip_filter, gain
        As for `upfirdn2d`.
    padding : int
        Pixels of the input that are kept more on each side.

    Returns
    -------
    Tensor
        [N, C, H // down, W // down] for padding 0 and an even filter and factor.
    """
    kh, kw = f.shape
    pad = _down_padding(kw, down, padding) + _down_padding(kh, down, padding)
    return upfirdn2d(x, f, down=down, padding=pad, flip_filter=flip_filter, gain=gain)


def _up_padding(taps: int, up: int, padding: int) -> tuple[int, int]:
    return padding + (taps + up - 1) // 2, padding + (taps - up) // 2


def _down_padding(taps: int, down: int, padding: int) -> tuple[int, int]:
    return padding + (taps - down + 1) // 2, padding + (taps - down) // 2


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """Enlarge, convolve and shrink, filtering at the higher resolution.

    Parameters
    ----------
    x : Tensor
        Input, [N, I, H, W].
    w : Tensor
        Kernel, [O, I, kh, kw].
    f : Tensor, optional
        Filter, [fh, fw]; None repeats or drops pixels without filtering.
    up, down : int
        Whole factors, at least 1.
    padding : int or sequence of int
        Padding of the convolution at the enlarged resolution.
    flip_weight, flip_filter : bool
        True correlates, False convolves.

    Returns
    -------
    Tensor
        [N, O, H * up / down, W * up / down] when the padding keeps the convolution's size.
    """
    f = x.new_ones(1, 1) if f is None else f
    left, right, top, bottom = _four(padding)
    fh, fw = f.shape
    if up > 1:
        left, top = left + _up_padding(fw, up, 0)[0], top + _up_padding(fh, up, 0)[0]
        right, bottom = right + _up_padding(fw, up, 0)[1], bottom + _up_padding(fh, up, 0)[1]
    if down > 1:
        left, top = left + _down_padding(fw, down, 0)[0], top + _down_padding(fh, down, 0)[0]
        right, bottom = right + _down_padding(fw, down, 0)[1], bottom + _down_padding(fh, down, 0)[1]
    # Filtering and convolving at the high resolution commute, so the filter goes first for every factor.
    x = upfirdn2d(x, f, up=up, padding=(left, right, top, bottom), flip_filter=flip_filter, gain=up**2)
    return F.conv2d(x, w if flip_weight else w.flip((2, 3)), stride=down)
