"""Commands' options on the command line and in the documentation's tables, from their dataclasses."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any

import typer

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.options import Option, Options, OptionsT, as_text, options_of, study_keys


def as_command(cls: type[OptionsT], run: Callable[[OptionsT], None]) -> Callable[..., None]:
    """Return the function from which Typer makes a command, with one parameter for each option and the class's help."""
    options = options_of(cls)

    def command(**values: Any) -> None:
        run(cls(**{one.name: _value(one, values[one.name]) for one in options}))

    parameters = [_parameter(one) for one in options]
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = cls.__doc__
    return command


def _value(one: Option, value: Any) -> Any:
    """Return the value of an option that was left out: Typer makes an empty list of it."""
    return one.default if one.length == 0 and not value and not one.required else value


def _parameter(one: Option) -> inspect.Parameter:
    traits = one.traits
    arguments: dict[str, Any] = {"help": _help(one), "metavar": traits.metavar or _metavar(one)}
    if traits.panel is not None:
        arguments["rich_help_panel"] = traits.panel
    if traits.variable is not None:
        arguments["envvar"] = traits.variable
    if set(one.types) <= {int, float} and len(one.types) == 1 and not one.choices:
        arguments |= {"min": traits.least, "max": traits.most}
    kind: Any = one.types[0]
    if len(one.types) > 1:
        kind, arguments["parser"] = str, _number
    elif kind is Path and traits.stdin:
        arguments["parser"] = path_or_stdin
    if one.length is not None:
        kind = list[kind] if one.length == 0 else GenericAlias(tuple, (kind,) * one.length)
    if one.optional or (one.length == 0 and not one.required):
        kind = kind | None
    names = () if traits.argument else (one.flag, *([traits.short] if traits.short else []))
    info = typer.Argument(**arguments) if traits.argument else typer.Option(*names, **arguments)
    default = inspect.Parameter.empty if one.required else None if one.length == 0 else one.default
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _metavar(one: Option) -> str | None:
    if one.choices:
        return f"[{'|'.join(str(choice) for choice in one.choices)}]"
    return one.traits.unit.upper().replace(" ", "-") if one.traits.unit else None


def _help(one: Option) -> str:
    return f"{one.traits.help} May be given several times." if one.length == 0 else one.traits.help


def _number(given: str | float) -> str | float:
    """Return a whole number or a fraction; other text as it is, so that the option can say what it must be."""
    if not isinstance(given, str):  # the default
        return given
    for kind in (int, float):
        try:
            return kind(given)
        except ValueError:
            continue
    return given


def path_or_stdin(text: str) -> Path:
    """Return a path; a single `-` means the one path on standard input."""
    if text != "-":
        return Path(text)
    if sys.stdin.isatty():
        raise SettingsError("'-' reads a path from standard input, which is a terminal.", "Use it behind a pipe.")
    lines = [line for line in _standard_input().splitlines() if line.strip()]
    if len(lines) != 1:
        count = f"{len(lines)} paths" if lines else "nothing"
        raise SettingsError(
            f"'-' expects one path on standard input; {count} came.",
            "Pass them one at a time." if lines else "If a command stands before the pipe, see its message.",
        )
    return Path(lines[0].strip())


def _standard_input() -> str:
    """Return standard input, decoded as the system decodes the names of files, which need not be UTF-8."""
    binary = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if binary is None or os.name == "nt" else os.fsdecode(binary.read())


def option_table(cls: type[Options], leave_out: type[Options] | None = None) -> list[str]:
    """Return a command's options as the rows of a Markdown table, without those of the group `leave_out`."""
    common = set() if leave_out is None else {one.name for one in options_of(leave_out)}
    rows = [_row(one.flag, one, _help(one)) for one in options_of(cls) if one.name not in common]
    return ["| option | default | meaning |", "|---|---|---|", *rows] if rows else []


def key_table(cls: type[Options]) -> list[str]:
    """Return the keys that a table of a study's file may have as the rows of a Markdown table."""
    rows = [_row(key, one, one.traits.help) for key, one in study_keys(cls).items()]
    return ["| key | default | meaning |", "|---|---|---|", *rows]


def _row(name: str, one: Option, meaning: str) -> str:
    default = "required" if one.required else "off" if one.default is False else _shown(one.default)
    if one.choices:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in one.choices)}."
    elif one.traits.unit:
        meaning += f" Unit: {one.traits.unit}."
    return f"| `{name}` | {default} | {meaning.replace('|', chr(92) + '|')} |"


def _shown(value: Any) -> str:
    return "" if value in (None, ()) else f"`{as_text(value)}`"
