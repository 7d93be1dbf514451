"""How far a finished generator's latents lie from their average: the same images as from latents moved by hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_gan import CPU, config, images, run, tiny_document, tiny_generator
from torch import Tensor

from usgan_cli.core.apportion import class_order
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import read_generator, read_log
from usgan_cli.gan.config import settings_of
from usgan_cli.gan.grays import fit_curve
from usgan_cli.gan.init.transfer import read_source, transfer
from usgan_cli.gan.networks import GRAY_CURVE, SPREAD, Generator
from usgan_cli.gan.onnx import export_onnx
from usgan_cli.gan.outputs import CURVE_IMAGES, CURVE_SEEDS
from usgan_cli.gan.sample import load_generator, make_levels


def trained() -> Generator:
    """A generator whose average w is not 0."""
    generator = tiny_generator().double()
    generator.mapping.w_avg.copy_(torch.linspace(-1, 1, len(generator.mapping.w_avg)))
    return generator


def widen(generator: Generator, factor: float) -> None:
    generator.mapping.spread = torch.tensor(factor, dtype=generator.mapping.w_avg.dtype)


def latents(count: int = 4) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(3)
    return torch.randn([count, 8], generator=draws, dtype=torch.float64), torch.eye(3).double()[torch.arange(count) % 3]


@pytest.mark.parametrize("factor", [0.5, 1.2, 2.0])
def test_images_are_those_of_latents_moved_away_from_their_average(factor: float) -> None:
    plain, spread, (z, c) = trained(), trained(), latents()
    widen(spread, factor)
    ws = plain.mapping(z, c)
    moved = plain.mapping.w_avg + factor * (ws - plain.mapping.w_avg)
    torch.testing.assert_close(spread.synthesis(spread.mapping(z, c)), plain.synthesis(moved))
    assert not torch.allclose(plain.synthesis(moved), plain.synthesis(ws))


def test_truncation_takes_a_share_of_it() -> None:
    plain, spread, (z, c) = trained(), trained(), latents()
    widen(spread, 1.5)
    torch.testing.assert_close(spread(z, c, truncation_psi=0.6), plain(z, c, truncation_psi=0.9))
    torch.testing.assert_close(spread(z, c, truncation_psi=0.0), plain(z, c, truncation_psi=0.0))


def test_a_training_that_starts_from_it_leaves_it_behind(tmp_path: Path) -> None:
    """Otherwise each training that starts from another would spread once more."""
    run(tmp_path / "gan", config(spread=1.3))
    for source in (read_source(tmp_path / "gan"), read_source(tmp_path / "gan" / "generator.safetensors")):
        assert source.average is not None
        fresh = Generator(config().architecture)
        transfer(fresh, source.average)
        assert SPREAD not in fresh.state_dict()
    run(tmp_path / "plain", config())
    for name, value in read_generator(tmp_path / "plain")[1].items():
        assert torch.equal(value, source.average[name]), name


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript absent: pip install 'usgan[onnx]'")
def test_an_exported_generator_has_it(tmp_path: Path) -> None:
    generator = tiny_generator()
    widen(generator, 1.4)
    about = export_onnx(tiny_document(), generator, tmp_path / "model.onnx")
    assert about["max_difference"] < about["tolerance"]


def test_a_finished_generator_has_it_and_training_is_the_same(tmp_path: Path) -> None:
    run(tmp_path / "plain", config())
    run(tmp_path / "spread", config(spread=1.3))
    plain = load_generator(tmp_path / "plain", CPU)[1]
    widen(plain, 1.3)
    finished = read_generator(tmp_path / "spread")[1]
    assert finished.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, finished[name]) for name, value in plain.state_dict().items())


def test_its_samples_differ_more_from_each_other(tmp_path: Path) -> None:
    run(tmp_path / "plain", config())
    run(tmp_path / "spread", config(spread=2.0))
    near, far = (read_log(tmp_path / name)[-1].diversity for name in ("plain", "spread"))
    assert near is not None
    assert far is not None
    assert far > 1.05 * near


def test_the_curve_of_gray_levels_is_fitted_to_images_that_have_it(tmp_path: Path) -> None:
    run(tmp_path / "both", config(spread=1.5, match_grays=True))
    finished = load_generator(tmp_path / "both", CPU)[1]
    curve = finished.synthesis.gray_curve
    finished.synthesis.gray_curve = None
    labels = class_order(list(images().class_counts().values()), CURVE_IMAGES)
    made = np.stack(list(make_levels(finished, CURVE_SEEDS, labels)))
    assert curve is not None
    assert torch.equal(curve, fit_curve(made, images().pixels))


def test_an_interrupted_training_ends_with_the_same_spread(tmp_path: Path) -> None:
    settings = {"spread": 1.3, "match_grays": True}
    whole = run(tmp_path / "whole", config(**settings, kimg=0.032))
    run(tmp_path / "parts", config(**settings, kimg=0.016))
    assert run(tmp_path / "parts", config(**settings, kimg=0.032)) == whole
    assert GRAY_CURVE in read_generator(tmp_path / "parts")[1]


def test_older_artefacts_stay_valid_without_it_and_best_has_it() -> None:
    assert "spread" not in settings_of(config())
    assert settings_of(config(spread=1.3))["spread"] == 1.3
    assert settings_of(config(aug="best", feature_digest="x@1"))["spread"] > 1


@pytest.mark.parametrize("spread", [0.0, -1.0, float("inf"), float("nan")])
def test_a_spread_that_makes_no_sense_is_refused(spread: float) -> None:
    with pytest.raises(SettingsError, match="spread"):
        config(spread=spread)
