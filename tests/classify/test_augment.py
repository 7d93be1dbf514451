"""Augmentation: only the changes it promises, and none where every amount is zero."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from configs import classifier_config

from usgan_cli.classify.augment import augment
from usgan_cli.classify.config import ClassifierConfig

STILL = classifier_config(flip=False, rotate=0, zoom=0, shift=0, brightness=0, contrast=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 16, size: int = 24) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=seeded(9)) * 1.8 - 0.9


def changed(**settings) -> ClassifierConfig:
    return dataclasses.replace(STILL, **settings)


def test_no_amount_no_change():
    assert torch.allclose(augment(images(), STILL, seeded()), images(), atol=1e-4)


def test_mirrors_left_to_right_and_never_top_to_bottom():
    before = images(64)
    after = augment(before, changed(flip=True), seeded())
    same = (after - before).abs().amax((1, 2, 3)) < 1e-3
    mirrored = (after - before.flip(3)).abs().amax((1, 2, 3)) < 1e-3
    assert bool((same ^ mirrored).all())
    assert 16 < int(mirrored.sum()) < 48


def test_shift_stays_within_its_share_of_the_side():
    size = 64
    dot = torch.full((64, 1, size, size), -1.0)
    dot[:, :, 30:34, 30:34] = 1
    after = augment(dot, changed(shift=0.125), seeded()) + 1
    rows = torch.arange(size).float()
    centre = (after.sum(3)[:, 0] * rows).sum(1) / after.sum((1, 2, 3))
    assert float((centre - 31.5).abs().max()) <= 8.01
    assert float((centre - 31.5).abs().max()) > 6


def test_zoom_and_rotation_stay_within_their_bounds():
    size = 65
    axis = torch.linspace(-1, 1, size)
    disc = ((axis[:, None] ** 2 + axis**2) < 0.25).float()[None, None].expand(64, -1, -1, -1) * 2 - 1
    area = (augment(disc, changed(zoom=0.2), seeded()) + 1).sum((1, 2, 3)) / (disc + 1).sum((1, 2, 3))
    assert float(area.max()) <= 1.2**2 * 1.03
    assert float(area.min()) >= 1.2**-2 * 0.97
    assert float(area.max()) > 1.2 > 1 / 1.2 > float(area.min())
    turned = augment(disc, changed(rotate=30), seeded())
    assert float((turned - disc).abs().mean()) < 0.02  # a disc does not change when it turns
    bar = (axis.abs() < 0.1).float().expand(size, size)[None, None].expand(64, -1, -1, -1) * 2 - 1
    assert float((augment(bar, changed(rotate=30), seeded()) - bar).abs().mean()) > 0.05


def test_gain_changes_no_place_and_stays_in_range():
    before = images()
    after = augment(before, changed(brightness=0.2, contrast=0.5), seeded())
    assert float(after.abs().max()) <= 1
    for a, b in zip(before.numpy(), after.numpy(), strict=True):
        inside = np.abs(b) < 1
        assert np.corrcoef(a[inside], b[inside])[0, 1] > 0.999


def test_depends_on_the_generator_alone():
    config = classifier_config()
    assert torch.equal(augment(images(), config, seeded(1)), augment(images(), config, seeded(1)))
    assert not torch.equal(augment(images(), config, seeded(1)), augment(images(), config, seeded(2)))
