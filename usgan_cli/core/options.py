"""A command's options as one frozen dataclass: the only place of a setting's name, type, default, range and help.

From it come the command line (`usgan_cli.terminal.options`), the option tables of the documentation, the keys of a
study's TOML file, the words of a planned step and the settings that an artefact records.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import numbers
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from usgan_cli.core.errors import SettingsError

SHARED = "Every command"
"""Panel of the options that every command has; it comes last."""
NOUNS = {int: "a whole number", float: "a number", str: "text", Path: "a path", bool: "true or false"}


@dataclass(frozen=True)
class Traits:
    """What an option has besides its name, type and default."""

    help: str
    panel: str | None = None
    unit: str | None = None
    """What a number counts: "pixels", "images"."""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    """A lower bound that is not allowed itself."""
    flag: str | None = None
    """Name on the command line, where it is not the field's ("--format" for `format_`)."""
    short: str | None = None
    metavar: str | None = None
    """What help shows in place of the value's type."""
    variable: str | None = None
    """Environment variable that gives the value where the option is absent."""
    argument: bool = False
    """It stands on the command line by its place, without a name."""
    stdin: bool = False
    """A path that may be "-": then it is read from standard input."""
    recorded: bool = True
    """It decides the result, so the artefact records it."""
    in_study: bool = True
    """A study's file may set it."""


def option(help: str, *, default: Any = dataclasses.MISSING, **traits: Any) -> Any:
    """Declare an option that decides the result: a field of a subclass of `Options`.

    Its annotation gives type and choices (`Literal`); without a default it is required. See `Traits` for the others.
    """
    return dataclasses.field(default=default, metadata={"traits": Traits(help, **traits)})


def technical(help: str, *, default: Any = dataclasses.MISSING, **traits: Any) -> Any:
    """Declare an option of how the work is carried out, which the artefact does not record."""
    return option(help, default=default, recorded=False, **traits)


def selector(help: str, *, default: Any = dataclasses.MISSING, **traits: Any) -> Any:
    """Declare an option of the command line alone: which artefacts (a study's grid decides), and how to report."""
    return option(help, default=default, recorded=False, in_study=False, **traits)


class OptionError(SettingsError):
    """A value that an option cannot have."""

    def __init__(self, option: Option, problem: str) -> None:
        super().__init__(f"{option.flag} {problem}")
        self.option, self.problem = option, problem


@dataclass(frozen=True)
class Option:
    """One option of a command, with everything that its field declares."""

    name: str
    types: tuple[type, ...]
    """The types a value may have; int before float where both are meant (a count or a share)."""
    choices: tuple[Any, ...]
    length: int | None
    """Number of values; 0 for any number of them, None for one value that is not in a tuple."""
    optional: bool
    default: Any
    traits: Traits

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is dataclasses.MISSING

    @property
    def flag(self) -> str:
        """Its name on the command line: --r1-gamma, or SOURCE for an argument."""
        if self.traits.argument:
            return self.name.upper()
        return self.traits.flag or f"--{self.name.replace('_', '-')}"

    @property
    def key(self) -> str:
        """Its name in a study's file and in records."""
        return (self.traits.flag or self.name).lstrip("-")

    def checked(self, value: Any) -> Any:
        """Return the value in the option's type, or raise an `OptionError` that says what it must be."""
        if value is None and self.optional:
            return None
        if self.length is None:
            return self._checked_one(value)
        if not isinstance(value, list | tuple) or (self.length and len(value) != self.length):
            raise OptionError(self, f"is {value!r}; it must be a list{f' of {self.length}' if self.length else ''}.")
        return tuple(self._checked_one(item) for item in value)

    def _checked_one(self, value: Any) -> Any:
        if self.choices:
            if value not in self.choices or isinstance(value, bool):
                names = ", ".join(str(choice) for choice in self.choices)
                raise OptionError(self, f"is {value!r}; it must be one of {names}{_did_you_mean(value, self.choices)}.")
            return self.choices[self.choices.index(value)]
        for kind in self.types:
            if (converted := _convert(value, kind)) is not None:
                break
        else:
            nouns = " or ".join(NOUNS[kind] for kind in self.types)
            raise OptionError(self, f"is {value!r}; it must be {nouns}.")
        if isinstance(converted, int | float) and (bound := self._broken_bound(converted)):
            raise OptionError(self, f"is {value!r}; it must be {bound}.")
        return converted

    def _broken_bound(self, value: float) -> str | None:
        traits = self.traits
        if not math.isfinite(value):
            return "a finite number"
        if traits.above is not None and not value > traits.above:
            return f"greater than {traits.above:g}"
        if traits.least is not None and not value >= traits.least:
            return f"{traits.least:g} or more"
        return f"{traits.most:g} or less" if traits.most is not None and value > traits.most else None

    def words(self, value: Any) -> list[str]:
        """Return what stands on the command line for a value."""
        if value is None or value is False:
            return []
        if value is True:
            return [self.flag]
        # Where 1 is a count and 1.0 a share, a fraction keeps its point.
        spell = repr if len(self.types) > 1 else as_text
        texts = [spell(item) for item in (value if isinstance(value, tuple) else (value,))]
        if self.traits.argument:
            # A path that begins with a dash would be taken for an option.
            return [f"./{text}" if text.startswith("-") and Path in self.types else text for text in texts]
        if self.length == 0:
            return [word for text in texts for word in (self.flag, text)]
        return [self.flag, *texts]


def _convert(value: Any, kind: type) -> Any:
    """Return the value as `kind`, or None if it is of another kind: 3 is also 3.0, but true is not 1.

    Numbers may be NumPy's, and a path may stand for text.
    """
    if isinstance(value, bool) or kind is bool:
        return value if kind is bool and isinstance(value, bool) else None
    if kind is float and isinstance(value, numbers.Real):
        return float(value)
    if kind is int and isinstance(value, numbers.Integral):
        return int(value)
    if kind is str and isinstance(value, Path):
        return str(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value if isinstance(value, kind) else None


def _did_you_mean(value: Any, known: Iterable[Any]) -> str:
    near = difflib.get_close_matches(str(value), [str(item) for item in known], n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def as_text(value: Any) -> str:
    """Return a value as a person would type it, a number in as many digits as give the same number back."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, technical, selector))
class Options:
    """Base of a command's options. Subclasses are frozen dataclasses; a value is checked when one is made.

    A field that a subclass annotates again without a value is required there, and keeps everything else. A subclass
    with a `panel` shows its own options under that heading.
    """

    COMMAND: ClassVar[str] = ""
    """Name of the command; empty for a group of options that commands share."""
    READS_ONLY: ClassVar[bool] = False
    """Whether the command changes nothing, leftovers included."""

    def __init_subclass__(cls, panel: str | None = None) -> None:
        inherited = {name: field for base in reversed(cls.__mro__[1:]) for name, field in _fields(base).items()}
        for name in inspect.get_annotations(cls):
            field = cls.__dict__.get(name)
            if isinstance(field, dataclasses.Field) and panel is not None:
                traits = dataclasses.replace(field.metadata["traits"], panel=panel)
                setattr(cls, name, dataclasses.field(default=field.default, metadata={"traits": traits}))
            elif name in inherited and name not in cls.__dict__:
                setattr(cls, name, dataclasses.field(metadata=inherited[name].metadata))
        dataclass(frozen=True, kw_only=True)(cls)

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            object.__setattr__(self, one.name, one.checked(getattr(self, one.name)))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some options changed."""
        return type(self)(**{one.name: getattr(self, one.name) for one in options_of(type(self))} | changes)

    def words(self) -> list[str]:
        """Return the command line that gives these options, without the program's name: only what is not default.

        An option that the environment can set is always there, so that the words mean the same anywhere.
        """
        words = [self.COMMAND]
        for one in options_of(type(self)):
            value = getattr(self, one.name)
            if one.required or one.traits.variable or value != one.default:
                words += one.words(value)
        return words

    def recorded(self, resolved: Any = None, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the settings that decide the result, as an artefact records them.

        Of the command's own options only those that are not default: an artefact stays valid when an option is added.
        `resolved` is the domain's configuration (a dataclass) that some of the options were turned into; its fields, or
        `settings` instead of them, stand in place of the options of the same names.
        """
        known = _fields(type(resolved)) if resolved is not None else {}
        own = {
            one.key: getattr(self, one.name)
            for one in options_of(type(self))
            if one.traits.recorded and one.name not in known and getattr(self, one.name) != one.default
        }
        if settings is None:
            settings = {name: getattr(resolved, name) for name in known}
        return own | dict(settings)


OptionsT = TypeVar("OptionsT", bound=Options)


def _fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    return dict(getattr(cls, "__dataclass_fields__", {}))


_KNOWN: dict[type, tuple[Option, ...]] = {}


def options_of(cls: type[Options]) -> tuple[Option, ...]:
    """Return a command's options: arguments, required ones, those under no heading, and those of every command last."""
    if cls not in _KNOWN:
        hints = typing.get_type_hints(cls)
        own = inspect.get_annotations(cls)
        options = [_option(field, hints[field.name]) for field in _fields(cls).values()]
        _KNOWN[cls] = tuple(sorted(options, key=lambda one: _rank(one, one.name in own)))
    return _KNOWN[cls]


def _rank(one: Option, own: bool) -> tuple[int, bool]:
    if one.traits.argument or one.required:
        return int(not one.traits.argument), False
    panel = one.traits.panel
    return 2 + (panel is not None) + (panel == SHARED), own if panel is None else not own


def _option(field: dataclasses.Field[Any], hint: Any) -> Option:
    is_union = typing.get_origin(hint) in {types.UnionType, typing.Union}
    members = typing.get_args(hint) if is_union else (hint,)
    optional = type(None) in members
    members = tuple(member for member in members if member is not type(None))
    length = None
    if len(members) == 1 and typing.get_origin(members[0]) is tuple:
        inner = typing.get_args(members[0])
        length = 0 if inner[-1] is Ellipsis else len(inner)
        members = inner[:1]
    choices: tuple[Any, ...] = ()
    if typing.get_origin(members[0]) is Literal:
        choices = typing.get_args(members[0])
        members = (type(choices[0]),)
    return Option(field.name, members, choices, length, optional, field.default, field.metadata["traits"])


def settings_for(options: Options, target: type) -> dict[str, Any]:
    """Return the options that a domain's configuration has fields of the same name for, as its keyword arguments."""
    return {name: getattr(options, name) for name in _fields(target) if hasattr(options, name)}


def narrowed(options: Options, cls: type[OptionsT]) -> OptionsT:
    """Return the options of a command, from a subclass that has more."""
    return cls(**{one.name: getattr(options, one.name) for one in options_of(cls)})


def study_keys(cls: type[Options]) -> dict[str, Option]:
    """Return the options that a study's file may set, by their keys."""
    return {one.key: one for one in options_of(cls) if one.traits.in_study}


def from_table(cls: type[OptionsT], table: Any, place: str, **fixed: Any) -> OptionsT:
    """Return options from a table of a TOML file, which does not set the `fixed` ones.

    `place` is where the table stands, for messages: "gan", or empty for the top level.
    """
    keys = study_keys(cls)
    check_keys(table, keys, place)
    prefix = f"{place}." if place else ""
    missing = [key for key, one in keys.items() if one.required and key not in table and one.name not in fixed]
    if missing:
        raise SettingsError(f"the key {prefix + missing[0]!r} is missing.")
    try:
        return cls(**fixed, **{keys[key].name: value for key, value in table.items()})
    except OptionError as error:
        raise SettingsError(f"{prefix}{error.option.key} {error.problem}") from None


def check_keys(table: Any, known: Iterable[str], place: str) -> None:
    """Raise a `SettingsError` if this is not a table, or for its first unknown key, with the nearest known one."""
    known = list(known)
    if not isinstance(table, Mapping):
        raise SettingsError(f"{place} is {table!r}; it must be a table.")
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
            raise SettingsError(f"unknown key {f'{place}.{key}' if place else key!r}; {meant}")


def to_table(options: Options) -> dict[str, Any]:
    """Return the table that `from_table` reads: every key that differs from its default."""
    values = {key: (getattr(options, one.name), one) for key, one in study_keys(type(options)).items()}
    return {
        key: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for key, (value, one) in values.items()
        if one.required or value != one.default
    }
