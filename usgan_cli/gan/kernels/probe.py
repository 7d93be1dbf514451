"""A first look at Triton's kernels on a device: run on small tensors and compared with the library's results."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from usgan_cli.gan.kernels import triton_activation, triton_filters, triton_synthesis
from usgan_cli.gan.kernels.types import LEAKY_SLOPE, Epilogue


def largest_error(device: torch.device) -> float:
    """Return the largest difference between Triton's and the library's results, relative to the largest value."""
    draws = torch.Generator().manual_seed(0)
    c = torch.randn([2, 5, 6, 6], generator=draws).to(device)
    d, t = torch.rand([2, 2, 5], generator=draws).to(device)
    b = torch.randn([5], generator=draws).to(device)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device)
    weight = torch.outer(taps, taps).div(64).expand(5, 1, 4, 4)
    v = c * d[:, :, None, None] + b[:, None, None]
    results = [
        (F.conv2d(c, weight, padding=1, groups=5), triton_filters.binomial(c, 1.0, 1, 1, 1, (5, 5))),
        (F.conv2d(c, weight, None, 2, 1, groups=5), triton_filters.binomial(c, 1.0, 1, 2, 1, (3, 3))),
        (F.conv_transpose2d(c, weight, None, 2, 1, groups=5), triton_filters.binomial(c, 1.0, 2, 1, 2, (12, 12))),
        (F.leaky_relu(c + b[:, None, None], LEAKY_SLOPE), triton_activation.forward(c, b, None, None)),
        (
            F.leaky_relu(v, LEAKY_SLOPE) * t[:, :, None, None],
            triton_synthesis.forward(Epilogue(c, d, b, None, None, t), None, False, c.dtype)[1],
        ),
    ]
    return max(
        float((expected - computed).abs().max() / expected.abs().max())
        for expected, computed in results
        if computed is not None
    )
