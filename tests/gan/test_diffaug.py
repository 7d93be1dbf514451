"""DiffAugment: which pixels move where, the distributions of its draws, and gradients of any order."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.augment.diffaug import DiffAugment, _translate_by_gathering, translate

DRAWN = 20_000
CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, channels: int = 1, size: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(1), dtype=dtype) * 2 - 1


def drawn(size: int, **settings: float) -> dict[str, Tensor]:
    return DiffAugment(**settings).draw([DRAWN, 1, size, size], 1.0, seeded(), CPU)  # type: ignore[arg-type]


def uniform_pvalue(values: Tensor, low: int, high: int) -> float:
    """Return the chi-square p-value of whole numbers being uniform over [low, high], ends included."""
    assert values.min() == low and values.max() == high
    counts = torch.bincount(values - low, minlength=high - low + 1)
    return float(stats.chisquare(counts.numpy()).pvalue)


@pytest.mark.parametrize(("size", "limit"), [(16, 2), (32, 4), (20, 3), (256, 32)])
def test_translations_are_uniform_with_both_ends(size: int, limit: int) -> None:
    shifts = drawn(size)["translation"]
    assert uniform_pvalue(shifts[:, 0], -limit, limit) > 1e-3
    assert uniform_pvalue(shifts[:, 1], -limit, limit) > 1e-3
    assert abs(stats.pearsonr(shifts[:, 0].numpy(), shifts[:, 1].numpy()).statistic) < 0.03


@pytest.mark.parametrize(("size", "ratio", "side"), [(16, 0.5, 8), (18, 0.5, 9), (7, 0.5, 4)])
def test_cutout_centres_are_uniform_over_the_image(size: int, ratio: float, side: int) -> None:
    starts = drawn(size, cutout_ratio=ratio)["cutout"]
    centres = starts + side / 2
    assert centres.min() == (0 if side % 2 == 0 else 0.5)
    assert centres.max() == (size if side % 2 == 0 else size - 0.5)
    last = size - side % 2 - side // 2
    for axis in (0, 1):
        assert uniform_pvalue(starts[:, axis], -(side // 2), last) > 1e-3


def test_cutout_seen_from_the_images() -> None:
    """How often each pixel is covered follows from a uniform centre; a square kept inside would cover otherwise."""
    size, side = 8, 4
    covered = DiffAugment(("cutout",))(torch.ones(DRAWN, 1, size, size), 1.0, seeded()) == 0
    pixel = torch.arange(size)
    start = torch.arange(-side // 2, size - side // 2 + 1)
    inside = (pixel[:, None] >= start) & (pixel[:, None] < start + side)
    expected = inside.double().mean(dim=1)
    actual = covered.double().mean(dim=(0, 1))
    assert torch.allclose(actual, torch.outer(expected, expected), atol=0.018)
    areas = covered.sum(dim=(1, 2, 3))
    assert areas.max() == side * side and areas.min() == (side // 2) ** 2


@pytest.mark.parametrize("shift", [translate, _translate_by_gathering])
@pytest.mark.parametrize("fill", [0.0, -1.0])
def test_translation_moves_whole_pixels_and_fills(shift: object, fill: float) -> None:
    images = some_images(2, 3, 5)
    moved = shift(images, torch.tensor([[1, -2], [0, 0]]), fill)  # type: ignore[operator]
    assert torch.equal(moved[0, :, 1:, :3], images[0, :, :4, 2:])
    assert (moved[0, :, 0] == fill).all() and (moved[0, :, :, 3:] == fill).all()
    assert torch.equal(moved[1], images[1])


def test_both_ways_to_translate_agree_in_value_and_gradient() -> None:
    images = some_images(6, 2, 9).requires_grad_()
    shifts = torch.randint(-9, 10, (6, 2), generator=seeded(2))
    weight = some_images(6, 2, 9).flip(0)
    results = [function(images, shifts, -1.0) for function in (translate, _translate_by_gathering)]
    assert torch.equal(*results)
    grads = [torch.autograd.grad((result * weight).sum(), images)[0] for result in results]
    assert torch.equal(*grads)


def test_pixels_are_kept_or_filled_and_nothing_else() -> None:
    images = some_images(8, 1, 16)
    augmented = DiffAugment(fill=-1.0)(images, 1.0, seeded(3))
    assert ((augmented == -1).flatten(1).sum(dim=1) >= 16).all()
    for before, after in zip(images, augmented, strict=True):
        assert torch.isin(after[after != -1], before).all()
    assert not (augmented == 0).any()


def test_each_image_has_its_own_draws_from_the_generator_alone() -> None:
    images = some_images(1).expand(16, -1, -1, -1).contiguous()
    augment = DiffAugment(("color", "translation", "cutout"))
    first = augment(images, 1.0, seeded(5))
    torch.manual_seed(7)
    assert torch.equal(first, augment(images, 0.0, seeded(5))), "p plays no part"
    assert not torch.equal(first, augment(images, 1.0, seeded(6)))
    assert len({tuple(image.flatten().tolist()) for image in first}) == 16


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_adaptive_operations_are_applied_with_probability_p_each_by_itself(p: float) -> None:
    every = ("color", "translation", "cutout")
    shape = [DRAWN, 1, 16, 16]
    always = DiffAugment(every).draw(shape, p, seeded(), CPU)
    adaptive = DiffAugment(every, adaptive=True).draw(shape, torch.tensor(p, dtype=torch.float64), seeded(), CPU)
    neutral = {"color": 0.5, "translation": 0, "cutout": 16}
    changed = []
    for name, rows in adaptive.items():
        applied = (rows == always[name]).all(dim=1)
        assert ((rows == neutral[name]).all(dim=1) | applied).all()
        changed.append((rows != neutral[name]).any(dim=1).double())
    rates = [float(one.mean()) for one in changed]
    some = 1 - 1 / 25  # of 5 x 5 translations one moves nothing
    assert rates == pytest.approx([p, p * some, p], abs=0.012)
    if 0 < p < 1:
        correlations = torch.corrcoef(torch.stack(changed))
        assert (correlations - torch.eye(3)).abs().max() < 0.03


def test_adaptive_operations_that_are_not_applied_leave_the_image_as_it_is() -> None:
    images = some_images(8)
    for policy in ("translation", "cutout"):
        assert torch.equal(DiffAugment((policy,), adaptive=True)(images, 0.0, seeded()), images)
    kept = DiffAugment(("color",), adaptive=True)(images, 0.0, seeded())
    assert torch.allclose(kept, images, atol=1e-15)
    every = ("translation", "cutout", "color")
    assert torch.equal(
        DiffAugment(every, adaptive=True)(images, 1.0, seeded()), DiffAugment(every)(images, 0.0, seeded())
    )


def test_derivatives() -> None:
    images = some_images(2, 3, 6).requires_grad_()
    augment = DiffAugment(("color", "translation", "cutout"))
    assert gradcheck(lambda x: augment(x, 1.0, seeded(4)), (images,))
    assert gradgradcheck(lambda x: augment(x, 1.0, seeded(4)).pow(3), (images,))


def test_covered_pixels_get_no_gradient_and_the_others_all_of_it() -> None:
    images = some_images(4).requires_grad_()
    augmented = DiffAugment(("cutout",), fill=-2.0)(images, 1.0, seeded())
    augmented.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, (augmented != -2).to(images.dtype))


def test_color_ranges() -> None:
    flat = torch.zeros(DRAWN, 3, 2, 2)
    brightness = DiffAugment(("color",))(flat, 1.0, seeded())[:, 0, 0, 0]
    assert stats.kstest(brightness.numpy(), stats.uniform(-0.5, 1).cdf).pvalue > 1e-3
    gray = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2).expand(DRAWN, 1, 1, 2)
    out = DiffAugment(("color",))(gray, 1.0, seeded())
    contrast = (out[..., 1] - out[..., 0]).flatten() / 2
    assert stats.kstest(contrast.numpy(), stats.uniform(0.5, 1).cdf).pvalue > 1e-3
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(DRAWN, 3, 1, 1)
    out = DiffAugment(("color",))(red, 1.0, seeded())
    # Saturation and contrast both scale the difference of channels: its mean is that of a product.
    assert (out[:, 0] - out[:, 1]).mean().item() == pytest.approx(1.0, abs=0.02)


def test_type_is_kept() -> None:
    images = some_images(dtype=torch.float32).bfloat16()
    assert DiffAugment(("color", "translation", "cutout"))(images, 1.0, seeded()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "settings",
    [
        {"policy": ("translate",)},
        {"policy": ("cutout", "cutout")},
        {"translation_ratio": 1.5},
        {"cutout_ratio": -0.1},
        {"fill": float("nan")},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        DiffAugment(**settings)  # type: ignore[arg-type]
