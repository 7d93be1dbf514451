"""Numbers in words, the same everywhere: p-values and lengths of time."""

from __future__ import annotations

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Bounds of an adjusted p-value, the smallest first, and their marks."""


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
