"""Words for messages and tables, the same everywhere: numbers, p-values, times, counts, lists and names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

DASH = "–"
"""Shown for a value that was not measured."""
CONTROL_NAMES = {"copies": "copies", "classical": "augmented copies"}
"""Controls that add images which are not a GAN's."""
GAN_NAMES = {
    "none": "StyleGAN2",
    "ada": "ADA",
    "diffaug": "DiffAug",
    "ada+diffaug": "ADA + DiffAug",
    "best": "Projected",
}

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Bounds of an adjusted p-value, the smallest first, and their marks."""

_LISTED_AT_MOST = 10


def stars(p_adjusted: float | None) -> str:
    """Return the stars of an adjusted p-value: * below 0.05, ** below 0.01, *** below 0.001."""
    return next((mark for bound, mark in STARS if p_adjusted is not None and p_adjusted < bound), "")


def p_text(p: float | None, absent: str = "-") -> str:
    """Return a p-value with three decimals, "< 0.001" below their reach, or `absent` for None."""
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


def all_of(count: int, noun: str) -> str:
    """Return "the one image", "all 2 images"."""
    return f"the one {noun}" if count == 1 else f"all {plural(count, noun)}"


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first ten names on one line, and how many more there are."""
    few = separator.join(on_one_line(name) for name in names[:_LISTED_AT_MOST])
    more = len(names) - _LISTED_AT_MOST
    return few if more <= 0 else f"{few}{separator}and {more} more"


def number(value: float, digits: int | None, *, sign: bool = False) -> str:
    """Return a number with so many decimals (None: as few as it needs) and a true minus; a rounded zero has no sign."""
    text = f"{value:g}" if digits is None else f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def p_value(p: float | None) -> str:
    """Return a p-value for a table; a dash where there is none."""
    return p_text(p, DASH)


def p_equals(p: float | None) -> str:
    """Return a p-value as it follows the letter p: "= 0.012" or "< 0.001"."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def joined(items: Iterable[object], most: int | None = None) -> str:
    """Return "a, b and c", or with more than `most` items "a, b and 7 more"."""
    texts = [str(item) for item in items]
    if most is not None and len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def gan_label(aug: str) -> str:
    """Return a GAN's name for readers: "StyleGAN2 + ADA", "Projected GAN"."""
    if aug not in GAN_NAMES:
        return aug
    if aug == "best":
        return f"{GAN_NAMES['best']} GAN"
    return GAN_NAMES[aug] if aug == "none" else f"{GAN_NAMES['none']} + {GAN_NAMES[aug]}"


def training_label(aug: str | None, ratio: float = 0, variant: str = "", control: str | None = None) -> str:
    """Return a classifier's training set for readers: "Real alone", "+ 50 % ADA (strict)", "+ 100 % copies"."""
    beyond = f" ({variant})" if variant else ""
    if aug is not None:
        return f"+ {100 * ratio:g} % {GAN_NAMES.get(aug, aug)}{beyond}"
    if control == "real":
        return f"Real alone, updates of + {100 * ratio:g} %"
    return "Real alone" if control is None else f"+ {100 * ratio:g} % {CONTROL_NAMES.get(control, control)}"


def short_digests(text: str) -> str:
    """Return text with the digests in it cut to eight digits."""
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{8,}", r"\1", text)


def without_digests(text: str) -> str:
    """Return text without the digests in it: "net@0123456789abcdef" becomes "net"."""
    return re.sub(r"@?\b[0-9a-f]{16,}\b", "", text)
