"""The curve of gray levels of a finished generator: as another implementation has it, and part of it everywhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.exposure import match_histograms
from tiny_gan import CPU, config, images, run, tiny_document, tiny_generator

from usgan_cli.core.formats.generator import read_generator
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.gan.grays import LEVELS, apply_curve, fit_curve, levels_of
from usgan_cli.gan.init.transfer import read_source, transfer
from usgan_cli.gan.networks import GRAY_CURVE
from usgan_cli.gan.onnx import export_onnx
from usgan_cli.gan.sample import build_generator, load_generator, make_images
from usgan_cli.metrics.histogram import js_distance


def draws(mean: float, std: float, seed: int = 0) -> Pixels:
    values = np.random.default_rng(seed).normal(mean, std, (8, 1, 32, 32))
    return values.round().clip(0, 255).astype(np.uint8)


def through(curve: torch.Tensor, pixels: Pixels) -> Pixels:
    """Return pixels as a generator with this curve would make them."""
    floats = (torch.from_numpy(pixels).float() - 128) / 127.5
    return codec.to_pixels(apply_curve(floats, curve)).numpy()


def distance(a: Pixels, b: Pixels) -> float:
    return js_distance(a, b, bins=64, value_range=(0, 256), base=np.e)


def test_levels_become_those_of_equal_rank_as_another_implementation_has_them() -> None:
    made, real = draws(100, 30), draws(70, 50, seed=1)
    ours, theirs = through(fit_curve(made, real), made), match_histograms(made, real)
    middle = (real.min() < ours) & (ours < real.max())
    assert np.abs(ours.astype(int) - theirs)[middle].mean() < 1
    assert distance(made, real) > 0.25 and distance(ours, real) < 0.1


def test_equal_distributions_leave_images_as_they_are() -> None:
    pixels = draws(128, 40)
    assert np.array_equal(through(fit_curve(pixels, pixels), pixels), pixels)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_a_curve_rises_and_stays_among_the_levels(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    made, real = (rng.integers(0, 256, count).astype(np.uint8) for count in (first, second))
    curve = fit_curve(made, real)
    assert curve.shape == (LEVELS,) and bool((curve.diff() >= 0).all())
    assert float(curve[0]) >= real.min() and float(curve[-1]) <= real.max()


def test_values_that_are_darker_than_black_become_all_the_gray_levels_that_real_ones_have_there() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(60, 40, (8, 1, 64, 64)).round().clip(0, 255).astype(np.uint8)
    floats = torch.from_numpy(rng.normal(-20, 50, (8, 1, 64, 64))).sub(128).div(127.5).float()
    clipped = codec.to_pixels(floats).numpy()
    assert (clipped == 0).mean() > 0.6, "more than half would be one level"
    matched = codec.to_pixels(apply_curve(floats, fit_curve(levels_of(floats).numpy(), real))).numpy()
    of_clipped = codec.to_pixels(apply_curve(floats, fit_curve(clipped, real))).numpy()
    shares = [np.bincount(pixels.ravel(), minlength=256) / pixels.size for pixels in (real, matched, of_clipped)]
    assert np.abs(shares[0] - shares[1]).max() < 0.01
    assert np.abs(shares[0] - shares[2]).max() > 0.3, "and fitted to pixels, one level becomes a spike"


def test_black_stays_as_frequent_as_it_is_among_real_images() -> None:
    real = np.repeat(np.array([0, 0, 0, 50, 200], np.uint8), 100)
    made = np.arange(-200, 300, dtype=np.int16)
    matched = codec.to_pixels(apply_curve((torch.from_numpy(made).float() - 128) / 127.5, fit_curve(made, real)))
    assert (matched == 0).float().mean().item() == pytest.approx(0.6, abs=0.01)


def test_what_lies_beyond_black_and_white_stays_there() -> None:
    curve = fit_curve(draws(100, 30), draws(70, 50))
    far = apply_curve(torch.tensor([-7.0, 7.0], dtype=torch.float64), curve)
    ends = (torch.stack([curve[0], curve[-1]]).double() - 128) / 127.5
    torch.testing.assert_close(far, ends)


def test_a_finished_generator_has_the_training_images_gray_levels(tmp_path: Path) -> None:
    plain, matched = tmp_path / "plain", tmp_path / "matched"
    run(plain, config())
    run(matched, config(match_grays=True))
    before, after = (read_generator(folder)[1] for folder in (plain, matched))
    assert set(after) - set(before) == {GRAY_CURVE}
    assert all(torch.equal(after[name], value) for name, value in before.items()), "training itself is the same"
    labels = [0, 1, 2] * 60
    made = [np.stack(list(make_images(load_generator(one, CPU)[1], range(180), labels))) for one in (plain, matched)]
    far, near = (distance(pixels, images().pixels) for pixels in made)
    assert near < 0.8 * far, "of few images that are trained this little, more cannot be asked"


def test_an_interrupted_training_ends_with_the_same_curve(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", config(match_grays=True, kimg=0.032))
    run(tmp_path / "parts", config(match_grays=True, kimg=0.016))
    assert run(tmp_path / "parts", config(match_grays=True, kimg=0.032)) == whole


def test_a_training_that_starts_from_it_leaves_the_curve_behind(tmp_path: Path) -> None:
    run(tmp_path / "gan", config(match_grays=True))
    source = read_source(tmp_path / "gan" / "generator.safetensors").average
    assert source is not None and GRAY_CURVE in source
    _, tensors = read_generator(tmp_path / "gan")
    fresh = build_generator(config().architecture, {k: v for k, v in tensors.items() if k != GRAY_CURVE}, CPU)
    taken = transfer(fresh, source)
    assert taken.left == () and taken.fresh == {} and GRAY_CURVE not in fresh.state_dict()


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript absent: pip install 'usgan[onnx]'")
def test_an_exported_generator_has_it(tmp_path: Path) -> None:
    generator = tiny_generator()
    generator.synthesis.gray_curve = fit_curve(draws(128, 60), draws(60, 30))
    about = export_onnx(tiny_document(), generator, tmp_path / "model.onnx")
    assert about["max_difference"] < about["tolerance"]
