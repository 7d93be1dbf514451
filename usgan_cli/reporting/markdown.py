"""Names from the data in Markdown."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return a name from the data as Markdown that shows it as it is, on one line."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>#|~" else c for c in shown)
