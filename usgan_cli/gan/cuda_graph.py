"""Computations from fixed buffers, so that a GPU can repeat them as one recorded graph.

A phase of training launches thousands of small kernels; a CUDA graph launches them all at once. Everything random
is drawn outside and copied in, so nothing in a phase depends on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError

WARM_UP_RUNS = 2
"""Runs before recording, in which libraries choose their algorithms and allocate their workspaces."""

GraphsWanted = Literal["auto", "on", "off"]
"""Record graphs where it works and say where it does not; record them or fail; do without."""

Batch = dict[str, Tensor]
Compute = Callable[[Batch], Batch]
Replay = Callable[[], None]
Recorder = Callable[[Callable[[], Batch], Sequence[Tensor]], tuple[Replay, Batch]]


class GraphError(Exception):
    """A computation could not be recorded; `report` tells the user that training goes on without graphs."""

    def __init__(self, reason: str, warn: Callable[[str], None]) -> None:
        super().__init__(reason)
        self.reason, self.warn = reason, warn

    def report(self) -> None:
        """Say once that and why graphs are not used."""
        self.warn(f"CUDA graphs do not work here ({self.reason}); training goes on without them.")


def resolve_graphs(wanted: GraphsWanted, device: torch.device) -> GraphsWanted:
    """Return `wanted` where the device can record graphs, else "off"; "on" is refused there.

    Raises
    ------
    SettingsError
        "on" is asked for on a device that is no GPU.
    """
    if device.type == "cuda":
        return wanted
    if wanted == "on":
        raise SettingsError(f"--cuda-graphs on needs a GPU; this training runs on {device}.", "Use --cuda-graphs auto.")
    return "off"


def record_graph(run: Callable[[], Batch], kept: Sequence[Tensor], pool: object = None) -> tuple[Replay, Batch]:
    """Record what `run` does on the current GPU.

    Parameters
    ----------
    run : callable
        Computes on fixed buffers and returns its results.
    kept : sequence of Tensor
        What `run` adds to: gets its values back after the warm-up.
    pool : optional
        Memory that several graphs share; they must be replayed one after the other.

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
    with torch.cuda.graph(graph, pool=pool):  # type: ignore[arg-type]
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
    kept : iterable of Tensor
        What the computation adds to, which stays where it is from now on.
    recorder : callable
        `record_graph`, or what stands for it where there is no GPU.
    """

    def __init__(
        self, compute: Compute, example: Batch, kept: Iterable[Tensor], recorder: Recorder = record_graph
    ) -> None:
        self.inputs = {name: value.clone() for name, value in example.items()}
        self._replay, self._results = recorder(lambda: compute(self.inputs), list(kept))

    def __call__(self, inputs: Batch) -> Batch:
        """Compute on inputs of the shapes recorded."""
        for name, buffer in self.inputs.items():
            buffer.copy_(inputs[name], non_blocking=True)
        self._replay()
        return {name: value.clone() for name, value in self._results.items()}


class Graphs:
    """The graphs of a training, one for each computation and shape of its inputs.

    Parameters
    ----------
    gradients : sequence of Tensor
        What the computations add to.
    warn : callable, optional
        Where a computation cannot be recorded, GraphError carries this to tell the user; without it the error that the
        recording raised stays.
    recorder : callable, optional
        Stands for `record_graph` where there is no GPU.
    """

    def __init__(
        self,
        gradients: Sequence[Tensor],
        warn: Callable[[str], None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.gradients, self.warn, self.recorder = gradients, warn, recorder
        self._captured: dict[tuple[object, ...], Captured] = {}
        self._pool: object = None

    def run(self, name: str, compute: Compute, inputs: Batch) -> Batch:
        """Compute by replaying the graph of this name and shape, recorded at the first call.

        Raises
        ------
        GraphError
            It could not be recorded.
        """
        key = (name, *shapes(inputs))
        if key not in self._captured:
            try:
                self._captured[key] = Captured(compute, inputs, self.gradients, self.recorder or self._record)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                if self.warn is None:
                    raise
                self.clear()
                raise GraphError(str(error).splitlines()[0], self.warn) from error
        return self._captured[key](inputs)

    def clear(self) -> None:
        """Forget all graphs, and give their memory back."""
        self._captured.clear()
        self._pool = None

    def _record(self, run: Callable[[], Batch], kept: Sequence[Tensor]) -> tuple[Replay, Batch]:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return record_graph(run, kept, self._pool)


def shapes(inputs: Batch) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return what must be equal for a recording to serve again."""
    return tuple((name, tuple(value.shape)) for name, value in sorted(inputs.items()))
