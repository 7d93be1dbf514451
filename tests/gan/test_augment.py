"""The seam between drawing and applying: cutting a batch, moving draws, and two augmentations in a row."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.augment import (
    AUGMENTS,
    AdaAugment,
    AdaDiffAugment,
    Augment,
    DiffAugment,
    NoAugment,
    make_augment,
)

CPU = torch.device("cpu")
COLORFUL = ("color", "translation", "cutout")
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("ada", {}),
    ("ada", {"operations": "bgcfnc"}),
    ("ada", {"operations": "ultrasound", "ada_fill": -1.0}),
    ("diffaug", {"policy": COLORFUL}),
    ("ada+diffaug", {"operations": "bgcfnc", "policy": COLORFUL, "fill": -1.0}),
]
each_augment = pytest.mark.parametrize(("name", "settings"), SETTINGS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int, channels: int = 1, size: int = 24) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(3)) * 2 - 1


def rows(drawn: dict[str, Tensor], part: slice) -> dict[str, Tensor]:
    return {name: values[part] for name, values in drawn.items()}


@each_augment
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_can_be_cut_anywhere_without_changing_a_bit(name: str, settings: dict[str, Any], channels: int) -> None:
    augment, images = make_augment(name, **settings), some_images(7, channels, 32)
    drawn = augment.draw(images.shape, 0.8, seeded(1), CPU)
    whole = augment.apply(images, drawn)
    for cuts in ((0, 1, 7), (0, 3, 5, 7), range(8)):
        parts = [slice(first, last) for first, last in pairwise(cuts)]
        assert torch.equal(torch.cat([augment.apply(images[part], rows(drawn, part)) for part in parts]), whole)
    assert torch.equal(augment(images, 0.8, seeded(1)), whole), "a call draws and applies"
    if name != "none":
        order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
        shuffled = {key: values[order] for key, values in drawn.items()}
        assert torch.equal(augment.apply(images[order], shuffled), whole[order])
        assert not torch.equal(augment.apply(images, shuffled), whole)


@each_augment
def test_draws_hold_a_row_for_each_image(name: str, settings: dict[str, Any]) -> None:
    drawn = make_augment(name, **settings).draw([5, 1, 16, 24], 0.5, seeded(), CPU)
    assert all(len(values) == 5 and values.device == CPU for values in drawn.values())
    assert bool(drawn) == (name != "none")


@pytest.mark.parametrize(
    ("name", "settings", "channels", "following", "moment"),
    [
        ("none", {}, 1, 0.14904171228408813, 14.641949016413635),
        ("ada", {}, 1, 0.902449369430542, 7.946162373431793),
        ("ada", {"operations": "bgcfnc"}, 3, 0.9907168745994568, 13.980725721292384),
        ("diffaug", {}, 1, 0.8709032535552979, 21.384605567103662),
        ("diffaug", {"policy": COLORFUL, "fill": -1.0}, 3, 0.07625234127044678, 424.2292885375095),
    ],
)
def test_what_a_generator_gives_stays(
    name: str, settings: dict[str, Any], channels: int, following: float, moment: float
) -> None:
    """Recorded before drawing and applying were parted: a run saved earlier continues as it would have."""
    draws = seeded(11)
    augmented = make_augment(name, **settings)(some_images(5, channels), 0.7, draws).double()
    assert torch.rand(1, generator=draws).item() == following
    weight = torch.linspace(-1, 1, augmented.numel()).view(augmented.shape).double()
    assert (augmented * weight).sum().item() == pytest.approx(moment, abs=1e-3)


@pytest.mark.parametrize("p", [0, 0.0, torch.tensor(0.0)])
def test_nothing_is_drawn_at_a_known_zero(p: float | Tensor) -> None:
    draws = seeded()
    assert AdaAugment("bgcfnc").draw([4, 1, 16, 16], p, draws, CPU) == {}
    assert torch.equal(draws.get_state(), seeded().get_state())


@each_augment
@pytest.mark.parametrize("generator", [None, seeded()])
def test_an_accelerator_is_asked_for_no_value(
    name: str, settings: dict[str, Any], generator: torch.Generator | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meta tensors have shapes but no values: an operation that would wait for a device raises."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which meta tensors do not know
    meta = torch.device("meta")
    augment: Augment = make_augment(name, **settings)
    images = torch.zeros(4, 1, 16, 16, device=meta)
    p = torch.zeros((), dtype=torch.float64, device=meta)
    drawn = augment.draw(images.shape, p, generator, meta)
    assert "window" not in drawn and "ada/window" not in drawn
    assert augment.apply(images, drawn).shape == images.shape


@each_augment
def test_draws_moved_to_an_accelerator_give_the_same(name: str, settings: dict[str, Any]) -> None:
    """There the window is not looked at, which changes nothing but rounding."""
    augment, images = make_augment(name, **settings), some_images(6, 1, 20).double()
    drawn = augment.draw(images.shape, 0.8, seeded(4), CPU)
    unseen = {key: values for key, values in drawn.items() if not key.endswith("window")}
    assert torch.allclose(augment.apply(images, unseen), augment.apply(images, drawn), atol=1e-12)


# Both -------------------------------------------------------------------------------------------------------------


def test_diffaug_follows_ada() -> None:
    both, images, draws = make_augment("ada+diffaug", fill=-2.0), some_images(6), seeded(2)
    expected = DiffAugment(fill=-2.0)(AdaAugment("bg")(images, 0.9, draws), 1.0, draws)
    augmented = both(images, 0.9, seeded(2))
    assert torch.equal(augmented, expected)
    # The cut-outs come last: full rectangles of their own value, which no warp has turned or blurred.
    assert ((augmented == -2).flatten(1).sum(dim=1) >= 6 * 6).all()


def test_both_at_p_zero_is_diffaug_alone() -> None:
    images = some_images(6)
    assert torch.equal(make_augment("ada+diffaug")(images, 0.0, seeded(2)), DiffAugment()(images, 0.0, seeded(2)))


def test_derivatives_of_both() -> None:
    images = some_images(2, 1, 6).double().requires_grad_()
    both = make_augment("ada+diffaug", ada_fill=-1.0)
    assert gradcheck(lambda x: both(x, 0.8, seeded(2)), (images,))
    assert gradgradcheck(lambda x: both(x, 0.8, seeded(2)).pow(3), (images,))


# Settings ---------------------------------------------------------------------------------------------------------


def test_factory() -> None:
    images = some_images(2)
    assert isinstance(make_augment("none"), NoAugment)
    assert make_augment("none")(images, 0.5, seeded()) is images
    assert make_augment("ada", operations="geom") == AdaAugment("geom")
    assert make_augment("ada", ada_fill=-1.0) == AdaAugment(fill=-1.0) != AdaAugment()
    assert make_augment("diffaug", fill=-1.0) == DiffAugment(fill=-1.0)
    assert make_augment("ada+diffaug", operations="b", ada_fill=0.0, fill=-1.0) == AdaDiffAugment(
        AdaAugment("b", 0.0), DiffAugment(fill=-1.0)
    )
    assert {name for name, _ in SETTINGS} == set(AUGMENTS)
    with pytest.raises(SettingsError) as caught:
        make_augment("mixup")
    assert all(name in str(caught.value.hint) for name in AUGMENTS)
