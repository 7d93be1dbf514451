"""`--stop auto`: when a training has given its best, judged on training images that were held out from it.

Every measurement is a line of the log, so a continued training decides from what was measured before it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from usgan_cli.core.formats.generator import LogRow

PATIENCE = 5
"""Measurements without a new best after which a training may end ..."""
LONGER = 1.5
"""... once it has also taken so many times as long as to its best: later improvements come more slowly."""
COPIES_IN_A_ROW = 2
"""Measurements in a row with copies of training images that end a training."""


def measurements(rows: Sequence[LogRow]) -> list[LogRow]:
    """Return the lines of the log with a distance to held-out images."""
    return [row for row in rows if row.held_out is not None]


def best_of(rows: Sequence[LogRow]) -> LogRow | None:
    """Return the line whose generator was nearest to the held-out images and made no copies; None if all made copies.

    Of equal ones it is the first.
    """
    return min(
        (row for row in measurements(rows) if not row.copied),
        key=lambda row: float("inf") if row.held_out is None else row.held_out,
        default=None,
    )


def reason_to_stop(rows: Sequence[LogRow]) -> str | None:
    """Return why a training should end after these lines of its log; None if it should go on."""
    measured = measurements(rows)
    if len(measured) >= COPIES_IN_A_ROW and all(row.copied for row in measured[-COPIES_IN_A_ROW:]):
        share = measured[-1].copies or 0.0
        return f"its images have become copies of training images ({100 * share:.3g} % at {measured[-1].kimg:g} kimg)"
    best = best_of(measured)
    if best is None:
        return None
    since = sum(row.kimg > best.kimg for row in measured)
    if since >= PATIENCE and measured[-1].kimg >= LONGER * best.kimg:
        return f"its distance to held-out images has not fallen since {best.kimg:g} kimg, over {since} measurements"
    return None
