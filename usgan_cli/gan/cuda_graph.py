"""Computations from fixed buffers, so that a GPU can repeat them as one recorded graph.

A phase of training launches thousands of small kernels; a CUDA graph launches them all at once. Everything random
is drawn outside and copied in, so nothing in a phase depends on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from usgan_cli.core.machine.precision import check_graphs
from usgan_cli.gan.batches import Batch

WARM_UP_RUNS = 2
"""Runs before recording, in which libraries choose their algorithms and allocate their workspaces."""

GraphsWanted = Literal["auto", "on", "off"]
"""Record graphs where it works and say where it does not; record them or fail; do without."""

Compute = Callable[[Batch], Batch]
"""Adds to the parameters' gradients and returns sums over the images; changes nothing else."""
Replay = Callable[[], None]


class GraphError(Exception):
    """A computation could not be recorded; `report` tells the user once, and training goes on without graphs."""

    def __init__(self, reason: str, warn: Callable[[str], None]) -> None:
        super().__init__(reason)
        self.warn = warn

    def report(self) -> None:
        """Warn that graphs are not used, and why."""
        self.warn(f"CUDA graphs do not work here ({self}); training goes on without them.")


def resolve_graphs(choice: GraphsWanted, device: torch.device) -> GraphsWanted:
    """Return the choice where the device can record graphs, else "off"; there "on" is a SettingsError."""
    if device.type == "cuda":
        return choice
    check_graphs(choice, device.type)
    return "off"


class Recording(NamedTuple):
    """A computation recorded for inputs of certain shapes."""

    inputs: Batch
    """Buffers that each replay reads."""
    replay: Replay
    results: Batch
    """Buffers that each replay writes."""


class Graphs:
    """The graphs of a training, one for each computation and shape of its inputs.

    The computations add to `gradients`, which stay where they are in memory. With `warn`, a computation that cannot
    be recorded raises GraphError, which carries it; without, the recording's own error passes through.
    """

    def __init__(self, gradients: Sequence[Tensor], warn: Callable[[str], None] | None = None) -> None:
        self.gradients, self.warn = gradients, warn
        self._recordings: dict[tuple[object, ...], Recording] = {}
        self._pool: object = None

    def run(self, name: str, compute: Compute, inputs: Batch) -> Batch:
        """Compute by replaying the graph of this name and shape, recorded at the first call."""
        key = (name, *((tensor, tuple(value.shape)) for tensor, value in sorted(inputs.items())))
        if key not in self._recordings:
            buffers = {tensor: value.clone() for tensor, value in inputs.items()}
            try:
                self._recordings[key] = Recording(buffers, *self._record(lambda: compute(buffers), self.gradients))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                if self.warn is None:
                    raise
                self.clear()
                raise GraphError(str(error).splitlines()[0], self.warn) from error
        recording = self._recordings[key]
        for tensor, buffer in recording.inputs.items():
            buffer.copy_(inputs[tensor], non_blocking=True)
        recording.replay()
        return {tensor: value.clone() for tensor, value in recording.results.items()}

    def clear(self) -> None:
        """Forget all graphs, and give their memory back."""
        self._recordings.clear()
        self._pool = None

    def _record(self, run: Callable[[], Batch], kept: Sequence[Tensor]) -> tuple[Replay, Batch]:
        """Record what `run` does on the current GPU; `kept`, which it adds to, is as before afterwards.

        All graphs share one pool of memory, so they must be replayed one after the other.
        """
        before = [value.clone() for value in kept]
        warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        warm_up.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up):
            for _ in range(WARM_UP_RUNS):
                run()
        torch.cuda.current_stream().wait_stream(warm_up)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):  # type: ignore[arg-type]
            results = run()
        for value, old in zip(kept, before, strict=True):
            value.copy_(old)
        return graph.replay, results
