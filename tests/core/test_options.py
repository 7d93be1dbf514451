"""An option is declared once: help, study file, planned words, documentation and records all come from its field."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli import cli
from usgan_cli.commands.common import StepOptions
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.options import (
    SHARED,
    OptionError,
    Options,
    as_text,
    from_table,
    narrowed,
    option,
    options_of,
    settings_for,
    study_keys,
    to_table,
)
from usgan_cli.gan.config import GanConfig, make_config, settings_of
from usgan_cli.terminal.options import as_command, option_table


class WithOneMore(TrainGan):
    """A copy of a command's options, with one added."""

    dream_weight: float = option(
        default=0.5, help="Weight of dreams in the loss.", panel="Dreams", unit="dreams", least=0, most=2
    )


def test_an_added_option_is_everywhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the command line and its help, a study's table, planned words, the documentation and the record."""
    monkeypatch.setenv("COLUMNS", "200")
    app, given = typer.Typer(), []
    app.command()(as_command(WithOneMore, given.append))
    app(["--help"], standalone_mode=False)
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "Dreams --dream-weight DREAMS [0<=x<=2] Weight of dreams in the loss. [default: 0.5]" in text
    app(["--aug", "ada", "--n", "5", "--dream-weight", "1.5"], standalone_mode=False)

    from_study = from_table(WithOneMore, {"dream_weight": 1.5}, "gan", aug="ada", n=5)
    assert given == [from_study]
    assert to_table(from_study) == {"dream_weight": 1.5}
    assert shlex.join(from_study.words()) == "train-gan --aug ada --n 5 --dream-weight 1.5 --work work"
    assert "| `--dream-weight` | `0.5` | Weight of dreams in the loss. Unit: dreams. |" in option_table(WithOneMore)

    size: Any = {"resolution": 16, "img_channels": 1, "c_dim": 2, "precision": "float32", "diffaug_policy": ()}
    config = make_config(**settings_for(from_study, GanConfig) | size)
    recorded = from_study.recorded(config, settings_of(config))
    assert recorded["dream_weight"] == 1.5
    assert recorded.keys() - {"dream_weight"} == settings_of(config).keys()
    # Left at its default it is not recorded: artefacts made before it was added stay valid.
    plain = from_study.replace(dream_weight=0.5)
    assert plain.recorded(config, settings_of(config)) == settings_of(config)
    assert "--dream-weight" not in plain.words()


def test_a_slip_in_an_added_option_is_answered_as_any_other() -> None:
    with pytest.raises(SettingsError, match=r"unknown key 'gan.dream_wieght'; did you mean 'dream_weight'\?"):
        from_table(WithOneMore, {"dream_wieght": 1}, "gan", aug="ada", n=5)
    with pytest.raises(SettingsError, match=r"^gan.dream_weight is 3; it must be 2 or less\.$"):
        from_table(WithOneMore, {"dream_weight": 3}, "gan", aug="ada", n=5)
    with pytest.raises(OptionError, match=r"^--dream-weight is 'much'; it must be a number\.$"):
        WithOneMore(aug="ada", n=5, dream_weight="much")  # type: ignore[arg-type]


class Sample(StepOptions):
    """Options of every kind."""

    COMMAND = "sample"

    place: Path = option("Where.", argument=True, stdin=True, recorded=False)
    kind: Literal["one", "two"] = option("Which.")
    level: Literal[1, 3] | None = option("How high.", default=None)
    share: int | float = option("A count or a share.", default=0.25)
    sizes: tuple[int, ...] = option("Sizes.", default=(), least=1)
    ends: tuple[int, int] | None = option("Two seeds.", default=None)
    rate: float | None = option("Speed.", default=None, above=0)
    quick: bool = option("Hurry.", default=False)
    form_: str = option("Form.", default="png", flag="--format", in_study=False)


def typed(*words: str) -> Sample:
    app, given = typer.Typer(), []
    app.command()(as_command(Sample, given.append))
    app(list(words), standalone_mode=False)
    (options,) = given
    assert isinstance(options, Sample)
    return options


@given(
    level=st.sampled_from([None, 1, 3]),
    share=st.one_of(st.integers(0, 10**6), st.floats(0, 1)),
    sizes=st.lists(st.integers(1, 10**6), max_size=3).map(tuple),
    ends=st.none() | st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    rate=st.none() | st.floats(1e-300, 1e300),
    quick=st.booleans(),
    form=st.sampled_from(["png", "a b", "it's"]),
)
def test_words_typed_in_a_shell_give_the_options_back(
    level: Literal[1, 3] | None,
    share: float,
    sizes: tuple[int, ...],
    ends: tuple[int, int] | None,
    rate: float | None,
    quick: bool,
    form: str,
) -> None:
    options = Sample(
        place=Path("some where"),
        kind="two",
        level=level,
        share=share,
        sizes=sizes,
        ends=ends,
        rate=rate,
        quick=quick,
        form_=form,
    )
    program, *words = shlex.split(shlex.join(options.words()))
    assert program == "sample"
    again = typed(*words)
    assert again == options
    assert type(again.share) is type(share)
    table = to_table(options)
    assert from_table(Sample, table, "sample", form_=form) == options


def test_a_default_goes_through_the_command_line_unchanged() -> None:
    """Trap: a parser that is also given the default would make 0 of a share of 0.25."""
    assert typed("here", "--kind", "one") == Sample(place=Path("here"), kind="one")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "tow"}, "--kind is 'tow'; it must be one of one, two (did you mean two?)."),
        ({"kind": "x"}, "--kind is 'x'; it must be one of one, two."),
        ({"level": 2}, "--level is 2; it must be one of 1, 3."),
        ({"level": True}, "--level is True; it must be one of 1, 3."),
        ({"share": "half"}, "--share is 'half'; it must be a whole number or a number."),
        ({"share": float("nan")}, "--share is nan; it must be a finite number."),
        ({"sizes": [3, 0]}, "--sizes is 0; it must be 1 or more."),
        ({"sizes": 3}, "--sizes is 3; it must be a list."),
        ({"ends": (1, 2, 3)}, "--ends is (1, 2, 3); it must be a list of 2."),
        ({"rate": 0}, "--rate is 0; it must be greater than 0."),
        ({"quick": "yes"}, "--quick is 'yes'; it must be true or false."),
        ({"quick": None}, "--quick is None; it must be true or false."),
        ({"form_": 3}, "--format is 3; it must be text."),
        ({"place": 3}, "PLACE is 3; it must be a path."),
    ],
)
def test_an_impossible_value_is_named_with_what_it_must_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Sample(**{"place": Path(), "kind": "one"} | values)
    assert str(caught.value) == message


def test_values_are_brought_to_their_type() -> None:
    options = Sample(place="here", kind="one", rate=3, sizes=[1, 2])  # type: ignore[arg-type]
    assert (options.place, options.sizes) == (Path("here"), (1, 2))
    assert type(options.rate) is float, "a whole number where a fraction is meant gives other bytes in a record"


def test_required_options_come_first_and_shared_ones_last() -> None:
    options = options_of(Sample)
    assert [one.name for one in options[:2]] == ["place", "kind"]
    shared = [one.traits.panel == SHARED for one in options]
    assert shared == sorted(shared)


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda cls: cls.COMMAND)
def test_every_command_declares_its_options_well(command: type[Options]) -> None:
    for one in options_of(command):
        assert one.required or one.default is None or one.checked(one.default) == one.default
        assert type(one.default) is not int or float not in one.types or int in one.types, one.name


def test_a_study_file_reaches_every_option_that_the_grid_does_not_decide() -> None:
    decided = {one.name for one in options_of(TrainGan)} - {one.name for one in study_keys(TrainGan).values()}
    assert decided == {
        *("aug", "n", "seed", "data", "out", "fold", "folds"),
        *("work", "json", "force", "refresh", "dry_run", "offline", "quiet"),
    }


def test_a_field_annotated_again_is_required_and_keeps_the_rest() -> None:
    class Again(Sample):
        rate: float

    (rate,) = [one for one in options_of(Again) if one.name == "rate"]
    assert (rate.required, rate.optional, rate.traits.above) == (True, False, 0)
    with pytest.raises(TypeError, match="rate"):
        Again(place=Path(), kind="one")  # type: ignore[call-arg]


def test_a_narrowed_copy_has_the_options_of_the_smaller_command() -> None:
    whole = WithOneMore(aug="ada", n=5, dream_weight=2)
    assert narrowed(whole, TrainGan) == TrainGan(aug="ada", n=5)


@pytest.mark.parametrize(
    ("value", "text"), [(0.00123456789, "0.00123456789"), (25000.0, "25000"), (0.5, "0.5"), (1e-7, "1e-07"), (3, "3")]
)
def test_numbers_are_written_as_a_person_would_and_come_back_exactly(value: float, text: str) -> None:
    assert as_text(value) == text
    assert float(text) == value


@pytest.mark.parametrize("name", ["-scans", "--kind", "-"])
def test_a_place_that_begins_with_a_dash_is_no_option(name: str) -> None:
    given = Sample(place=Path(name), kind="one")
    assert given.words()[1] == f"./{name}"
    assert typed(*given.words()[1:]) == given
