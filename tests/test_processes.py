"""Processes that tests fork can do what the tests' own process can, whatever ran in it before."""

from __future__ import annotations

import torch
from processes import Forked
from torch._subclasses.fake_tensor import FakeTensorMode


def gradient() -> int:
    x = torch.ones(2, requires_grad=True)
    (3 * x).sum().backward()
    return 0 if x.grad is not None and x.grad.tolist() == [3.0, 3.0] else 1


def test_a_forked_process_computes_gradients_after_fake_tensors_were_used() -> None:
    with FakeTensorMode():
        torch.ones(2)
    assert gradient() == 0
    out, said = (process := Forked(gradient)).communicate(timeout=60)
    assert process.returncode == 0, f"{out!r} {said!r}"
