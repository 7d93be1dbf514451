"""Presets against the published settings they are named after, and impossible settings."""

from __future__ import annotations

import re
from typing import Any

import pytest
from configs import make_config

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.config import GanConfig, settings_of


def config(**changes: Any) -> GanConfig:
    base: dict[str, Any] = {"aug": "ada", "preset": "auto", "resolution": 64, "img_channels": 1, "c_dim": 3}
    return make_config(**(base | {"seed": 0, "precision": "float32"} | changes))


def test_paper256_is_the_published_setting_for_lsun() -> None:
    c = config(preset="paper256", resolution=256)
    assert (c.channel_base, c.channel_max, c.mapping_layers, c.batch, c.mbstd_group_size) == (16384, 512, 8, 64, 8)
    assert (c.lr, c.r1_gamma, c.ema_kimg, c.ema_rampup) == (0.0025, 1.0, 20.0, None)
    with pytest.raises(SettingsError, match="256 pixels"):
        config(preset="paper256", resolution=64)


def test_lsun256_is_stylegan2s_own_setting_for_lsun_cat() -> None:
    """Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN": config F, full width."""
    c = config(preset="lsun256", resolution=256)
    assert (c.channel_base, c.channel_max, c.mapping_layers, c.batch, c.mbstd_group_size) == (32768, 512, 8, 32, 4)
    assert (c.lr, c.r1_gamma, c.ema_kimg, c.ema_rampup, c.kimg) == (0.002, 10.0, 10.0, None, 88_000)
    assert (c.r1_interval, c.pl_interval, c.pl_weight, c.style_mixing_prob, c.ada_kimg) == (16, 4, 2.0, 0.9, 500)
    with pytest.raises(SettingsError, match="lsun256 is for images of 256 pixels"):
        config(preset="lsun256", resolution=64)


@pytest.mark.parametrize(("resolution", "batch"), [(64, 32), (128, 32), (256, 16), (512, 8), (1024, 4)])
def test_auto_follows_the_published_rule(resolution: int, batch: int) -> None:
    c = config(resolution=resolution)
    assert c.batch == batch
    assert c.mbstd_group_size == min(batch, 4)
    assert c.r1_gamma == pytest.approx(0.0002 * resolution**2 / batch)
    assert c.ema_kimg == pytest.approx(batch * 10 / 32)
    assert (c.ema_rampup, c.mapping_layers, c.channel_base) == (0.05, 2, 16384 if resolution < 512 else 32768)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "huge"}, "not a preset"),
        ({"aug": "cutmix"}, "not a GAN"),
        ({"resolution": 48}, "power of two"),
        ({"batch": 6}, "must be a multiple of 4 images.*--batch 8"),
        ({"batch": 5}, "even number"),
        ({"kimg": 0.0}, "kimg must be greater"),
        ({"minutes": -1.0}, "minutes must be greater"),
        ({"minutes": float("inf")}, "finite.*--minutes"),
        ({"save_minutes": 0.0}, "--save-minutes"),
        ({"r1_gamma": -1.0}, "r1_gamma"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        config(**changes)
    assert re.search(message, str(caught.value), re.DOTALL)


def test_with_minutes_alone_the_preset_sets_no_kimg() -> None:
    assert (config().kimg, config().minutes) == (1000, None)
    assert (config(minutes=5.0).kimg, config(minutes=5.0).minutes) == (None, 5)
    assert (config(minutes=5.0, kimg=3.0).kimg, config(minutes=5.0, kimg=3.0).minutes) == (3, 5)


def test_recorded_settings_are_those_that_matter() -> None:
    assert settings_of(config()) == settings_of(config(save_kimg=1.0, tick_kimg=2.0))
    assert settings_of(config(aug="none")) == settings_of(config(aug="none", ada_target=0.5, diffaug_fill=-1.0))
    assert settings_of(config()) != settings_of(config(ada_target=0.5))
    assert settings_of(config(aug="diffaug")) != settings_of(config(aug="diffaug", diffaug_fill=-1.0))


def test_published_presets_keep_the_published_speed_of_ada() -> None:
    assert (config().ada_kimg, config(kimg=40.0).ada_kimg, config().ada_kimg_auto) == (500, 500, False)
    assert config(preset="paper256", resolution=256, kimg=40.0).ada_kimg == 500


@pytest.mark.parametrize(("kimg", "speed"), [(None, 20), (40.0, 10), (1999.0, 499.75), (5000.0, 500)])
def test_adas_speed_is_a_quarter_of_the_training_at_most_the_published_one(kimg: float | None, speed: float) -> None:
    assert config(preset="small", kimg=kimg).ada_kimg == speed
    assert config(preset="small", kimg=kimg).ada_kimg_auto
    assert config(preset="small", kimg=kimg, ada_kimg=33.0).ada_kimg == 33
    assert not config(preset="small", kimg=kimg, ada_kimg=33.0).ada_kimg_auto


def test_with_minutes_alone_adas_speed_is_that_of_the_presets_length() -> None:
    assert config(preset="small", minutes=10.0).ada_kimg == 20


def test_a_training_from_other_networks_has_a_faster_ada_and_no_ramp_as_published() -> None:
    c = config(initialised=True)
    assert (c.ada_kimg, c.ada_kimg_auto, c.ema_rampup) == (100, False, None)
    assert config(initialised=True, ada_kimg=500.0).ada_kimg == 500
    short, long = (config(preset="small", kimg=kimg, initialised=True) for kimg in (80.0, 1000.0))
    assert (short.ada_kimg, long.ada_kimg, short.ema_rampup) == (20, 100, None)
    # A projected discriminator has a ramp of its own, which would replace the source's average by the first steps'.
    assert config(aug="best", preset="small").ema_rampup == 0.05
    assert config(aug="best", preset="small", initialised=True).ema_rampup is None


def test_a_speed_that_was_given_is_recorded_without_a_word_on_where_it_came_from() -> None:
    given, taken = config(preset="small", ada_kimg=20.0), config(preset="small")
    assert settings_of(taken) == settings_of(given) | {"ada_kimg_auto": True}
    assert "ada_kimg_auto" not in settings_of(config(preset="small", aug="none"))
