"""Write the README's tables of commands and options from the program itself: python scripts/update_readme.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from usgan_cli.cli import app

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- options: made by scripts/update_readme.py -->"
END = "<!-- end of options -->"
SHARED = ("work", "force", "refresh", "dry_run", "json", "quiet", "help")
INTRODUCTION = (
    "Every command has `--work DIR` (or the environment's `USGAN_WORK`; default `work`), `--force`, `--refresh`, "
    "`--dry-run`, `--json`, `--quiet` and `--help`."
)


def options_section() -> str:
    """Return the section's Markdown."""
    lines = [INTRODUCTION]
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        text = " ".join((command.help or "").split())
        lines += ["", f"### usgan {name}", "", text, ""]
        rows = [_row(parameter) for parameter in command.params if parameter.name not in SHARED]
        if rows:
            lines += ["| option | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _row(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    label = parameter.name.upper() if is_argument else parameter.opts[0]
    meaning = (parameter.help or "").replace("|", r"\|")
    return f"| `{label}` | {_default(parameter)} | {meaning} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value is None or callable(value):
        return ""
    return "off" if value is False else f"`{value}`"


def updated(text: str) -> str:
    """Return the README's text with the section written again."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{options_section()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
