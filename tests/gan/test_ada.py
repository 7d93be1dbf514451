"""ADA: agreement with the original authors' numbers, distributions, gradients of any order, fill, the controller.

`augment.safetensors` was computed by the original public implementation in float64 (see the README beside it).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from usgan_cli.core.errors import FormatError, SettingsError
from usgan_cli.gan.augment import AdaAugment, AdaController, AdaOperations, Fill
from usgan_cli.gan.augment.color import band_taps, filter_images
from usgan_cli.gan.augment.warp import fitted_window, sample_bilinear, warp
from usgan_cli.gan.augment.wavelets import SYM2, SYM6, band_bank
from usgan_cli.gan.presets import OPERATION_GROUPS, PIPES

DRAWN = 20_000


@pytest.fixture(scope="module")
def reference(reference_dir: Path) -> dict[str, Tensor]:
    return load_file(reference_dir / "augment.safetensors")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 2, channels: int = 1, size: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(1), dtype=dtype) * 2 - 1


def smooth_images(size: int = 32) -> Tensor:
    """Two blurred images: their content is far below the resampling filter's cutoff."""
    return F.interpolate(some_images(2, 1, 5), size=(size, size), mode="bicubic", align_corners=True)


def drawn(
    operations: str | AdaOperations, p: float, width: int = 32, height: int = 32, count: int = DRAWN, seed: int = 3
) -> dict[str, Tensor]:
    """Many draws of the operations, each for one gray image."""
    return AdaAugment(operations).draw([count, 1, height, width], p, seeded(seed), torch.device("cpu"))


def random_transforms(count: int, size: int) -> Tensor:
    """The pipe's geometric transforms, [N, 3, 3]."""
    return drawn("bg", 0.8, size, size, count, seed=5)["transform"]


def at_percentile(augment: AdaAugment, images: Tensor, percentile: float) -> Tensor:
    """Return images with every operation applied at a percentile of its distribution."""
    return augment.apply(images, augment.draw(images.shape, 1.0, None, images.device, percentile))


# Reference --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_every_reference_key_agrees(reference: dict[str, Tensor], dtype: torch.dtype, tolerance: float) -> None:
    seen = 0
    for key, expected in reference.items():
        operation, _, rest = key.partition("/")
        quantile, _, kind = rest.partition("/")
        if kind not in ("gray", "rgb"):
            continue
        actual = at_percentile(AdaAugment(operation), reference[kind].to(dtype), float(quantile))
        worst = (actual.double() - expected).abs().max() / expected.abs().max()
        assert worst < tolerance, f"{key}: {worst:.2e}"
        seen += 1
    inputs_and_gradient = {"gray", "rgb", "bg_grad_weight", "bg/0.35/gray_input_grad"}
    assert seen == len(reference) - len(inputs_and_gradient) > 100


def test_reference_input_gradient(reference: dict[str, Tensor]) -> None:
    images = reference["gray"].clone().requires_grad_()
    output = at_percentile(AdaAugment("bg"), images, 0.35)
    (grad,) = torch.autograd.grad((output * reference["bg_grad_weight"]).sum(), images)
    expected = reference["bg/0.35/gray_input_grad"]
    assert (grad - expected).abs().max() < 1e-6 * expected.abs().max()


# Filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taps", "order"), [(SYM2, 2), (SYM6, 6)])
def test_wavelets_are_orthonormal_with_vanishing_moments(taps: tuple[float, ...], order: int) -> None:
    low = torch.tensor(taps, dtype=torch.float64)
    assert math.isclose(low.sum().item(), math.sqrt(2), rel_tol=1e-9)
    for shift in range(0, len(taps), 2):
        overlap = (low[shift:] * low[: len(taps) - shift]).sum().item()
        assert overlap == pytest.approx(float(shift == 0), abs=1e-9)
    n = torch.arange(len(taps), dtype=torch.float64) / len(taps)
    for moment in range(order):
        assert ((-1.0) ** torch.arange(len(taps)) * low * n**moment).sum().abs() < 1e-8


def test_equal_band_gains_leave_an_image_alone() -> None:
    impulse = torch.zeros(43, dtype=torch.float64)
    impulse[21] = 1
    assert torch.allclose(band_bank().sum(dim=0), impulse, atol=1e-6)
    # Fewer pixels than taps: the reflection folds more than once.
    images = some_images(size=16)
    taps = band_taps(torch.ones(2, 4, dtype=torch.float64))
    assert torch.allclose(filter_images(images, taps), images, atol=1e-5)


# The warp ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["reflect", -1.0])
def test_fitted_windows_change_nothing(fill: Fill) -> None:
    images, transforms = some_images(12, size=20), random_transforms(12, 20)
    transforms[0, :2, :2] *= 3  # zoomed out past one mirror image
    window = fitted_window(transforms, 20, 20, fill)
    fitted, whole = warp(images, transforms, window=window, fill=fill), warp(images, transforms, fill=fill)
    assert torch.allclose(fitted, whole, atol=1e-12)


def test_an_image_does_not_depend_on_its_batch() -> None:
    images, transforms = some_images(6, size=20), random_transforms(6, 20)
    alone = torch.cat([warp_fitted(images[i : i + 1], transforms[i : i + 1]) for i in range(6)])
    assert torch.allclose(warp_fitted(images, transforms), alone, atol=1e-12)


def warp_fitted(images: Tensor, transforms: Tensor) -> Tensor:
    return warp(images, transforms, window=fitted_window(transforms, *images.shape[2:]))


@pytest.mark.parametrize("fill", [0.0, -1.0, 0.3])
def test_fill_is_what_an_explicitly_surrounded_image_gives(fill: float) -> None:
    """A canvas so large that no transform reaches its end, of another width than height; the trap is the filters."""
    images, margin = some_images(12)[..., :12], 80
    transforms = random_transforms(12, 16)
    transforms[0, :2, :2] *= 3
    transforms[1, 0, 2] = 100  # wholly out of view
    canvas = F.pad(images, (margin,) * 4, value=fill)
    expected = warp(canvas, transforms)[..., margin:-margin, margin:-margin]
    window = fitted_window(transforms, 16, 12, fill)
    actual = warp(images, transforms, window=window, fill=fill)
    assert torch.allclose(actual, expected, atol=1e-6)
    assert torch.allclose(actual[1], torch.full_like(actual[1], fill), atol=1e-6)
    assert not torch.allclose(actual, warp(images, transforms), atol=0.1), "reflection differs"


def test_fill_has_first_and_second_derivatives() -> None:
    images = some_images(2, 1, 6).requires_grad_()
    augment = AdaAugment("bg", fill=-1.0)
    assert gradcheck(lambda x: augment(x, 0.8, seeded(2)), (images,))
    assert gradgradcheck(lambda x: augment(x, 0.8, seeded(2)).pow(3), (images,))


def test_colors_act_on_the_fill_as_on_the_image() -> None:
    black = torch.full((8, 1, 16, 16), -1.0)
    shades = AdaAugment("geom+color", fill=-1.0)(black, 1.0, seeded()).flatten(1)
    assert (shades.amax(dim=1) - shades.amin(dim=1)).max() < 1e-5, "no border between image and surroundings"
    assert shades[:, 0].std() > 0.1


def test_whole_pixel_translation_is_an_exact_reflected_shift() -> None:
    images = some_images(size=16)
    transforms = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    transforms[:, 0, 2], transforms[:, 1, 2] = -3, 5
    expected = F.pad(images, (3, 0, 0, 5), mode="reflect")[:, :, 5:21, :16]
    assert torch.allclose(warp(images, transforms), expected, atol=1e-6)


def test_oblong_images_turn_about_their_centre() -> None:
    images = F.interpolate(some_images(2, 1, 5), size=(48, 80), mode="bicubic", align_corners=True)
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)).repeat(2, 1, 1)
    error = (warp(images, half_turn) - images.flip(2, 3))[..., 6:-6, 6:-6].abs().max()
    assert error < 0.2 * images.diff(dim=2).abs().max()


def test_sampling_has_every_derivative() -> None:
    images = some_images(2, 2, 5).requires_grad_()
    grid = (torch.rand(2, 4, 3, 2, generator=seeded(), dtype=torch.float64) * 2.4 - 1.2).requires_grad_(False)
    expected = F.grid_sample(images, grid, align_corners=False)
    assert torch.equal(sample_bilinear(images, grid), expected)
    gradcheck(lambda x: sample_bilinear(x, grid), (images,))
    gradgradcheck(lambda x: sample_bilinear(x, grid).pow(3), (images,))


@pytest.mark.slow
@pytest.mark.parametrize(("names", "channels"), [("bg", 1), ("bgcfnc", 3)])
def test_first_and_second_derivatives_of_the_pipe(names: str, channels: int) -> None:
    images = some_images(2, channels, 6).requires_grad_()
    augment = AdaAugment(names)
    assert gradcheck(lambda x: augment(x, 0.8, seeded(2)), (images,))
    assert gradgradcheck(lambda x: augment(x, 0.8, seeded(2)).pow(3), (images,))


def test_r1_gradient_passes_through_to_the_weights() -> None:
    """The penalty's derivative by a finite difference: the trap is a pipe that is detached at second order."""
    weight = torch.randn(1, 1, 16, 16, generator=seeded(), dtype=torch.float64).requires_grad_()

    def penalty(weight: Tensor) -> Tensor:
        images = some_images().requires_grad_()
        score = (weight * AdaAugment("bg")(images, 0.8, seeded(4))).pow(2).sum()
        (grad,) = torch.autograd.grad(score, images, create_graph=True)
        return grad.square().sum()

    (analytic,) = torch.autograd.grad(penalty(weight), weight)
    step = 1e-5 * torch.randn(1, 1, 16, 16, generator=seeded(9), dtype=torch.float64)
    numeric = (penalty(weight + step) - penalty(weight - step)) / 2
    assert (analytic * step).sum().item() == pytest.approx(numeric.item(), rel=1e-6)


def test_gradient_reaches_every_pixel_group() -> None:
    images = some_images(4, 3, 16, torch.float32).requires_grad_()
    AdaAugment("bgcfnc")(images, 0.7, seeded()).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().flatten(1).sum(dim=1) > 0).all()


# The pipe ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0, 0.0, torch.tensor(0.0)])
def test_p_zero_is_the_identity(p: float | Tensor) -> None:
    images = some_images()
    assert AdaAugment("bgcfnc")(images, p, seeded()) is images


def test_drawing_nothing_is_the_identity_within_the_filters_precision() -> None:
    """With a vanishing p the pipe runs, applies nothing, and gives the images back."""
    images = some_images(4, 3, 24)
    augmented = AdaAugment("bgcfnc")(images, 1e-12, seeded())
    assert augmented is not images
    assert torch.allclose(augmented, images, atol=1e-5)


@pytest.mark.parametrize("operation", ["xflip", "rotate90"])
def test_flips_and_quarter_turns_land_on_their_pixels(operation: str) -> None:
    """Exact up to sym6's slight asymmetry, a tenth of a pixel; the trap is a centre that is half a pixel off."""
    images = smooth_images(64)
    expected = images.flip(3) if operation == "xflip" else images.rot90(3, (2, 3))
    augmented = at_percentile(AdaAugment(operation), images, 0.8)
    inner = (..., slice(8, -8), slice(8, -8))
    assert (augmented - expected)[inner].abs().max() < 0.2 * images.diff(dim=3).abs().max()


def test_geometry_treats_channels_alike() -> None:
    gray = some_images(4, 1, 16)
    rgb = gray.expand(-1, 3, -1, -1).contiguous()
    augment = AdaAugment("bg")
    expected = augment(gray, 0.8, seeded(7)).expand(-1, 3, -1, -1)
    assert torch.allclose(augment(rgb, 0.8, seeded(7)), expected, atol=1e-12)


def test_hue_and_saturation_do_nothing_on_gray_and_lumaflip_negates() -> None:
    images = some_images()
    assert torch.equal(AdaAugment(["hue", "saturation"])(images, 1.0, seeded()), images)
    assert torch.allclose(at_percentile(AdaAugment("lumaflip"), images, 0.8), -images, atol=1e-12)


def test_generator_alone_decides() -> None:
    augment, images = AdaAugment("bgcfnc"), some_images(4, 3, 16, torch.float32)
    first = augment(images, 0.6, seeded(11))
    torch.manual_seed(99)  # the global generator must not matter
    assert torch.equal(first, augment(images, torch.tensor(0.6), seeded(11)))
    assert not torch.equal(first, augment(images, 0.6, seeded(12)))


def test_images_are_augmented_independently() -> None:
    images = some_images(1).expand(8, -1, -1, -1).contiguous()
    augmented = AdaAugment("geom")(images, 1.0, seeded())
    distances = torch.cdist(augmented.flatten(1), augmented.flatten(1)) + 10 * torch.eye(8)
    assert distances.min() > 0.5


def test_low_precision_images_are_computed_in_float32() -> None:
    images = some_images(dtype=torch.float32).bfloat16()
    expected = AdaAugment("bgc")(images.float(), 0.9, seeded(4)).bfloat16()
    actual = AdaAugment("bgc")(images, 0.9, seeded(4))
    assert actual.dtype == torch.bfloat16
    assert torch.equal(actual, expected)


# Distributions ----------------------------------------------------------------------------------------------------


def share(applied: Tensor) -> float:
    return applied.double().mean().item()


def test_flip_and_quarter_turn_rates() -> None:
    flips = drawn("xflip", 0.6)["transform"]
    assert share(flips[:, 0, 0] < 0) == pytest.approx(0.3, abs=0.02)
    turns = drawn("rotate90", 0.6)["transform"]
    angles = torch.atan2(turns[:, 1, 0], turns[:, 0, 0]) / (math.pi / 2)
    for quarter, expected in ((0, 0.4 + 0.15), (1, 0.15), (-1, 0.15)):
        assert share((angles - quarter).abs() < 1e-6) == pytest.approx(expected, abs=0.02)


def test_rotation_happens_with_p_over_both_of_its_places() -> None:
    # Between the rotations lies the anisotropic scale, here always there, so that transform = R1 A R2.
    matrix = drawn(AdaOperations.named("rotate+aniso", rotate=0.6), 1.0)["transform"][:, :2, :2]
    first = (matrix @ matrix.mT)[:, 0, 1].abs() > 1e-12  # R1 A A R1': diagonal without R1
    second = (matrix.mT @ matrix)[:, 0, 1].abs() > 1e-12
    for turned in (first, second):
        assert share(turned) == pytest.approx(1 - math.sqrt(0.4), abs=0.02)
    assert share(first | second) == pytest.approx(0.6, abs=0.02)


def test_rotations_are_uniform_over_the_circle() -> None:
    transform = drawn("rotate", 0.6)["transform"]
    angles = torch.atan2(transform[:, 1, 0], transform[:, 0, 0]) / math.pi
    turned = angles[angles != 0]
    assert len(turned) / DRAWN == pytest.approx(0.6, abs=0.02)
    assert stats.kstest(turned.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_whole_pixel_translations_are_whole_and_uniform() -> None:
    factor = drawn("xint", 1.0, 64, 32)["transform"]
    for axis, size in ((0, 64), (1, 32)):
        shift = factor[:, axis, 2]
        assert torch.equal(shift, shift.round())
        assert shift.abs().max() == size // 8
    assert abs(stats.pearsonr(factor[:, 0, 2].numpy(), factor[:, 1, 2].numpy()).statistic) < 0.03


@pytest.mark.parametrize(
    ("operation", "axis", "std"), [("scale", 0, 0.2), ("aniso", 0, 0.2), ("aniso", 1, 0.2), ("xfrac", 0, 0.125)]
)
def test_normal_strengths(operation: str, axis: int, std: float) -> None:
    factor = drawn(operation, 1.0)["transform"]
    values = factor[:, axis, 2] / 32 if operation == "xfrac" else factor[:, axis, axis].log2()
    assert stats.kstest(values.numpy(), stats.norm(0, std).cdf).pvalue > 1e-3


def test_cutout_centres_are_uniform_over_the_image() -> None:
    images = torch.ones(4000, 1, 16, 16)
    cut = AdaAugment("cutout")(images, 1.0, seeded(8)) == 0
    # A pixel is covered when the centre lies within a quarter of the side of it.
    centre = (torch.arange(16) + 0.5) / 16
    expected = (centre + 0.25).clamp(max=1) - (centre - 0.25).clamp(min=0)
    assert torch.allclose(cut.float().mean(dim=(0, 1)), torch.outer(expected, expected), atol=5 * 0.5 / math.sqrt(4000))


def test_noise_is_white_and_half_normal_in_strength() -> None:
    noise = AdaAugment("noise")(torch.zeros(4000, 1, 8, 8), 1.0, seeded(8))
    sigma = noise.square().mean(dim=(1, 2, 3)).sqrt().numpy()
    assert sigma.mean() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.05)
    assert math.sqrt((sigma**2).mean()) == pytest.approx(0.1, rel=0.05)


# Settings ---------------------------------------------------------------------------------------------------------


def test_names() -> None:
    bg = AdaOperations.named("bg")
    assert bg == AdaOperations.named(["blit", "geom"]) and bg.xflip == bg.xfrac == 1 and bg.brightness == 0
    assert list(PIPES) == ["b", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"]
    assert AdaOperations.named("bgcfnc").cutout == 1
    assert AdaOperations.named("scale", scale_std=0.5).scale_std == 0.5
    assert AdaAugment().operations == bg


@pytest.mark.parametrize(
    "call",
    [
        lambda: AdaOperations.named("bgx"),
        lambda: AdaOperations.named("bg", strength=1.0),
        lambda: AdaOperations(scale_std=-0.1),
        lambda: AdaOperations(imgfilter_bands=(1.0, 1.0)),
        lambda: AdaAugment()(torch.zeros(1, 1, 8, 8), 1.2),
        lambda: AdaAugment()(torch.zeros(1, 1, 8, 8), math.nan),
        lambda: AdaAugment()(torch.zeros(1, 2, 8, 8), 0.5),
        lambda: AdaAugment()(torch.zeros(2, 1, 8, 8), torch.zeros(2)),
        lambda: at_percentile(AdaAugment(), torch.zeros(1, 1, 8, 8), 1.0),
        lambda: AdaAugment(fill=-1.5),
        lambda: AdaAugment(fill=math.nan),
        lambda: AdaAugment(fill="black"),  # type: ignore[arg-type]
        lambda: AdaController(interval=0),
        lambda: AdaController(target=2),
        lambda: AdaController(p=1.5),
    ],
)
def test_impossible_settings_are_refused(call: object) -> None:
    with pytest.raises(SettingsError):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("names", ["blit+color", "blit,color", ["blit", "color"], " color + blit "])
def test_names_join(names: str | list[str]) -> None:
    expected = dict.fromkeys((*OPERATION_GROUPS["blit"], *OPERATION_GROUPS["color"]), 1.0)
    assert AdaOperations.named(names) == AdaOperations(**expected)


@pytest.mark.parametrize("names", ["bgx", "blit+", "", "ultrasound+warp"])
def test_unknown_names_are_refused_with_all_that_there_are(names: str) -> None:
    with pytest.raises(SettingsError) as caught:
        AdaOperations.named(names)
    assert caught.value.hint is not None
    for name in (*PIPES, *OPERATION_GROUPS, "ultrasound", "xflip", "imgfilter"):
        assert name in caught.value.hint


def test_ultrasound_keeps_the_probe_on_top_and_the_signs_of_contrast() -> None:
    operations = AdaOperations.named("ultrasound")
    draws = drawn(operations, 1.0)
    inverse = draws["transform"]
    # Where the image's downward direction goes; the anisotropic scale lies between the two rotations and shears.
    down = inverse[:, :2, 1]
    tilt = torch.atan2(down[:, 0].abs(), down[:, 1]) * 180 / math.pi
    assert tilt.max() < 20 and tilt.quantile(0.99) < 10
    assert share(inverse[:, 0, 0] < 0) == pytest.approx(0.5, abs=0.02), "mirrored from side to side, and only so"
    colors = draws["color"]
    assert (colors[:, 0, 0] > 0).all()
    assert colors[:, 0, 0].log2().std().item() == pytest.approx(0.25, rel=0.05)
    assert operations.imgfilter == operations.noise == operations.cutout == 0


def test_ultrasound_joins_with_other_names_and_strengths() -> None:
    alone = AdaOperations.named("ultrasound")
    joined = AdaOperations.named("ultrasound+noise", contrast_std=0.1)
    assert joined == replace(alone, noise=1.0, contrast_std=0.1)


# The controller ---------------------------------------------------------------------------------------------------


def observe(controller: AdaController, logits: Tensor) -> None:
    controller.observe(logits.sign().sum(), logits.numel())


def test_controller_steps_towards_the_target() -> None:
    controller = AdaController()
    observe(controller, torch.ones(64))
    controller.update(64)
    assert controller.p == 64 * 4 / 500_000
    assert controller.r_t == 1
    observe(controller, torch.tensor([3.0, 2.0, 1.0, -0.5]))  # r_t = 0.5, below 0.6
    controller.update(64)
    assert controller.p == 0
    assert controller.r_t == 0.5
    observe(controller, -torch.ones(4))
    controller.update(64)
    assert controller.p == 0, "p is clamped at 0"


def test_controller_follows_plain_arithmetic_to_the_last_bit() -> None:
    controller, p = AdaController(kimg=3, target=0.6), 0.0
    draws = seeded(6)
    for _ in range(300):
        logits = torch.randn(20, generator=draws) + 0.85
        observe(controller, logits)
        controller.update(7)
        r_t = int(logits.sign().sum()) / 20
        p = min(max(p + ((r_t > 0.6) - (r_t < 0.6)) * (7 * 4 / 3000), 0.0), 1.0)
        assert (controller.p, controller.r_t) == (p, r_t)
    assert p > 0


def test_controller_weighs_minibatches_by_their_size_and_forgets_after_an_update() -> None:
    controller = AdaController(target=0.0)
    observe(controller, torch.ones(3, 1))
    observe(controller, torch.tensor([-5.0]))
    controller.update(4)
    assert controller.r_t == 0.5
    observe(controller, torch.zeros(2))
    p = controller.p
    controller.update(4)
    assert controller.p == p and controller.r_t == 0, "on target it stays"
    controller.update(4)
    assert controller.p == p and controller.r_t == 0, "without observations it stays"
    assert AdaController().r_t is None


def test_controller_takes_counts_and_sums_of_any_type() -> None:
    controllers = [AdaController() for _ in range(3)]
    controllers[0].observe(torch.tensor(3.0), 5)
    controllers[1].observe(torch.tensor(3), torch.tensor(5))
    controllers[2].observe(torch.tensor(3, dtype=torch.int32), torch.tensor(5.0))
    assert all(each.state_dict() == controllers[0].state_dict() for each in controllers)
    assert controllers[0].state_dict()["signs"] == 3


def test_controller_stops_at_one() -> None:
    controller = AdaController(kimg=1, p=0.8)
    for _ in range(3):
        observe(controller, torch.ones(64))
        controller.update(64)
    assert controller.p == 1


def test_controller_keeps_its_tensor_in_place_and_asks_no_device_for_a_value() -> None:
    """Work that was recorded with `p_tensor` sees later values; a meta tensor raises when its value is asked for."""
    controller = AdaController()
    p = controller.p_tensor
    observe(controller, torch.ones(4))
    controller.update(64)
    controller.load_state_dict({**controller.state_dict(), "p": 0.25})
    assert controller.p_tensor is p and p.dtype == torch.float64 and p.item() == 0.25
    remote = AdaController(device="meta")
    remote.observe(torch.zeros((), device="meta"), 4)
    remote.observe(torch.zeros((), device="meta"), torch.zeros((), device="meta"))
    remote.update(64)
    assert remote.p_tensor.device.type == "meta"


def test_controller_state_continues_exactly() -> None:
    def act(controller: AdaController, steps: range) -> None:
        for step in steps:
            observe(controller, torch.randn(8, generator=seeded(step)) + 0.8)
            if step % 4 == 3:
                controller.update(8)

    whole, half, resumed = (AdaController(kimg=2) for _ in range(3))
    act(whole, range(30))
    act(half, range(14))  # in the middle of an interval
    resumed.load_state_dict(json.loads(json.dumps(half.state_dict())))
    act(resumed, range(14, 30))
    assert resumed.state_dict() == whole.state_dict()
    assert whole.p > 0


@pytest.mark.parametrize("change", [{"p": 1.2}, {"p": None}, {"r_t": 7.0}, {"signs": 5, "count": 2}])
def test_controller_refuses_an_impossible_state(change: dict[str, float]) -> None:
    state = AdaController().state_dict()
    with pytest.raises(FormatError):
        AdaController().load_state_dict({**state, **change})
    del state["count"]
    with pytest.raises(FormatError, match="count"):
        AdaController().load_state_dict(state)
