"""A test side with each class's share that divides no group.

Groups with the same number of images of each class are of one kind and interchangeable, so the split decides only how
many of each kind go to the test side: at random if single images can fill up, otherwise by a small integer program. The
seed picks which groups of a kind those are.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from usgan_cli.core.apportion import largest_remainder
from usgan_cli.core.errors import DataError
from usgan_cli.core.machine.seeds import numpy_generator

Counts = NDArray[np.int64]

_NODE_LIMITS = (20_000, 20_000, 200)
"""Bounds of the search for each aim where every group is of its own kind (patients); unlike a time limit, they give the
same split on every machine. The last aim, to follow the seed's wishes, needs no optimum."""

_ENUMERATED = 50_000
"""Up to this many choices, looking at all of them is quicker than the integer program."""


def stratified_group_split(
    labels: NDArray[np.int64], groups: NDArray[np.int64], test_count: int, seed: int
) -> NDArray[np.bool_]:
    """Choose a test side of `test_count` images (1 to N - 1) with each class's share, dividing no group.

    `labels` (classes, from 0) and `groups` are those of each of N images; the result [N] is True for test images.
    Wherever the groups allow it there are exactly `test_count`, with the classes' shares of `largest_remainder`;
    otherwise the total is as near as possible, and then the classes' counts.
    """
    if not 0 < test_count < len(labels):
        raise DataError(
            f"A test side of {test_count} out of {len(labels)} images leaves one side empty.",
            "Choose a number of test images between the two.",
        )
    group_of, position = np.unique(groups, return_inverse=True)
    table = np.zeros((len(group_of), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(table, (position, labels), 1)
    kinds, kind_of_group, number = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    kind_of_group = kind_of_group.reshape(-1)

    generator = numpy_generator(seed, "split")
    target = largest_remainder(table.sum(axis=0), test_count)
    taken = _draw_counts(kinds, number, target, generator)
    if taken is None:
        wish = _wish(kinds, number, target, generator)
        few = math.prod(int(count) + 1 for count in number) <= _ENUMERATED
        taken = (_best_of_all_counts if few else _nearest_counts)(kinds, number, target, wish)

    in_test = np.zeros(len(group_of), dtype=bool)
    for kind, count in enumerate(taken):
        candidates = np.flatnonzero(kind_of_group == kind)
        in_test[generator.permutation(candidates)[:count]] = True
    return in_test[position]


def _wish(kinds: Counts, number: Counts, target: Counts, generator: np.random.Generator) -> Counts:
    """Draw how many groups of each kind to take: its proportion, rounded up or down by chance."""
    ideal = number * target.sum() / (number * kinds.sum(axis=1)).sum()
    return np.asarray(np.floor(ideal + generator.random(len(ideal))).astype(np.int64))


def _draw_counts(kinds: Counts, number: Counts, target: Counts, generator: np.random.Generator) -> Counts | None:
    """Draw the larger groups in proportion and fill up with single images, or return None where that fails.

    With most images alone in their group, as they usually are, the first draw already meets the target exactly.
    """
    single = np.flatnonzero(kinds.sum(axis=1) == 1)
    class_of_single = kinds[single].argmax(axis=1)
    for _ in range(20):
        taken = _wish(kinds, number, target, generator)
        taken[single] = 0
        missing = target - taken @ kinds
        taken[single] = missing[class_of_single]
        if (taken >= 0).all() and (taken <= number).all() and (taken @ kinds == target).all():
            return taken
    return None


def _best_of_all_counts(kinds: Counts, number: Counts, target: Counts, wish: Counts) -> Counts:
    """Return the optimum that `_nearest_counts` searches for, by trying every choice."""
    choices = np.indices(tuple(int(count) + 1 for count in number)).reshape(len(number), -1).T
    got = choices @ kinds
    total = np.abs(got.sum(axis=1) - target.sum())
    classes, wishes = np.abs(got - target).sum(axis=1), np.abs(choices - wish).sum(axis=1)
    return np.asarray(choices[np.lexsort((wishes, classes, total))[0]])


def _nearest_counts(kinds: Counts, number: Counts, target: Counts, wish: Counts) -> Counts:
    """Return how many groups of each kind to take: total, then classes, then wishes are met as nearly as possible.

    `kinds` [K, C] is the number of images of each class in one group of the kind, `number` [K] of groups of the kind,
    `target` [C] of test images of each class, `wish` [K] of groups that the seed prefers to take.
    """
    # Each row of `system` is one aim; two variables for each measure by how much it is missed, above and below.
    system = np.vstack([kinds.sum(axis=1), kinds.T, np.eye(len(kinds), dtype=np.int64)])
    aims = np.concatenate([[target.sum()], target, wish])
    tier = np.repeat([0, 1, 2], [1, len(target), len(kinds)])
    k, a = len(kinds), len(aims)
    aim = scipy.optimize.LinearConstraint(np.hstack([system, np.eye(a), -np.eye(a)]), aims, aims)
    # Every variable is bounded: without bounds on the misses the solver did not return.
    images = int((number * kinds.sum(axis=1)).sum())
    bounds = scipy.optimize.Bounds(np.zeros(k + 2 * a), np.concatenate([number, np.full(2 * a, images)]))
    integral = np.repeat([1, 0], [k, 2 * a])

    constraints = [aim]
    solution = np.zeros(k)
    for level, node_limit in enumerate(_NODE_LIMITS):
        misses = np.concatenate([np.zeros(k), np.tile(tier == level, 2)]).astype(float)
        # The solver ended some easy problems with "solve error", with its presolving or without, but seldom both.
        for presolve in (True, False):
            result = scipy.optimize.milp(
                misses,
                integrality=integral,
                bounds=bounds,
                constraints=constraints,
                options={"mip_rel_gap": 0.0, "node_limit": node_limit, "presolve": presolve},
            )
            if result.x is not None:
                break
        if result.x is None and level == 0:
            raise DataError(
                f"No test side of about {target.sum()} images was found that divides no group.",
                "Try another number of test images.",
            )
        if result.x is None:  # the search ended without improving on the previous level
            break
        solution = np.rint(result.x[:k])
        missed = np.abs(system @ solution - aims)[tier == level].sum()
        # Misses are whole numbers; the margin keeps the solver's rounding from excluding this solution.
        constraints = [*constraints, scipy.optimize.LinearConstraint(misses, -np.inf, missed + 0.25)]
    return solution.astype(np.int64)
