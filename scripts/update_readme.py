"""Write the README's tables of commands and options from the program itself: python scripts/update_readme.py."""

from __future__ import annotations

import inspect
from pathlib import Path

from usgan_cli.cli import COMMANDS
from usgan_cli.commands.common import StepOptions
from usgan_cli.core.options import Options
from usgan_cli.terminal.options import option_table

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- options: made by scripts/update_readme.py -->"
END = "<!-- end of options -->"
INTRODUCTION = (
    "Every command has `--work DIR` (or the environment's `USGAN_WORK`; default `work`), `--force`, `--refresh`, "
    "`--dry-run`, `--json`, `--quiet` and `--help`."
)


def options_section() -> str:
    """Return the section's Markdown."""
    lines = [INTRODUCTION]
    for options in COMMANDS:
        lines += ["", *command_section(options)]
    return "\n".join(lines) + "\n"


def command_section(options: type[Options]) -> list[str]:
    """Return one command's heading, help and table."""
    help_text = " ".join((inspect.getdoc(options) or "").split())
    table = option_table(options, leave_out=StepOptions)
    return [f"### usgan {options.COMMAND}", "", help_text, *(["", *table] if table else [])]


def updated(text: str) -> str:
    """Return the README's text with the section written again."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{options_section()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
