"""What is done about copies and about copies under two labels before the split is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.data.duplicates import Duplicates, Groups, choose_kept
from usgan_cli.data.names import on_one_line

DuplicatePolicy = Literal["group", "drop", "ignore"]
ConflictPolicy = Literal["keep", "drop", "error"]

COPY = "copy of another image"
CONFLICT = "the same picture under another label"

_NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Settled:
    """Which images go on, and which of them stay together.

    Attributes
    ----------
    kept : bool array [N]
    reasons : dict of int to str
        Why each of the others does not.
    groups : int64 array [N]
        Images of one group go to one side; under "ignore" each image is alone.
    """

    kept: NDArray[np.bool_]
    reasons: dict[int, str]
    groups: Groups


def settle(
    duplicates: Duplicates,
    names: Sequence[str],
    areas: Sequence[int],
    policy: DuplicatePolicy,
    conflict_policy: ConflictPolicy,
) -> Settled:
    """Decide what happens to copies and conflicts.

    Parameters
    ----------
    duplicates : Duplicates
        Of N images.
    names : sequence of N str
        Where each image comes from.
    areas : sequence of N int
        Pixels of each original.
    policy : "group", "drop" or "ignore"
        Keep copies together; keep only the largest original of each; or do as if there were none.
    conflict_policy : "keep", "drop" or "error"
        Leave pictures under two labels in, leave every image of them out, or refuse the source.

    Returns
    -------
    Settled

    Raises
    ------
    DataError
        There are conflicts and they are to be an error.
    """
    if duplicates.conflicts and conflict_policy == "error":
        count = len(duplicates.conflicts)
        listed = [" = ".join(on_one_line(names[i]) for i in group) for group in duplicates.conflicts]
        more = f"; and {count - _NAMED_AT_MOST} more" if count > _NAMED_AT_MOST else ""
        raise DataError(
            f"{count} {'picture stands' if count == 1 else 'pictures stand'} under more than one label: "
            f"{'; '.join(listed[:_NAMED_AT_MOST])}{more}.",
            "Correct the labels, or leave these images out: --conflicts drop",
        )
    kept = np.ones(len(names), dtype=bool)
    reasons: dict[int, str] = {}
    if conflict_policy == "drop":
        reasons |= {i: CONFLICT for group in duplicates.conflicts for i in group}
        kept[list(reasons)] = False
    if policy == "drop":
        # An image that is left out as a conflict is no reason to leave out its copies of one label.
        chosen = choose_kept(duplicates, areas, among=kept)
        reasons |= {int(i): COPY for i in np.flatnonzero(kept & ~chosen)}
        kept &= chosen
    groups = np.arange(len(names)) if policy == "ignore" else duplicates.groups
    return Settled(kept, reasons, groups)
