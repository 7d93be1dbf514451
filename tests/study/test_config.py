"""A study's file says what it means; a slip in it is answered with the nearest word."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from usgan_cli.core.errors import MissingError, SettingsError
from usgan_cli.study.config import PHANTOM, SHIPPED, load_study, parse_study, study_body, study_text

SMALLEST = 'name = "mine"\n[grid]\nsizes = [8]\ngans = ["ada"]\n'


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_are_valid(name: str) -> None:
    config = load_study(name)
    assert config.name == name
    assert parse_study(tomllib.loads(study_text(name))) == config
    assert parse_study(study_body(config)) == config


def test_the_paper_is_the_study_of_the_paper() -> None:
    config = load_study("paper")
    assert config.grid.sizes == (500, 250, 100, 50)
    assert config.grid.gans == ("none", "ada", "diffaug")
    assert config.grid.ratios == (0.5, 1.0, 2.0)
    assert (config.data.size, config.data.test) == (256, 280)
    assert (config.gan.preset, config.score.extractor) == ("paper256", "inception")
    assert (config.classifier.backbone, config.classifier.folds, config.classifier.freeze) == (
        "efficientnet_b2",
        5,
        False,
    )


def test_a_file_needs_a_name_and_a_grid_alone(tmp_path: Path) -> None:
    config = load_study(write(tmp_path, SMALLEST))
    assert (config.name, config.grid.sizes, config.grid.seeds, config.grid.ratios) == ("mine", (8,), (0, 1, 2), (1.0,))
    assert config.data.source == PHANTOM


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMALLEST + "[gan]\nkimgs = 5\n", "unknown key 'gan.kimgs'; did you mean 'kimg'?"),
        (SMALLEST + "[clasifier]\nfolds = 3\n", "unknown key 'clasifier'; did you mean 'classifier'?"),
        (SMALLEST + "[score]\nqqqq = 3\n", "unknown key 'score.qqqq'; known keys: "),
        (SMALLEST.replace("sizes", "size"), "unknown key 'grid.size'; did you mean 'sizes'?"),
        ('name = "mine"\n', "the key 'grid.sizes' is missing"),
        (
            SMALLEST.replace('"ada"', '"adda"'),
            "grid.gans is 'adda'; it must be one of none, ada, diffaug, ada+diffaug, best (did you mean ada?).",
        ),
        (SMALLEST.replace("[8]", "[8, 8]"), "grid.sizes lists a value twice"),
        (SMALLEST.replace("[8]", "[1]"), "grid.sizes is 1; it must be 2 or more"),
        (SMALLEST + "ratios = [0.0]\n", "grid.ratios is 0.0; it must be greater than 0"),
        (SMALLEST.replace("[8]", '["eight"]'), "grid.sizes is 'eight'; it must be a whole number"),
        (SMALLEST + "[data]\nchannels = 2\n", "data.channels is 2; it must be one of 1, 3"),
        (SMALLEST + "[classifier]\nfolds = 1\n", "classifier.folds is 1; it must be 2 or more"),
        ("name = mine", "not valid TOML"),
        ("", "the key 'name' is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_study(write(tmp_path, text))
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_an_unknown_study_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        MissingError, match=r"no study called 'papre'[^$]*demo, laptop, workstation, cluster, paper, smoke[^$]*--print"
    ):
        load_study("papre")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(SettingsError, match=r"x\.toml"):
        load_study(str(tmp_path / "x.toml"))


OWN = """
name = "own"
[grid]
sizes = [50]
gans = ["ada", "best"]
[gan]
preset = "small"
kimg = 20
mirror = true
gpus = 2
[gan.best]
kimg = 8
mirror = false
gpus = 4
"""


def test_a_gans_own_table_stands_above_the_general_one_and_survives_the_record() -> None:
    config = parse_study(tomllib.loads(OWN))
    again = parse_study(study_body(config))
    for one in (config, again):
        ada, best = one.gan_of("ada"), one.gan_of("best")
        assert (ada.kimg, ada.mirror, ada.gpus) == (20, True, 2)
        assert (best.kimg, best.mirror, best.gpus, best.preset) == (8, False, 4, "small")
        assert one.gpus == 4
    assert again == config


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[gan.none]\nkimg = 2", "grid.gans does not name"),
        ("[gan.best]\nkmig = 2", "gan.best.kmig"),
        ("[gan.best]\nkimg = -2", "gan.best.kimg"),
        ('[gan.best]\ndevice = "cpu"', "one device for all"),
        ("[gan.bset]\nkimg = 2", "gan.bset"),
    ],
)
def test_a_gans_own_table_is_checked(table: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        parse_study(tomllib.loads(OWN.split("[gan.best]", maxsplit=1)[0] + table))
