"""Words for messages, the same everywhere: p-values, lengths of time, counts, and names."""

from __future__ import annotations

from collections.abc import Sequence

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Bounds of an adjusted p-value, the smallest first, and their marks."""

_LISTED_AT_MOST = 10


def stars(p_adjusted: float | None) -> str:
    """Return the stars of a p-value that has been adjusted: * below 0.05, ** below 0.01, *** below 0.001."""
    return next((mark for bound, mark in STARS if p_adjusted is not None and p_adjusted < bound), "")


def p_text(p: float | None, absent: str = "-") -> str:
    """Return a p-value with three decimals, or that it is smaller than they can tell; `absent` where there is none."""
    if p is None:
        return absent
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that matter: "45 s", "2 h 05 min", "3 d 04 h"."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def on_one_line(name: str) -> str:
    r"""Return a name for a message: line breaks and other control characters become `\n` and the like."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return "1 image", "2 images"; `many` is the plural where adding an s does not make it."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first ten names on one line, and how many more there are."""
    few = separator.join(on_one_line(name) for name in names[:_LISTED_AT_MOST])
    more = len(names) - _LISTED_AT_MOST
    return few if more <= 0 else f"{few}{separator}and {more} more"
