"""A batch as named tensors with one row an image, and how it is cut for several devices or for less memory."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Batch = dict[str, Tensor]


def cut(batch: Mapping[str, Tensor], part: int, parts: int, group: int) -> Batch:
    """Return one of `parts` equal parts of a batch.

    Minibatch standard deviation compares images whose numbers are equal modulo N / group; a part keeps such
    images together, in their order, so that the parts' results are those of the whole batch.

    Parameters
    ----------
    batch : mapping of str to Tensor
        Each [N, ...]; `parts` divides N / min(group, N).
    part : int
        0 to parts - 1.
    parts : int
    group : int
        Size of the discriminator's groups.

    Returns
    -------
    dict of str to Tensor
        Each [N / parts, ...].
    """
    return dict(batch) if parts == 1 else {name: _cut(rows, part, parts, group) for name, rows in batch.items()}


def _cut(rows: Tensor, part: int, parts: int, group: int) -> Tensor:
    group = min(group, len(rows))
    columns = len(rows) // group
    width = columns // parts
    arranged = rows.reshape(group, columns, *rows.shape[1:])
    return arranged[:, part * width : (part + 1) * width].flatten(0, 1)


def named(prefix: str, tensors: Mapping[str, Tensor]) -> Batch:
    """Return the tensors with `prefix/` before their names."""
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def under(prefix: str, batch: Mapping[str, Tensor]) -> Batch:
    """Return the tensors that `named` has put under a prefix, by their own names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in batch.items() if name.startswith(start)}
