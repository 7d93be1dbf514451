"""Computations from fixed buffers, so that a GPU can repeat them as one recorded graph.

A phase of training launches thousands of small kernels; a CUDA graph launches them all at once. Everything random
is drawn outside and copied in, so nothing in a phase depends on the host. Its speed on a GPU is unmeasured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from usgan_cli.gan.batch import Batch

WARM_UP_RUNS = 3
"""Runs before recording, in which libraries choose their algorithms and allocate their workspaces."""

Compute = Callable[[Batch], Batch]
"""Adds to the parameters' gradients and returns sums over the images; changes nothing else."""
Replay = Callable[[], None]
Recorder = Callable[[Callable[[], Batch], Sequence[Tensor]], tuple[Replay, Batch]]


def can_capture(device: torch.device) -> bool:
    """Return whether the device can record graphs."""
    return device.type == "cuda"


def record_graph(run: Callable[[], Batch], kept: Sequence[Tensor]) -> tuple[Replay, Batch]:
    """Record what `run` does on the current GPU.

    Parameters
    ----------
    run : callable
        Computes on fixed buffers and returns its results.
    kept : sequence of Tensor
        What `run` adds to: gets its values back after the warm-up.

    Returns
    -------
    replay : callable
        Does it all again.
    results : dict of str to Tensor
        Where each replay leaves its results.
    """
    before = [value.clone() for value in kept]
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP_RUNS):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = run()
    for value, old in zip(kept, before, strict=True):
        value.copy_(old)
    return graph.replay, results


class Captured:
    """A computation recorded once for the shapes of `example`, then repeated on other inputs.

    Parameters
    ----------
    compute : callable
    example : dict of str to Tensor
        Inputs of the first run.
    parameters : iterable of Tensor
        Those whose gradients it adds to; each must have a gradient, which stays where it is from now on.
    recorder : callable
        `record_graph`, or what stands for it where there is no GPU.
    """

    def __init__(
        self, compute: Compute, example: Batch, parameters: Iterable[Tensor], recorder: Recorder = record_graph
    ) -> None:
        self.inputs = {name: value.clone() for name, value in example.items()}
        kept = [parameter.grad for parameter in parameters if parameter.grad is not None]
        self._replay, self._results = recorder(lambda: compute(self.inputs), kept)

    def __call__(self, inputs: Batch) -> Batch:
        """Compute on inputs of the shapes recorded."""
        for name, buffer in self.inputs.items():
            buffer.copy_(inputs[name], non_blocking=True)
        self._replay()
        return {name: value.clone() for name, value in self._results.items()}


def shapes(inputs: Batch) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return what must be equal for a recording to serve again."""
    return tuple((name, tuple(value.shape)) for name, value in sorted(inputs.items()))
