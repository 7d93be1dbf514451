"""How long a study's steps take on machines that were measured: what an estimate begins with before anything has run.

Processor: two cores of a server processor with AVX-512 and bf16, and such with AVX2 alone. GPU: one H200. Each figure
is marked: measured (docs/measured.md, docs/gpu.md), or estimated from a measured neighbour by operations and images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from usgan_cli.commands.generate import Generate
from usgan_cli.commands.phantom import Phantom
from usgan_cli.commands.score import DEFAULT_COUNT, Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.methods import METHODS, discriminator_of, settings_of_discriminator
from usgan_cli.study.plan import PlannedStep

Kind = Literal["cpu", "gpu"]
MACHINES: dict[Kind, str] = {"cpu": "2 cores with bf16", "gpu": "one H200"}
"""The machines that were measured, in words."""


@dataclass(frozen=True)
class Rate:
    """Seconds of a unit of work."""

    seconds: float
    measured: bool = False


NARROW = ("small", "tiny")
KIMG: dict[Kind, dict[tuple[str, int], Rate]] = {
    "cpu": {
        ("tiny", 32): Rate(4.0, measured=True),
        ("tiny", 64): Rate(8),
        ("small", 32): Rate(7),
        ("small", 64): Rate(13.5, measured=True),
        ("small", 128): Rate(40),
        ("small", 256): Rate(130),
        ("auto", 32): Rate(142, measured=True),
        ("auto", 64): Rate(225, measured=True),
        ("auto", 128): Rate(352, measured=True),
        ("auto", 256): Rate(711, measured=True),
        ("paper256", 256): Rate(711, measured=True),
        ("lsun256", 256): Rate(2150),
    },
    "gpu": {
        ("tiny", 32): Rate(1.0),
        ("small", 64): Rate(1.0),
        ("small", 256): Rate(1.5),
        ("auto", 64): Rate(0.8),
        ("auto", 128): Rate(1.1),
        ("auto", 256): Rate(2.07, measured=True),
        ("paper256", 256): Rate(1.49, measured=True),
        ("lsun256", 256): Rate(4.5),
    },
}
"""Seconds per thousand images of StyleGAN2, by preset and pixels, in bf16."""
FEATURES: dict[Kind, dict[int, Rate]] = {
    "cpu": {64: Rate(4), 128: Rate(12), 256: Rate(45)},
    "gpu": {128: Rate(0.12), 256: Rate(0.2)},
}
"""What a projected discriminator takes, by the pixels that its feature network sees.

64 and 128 on a processor are what is left, without the generator's share, of the 10 and 18 s that `best` took (`small`,
64 pixels, two threads: 109 kimg in 20 minutes); 256 is estimated from them.
"""
GENERATOR_SHARE = 0.45
"""Share of StyleGAN2's time that is left of it beside a projected discriminator (estimated)."""
PIXELS_SHARE = 0.47
"""Share of StyleGAN2's time that its discriminator takes beside a projected one, with R1 (measured: 11 of 23 s of a
thread, `small` at 64 pixels, and as many whatever the feature network sees)."""
FLOAT32 = {"narrow": 1.7, "full": 2.5}
"""How many times as long float32 takes on a processor (measured: 1.7 for `small`, 2.7 to 3.5 at full width)."""
NO_AVX512 = 3.5
"""How many times as long float32 takes on a processor without AVX-512 (measured: 90 s of `small` with ADA, not 24)."""
IMAGE: dict[Kind, tuple[Rate, Rate]] = {
    "cpu": (Rate(0.006), Rate(0.056, measured=True)),
    "gpu": (Rate(0.0005), Rate(0.00044, measured=True)),
}
"""Seconds of a generated image: of a narrow network, and of a full one at 256 pixels."""
FEATURE: dict[Kind, dict[str, Rate]] = {
    "cpu": {
        "inception": Rate(0.15),
        "efficientnet-lite0": Rate(0.025),
        "efficientnet-lite2": Rate(0.047, measured=True),
    },
    "gpu": {"inception": Rate(0.004)},
}
"""Seconds of an image's features, by extractor."""
FROZEN_S, FROZEN_IMAGE = 1.5, Rate(0.016)
"""Seconds of a classifier on frozen features, and of each of its images (11 to 17 were measured for BUSI, n = 500)."""
FINE_TUNED: dict[Kind, Rate] = {"cpu": Rate(0.4), "gpu": Rate(0.004)}
"""Seconds of a training image of EfficientNet-B2 at 256 pixels, once, by fine-tuning."""
LITE_SHARE = 0.25
"""An EfficientNet-Lite's share of that (measured: 0.075 s of an image of 160 pixels for Lite0 on a processor)."""
SCORE_S, TTEST_S, REPORT_S, SUBSET_S = 3.0, 1.5, 12.0, 1.0
"""Seconds of what hardly depends on the study; of these only the report's was measured."""
PREPARED_IMAGE_S, SIMULATED_IMAGE_S, IMAGES, TEST_SHARE = 0.06, 0.03, 800, 0.36
"""Seconds of an image (estimated), how many images a source is taken to have, and how many of them are test images."""
SCORED_AGAIN = 0.3
"""Real images whose features a score computes, as a share of all: most are kept from earlier scores."""


@dataclass(frozen=True)
class Machine:
    """What decides which rates hold, and what a study shows to networks."""

    kind: Kind
    pixels: int
    """Side of the prepared images."""
    float32: bool = False
    """Whether trainings compute in float32 on a processor."""
    narrow_cpu: bool = False
    """Whether that processor has no AVX-512."""
    images: int = IMAGES
    kimg_of: Callable[[str], float | None] = lambda _: None
    """Length of training of a preset, where a study does not give one."""


def table_seconds(step: PlannedStep, machine: Machine) -> float | None:
    """Return how long a step takes on the machine measured; None for a preset and size that are too far from it."""
    options = step.options
    if isinstance(options, TrainGan):
        return _training(options, machine)
    if isinstance(options, Generate):
        return _count(options.count) * _image(machine)
    if isinstance(options, Score):
        shown = _count(options.count) + SCORED_AGAIN * machine.images
        return SCORE_S + shown * _feature(options.extractor, machine.kind)
    if isinstance(options, TrainClassifier):
        return _classifier(options, machine)
    if isinstance(options, Phantom):
        return options.count * SIMULATED_IMAGE_S
    fixed = {"ttest": TTEST_S, "report": REPORT_S, "subsample": SUBSET_S}
    return fixed.get(step.command, machine.images * PREPARED_IMAGE_S)


def _count(count: int | None) -> int:
    return count or DEFAULT_COUNT


def kimg_rate(
    preset: str, machine: Machine, *, features: int | None = None, enlarged: float = 0.0, pixels: bool = False
) -> float | None:
    """Return seconds per thousand images of a preset at the machine's pixels; None for a preset without a rate.

    With a projected discriminator `features` are the pixels that its network sees, and `enlarged` is the share of the
    training in which it sees twice as many; `pixels` means StyleGAN2's discriminator beside it.
    """
    known = {pixels: rate for (name, pixels), rate in KIMG[machine.kind].items() if name == preset}
    if not known:
        return None
    seconds = _at(known, machine.pixels)
    if machine.kind == "cpu" and machine.float32:
        seconds *= FLOAT32["narrow" if preset in NARROW else "full"]
        seconds *= NO_AVX512 if machine.narrow_cpu else 1.0
    if features is not None:
        own, twice = (_at(FEATURES[machine.kind], size) for size in (features, 2 * features))
        share = GENERATOR_SHARE + (PIXELS_SHARE if pixels else 0.0)
        seconds = share * seconds + (1 - enlarged) * own + enlarged * twice
    return seconds


def _at(known: dict[int, Rate], pixels: int) -> float:
    """Return the rate at a size: between known ones, geometrically; below as the smallest; above, with the area."""
    below = max((size for size in known if size <= pixels), default=min(known))
    above = min((size for size in known if size >= pixels), default=None)
    low = known[below].seconds
    if above is None:
        return low * (pixels / below) ** 2
    if above == below or pixels < below:
        return low
    share = math.log(pixels / below) / math.log(above / below)
    return low * math.exp(share * math.log(known[above].seconds / low))


def _training(options: TrainGan, machine: Machine) -> float | None:
    if (discriminator := discriminator_of(options.aug, options.discriminator)) == "projected":
        usual = settings_of_discriminator(discriminator, machine.pixels) | dict(METHODS[options.aug].settings)
        features = options.feature_size or usual["feature_size"]
        enlarged = usual["enlarge_last"] if options.enlarge_last is None else options.enlarge_last
        weight = usual.get("pixel_weight", 0.0) if options.pixel_weight is None else options.pixel_weight
        rate = kimg_rate(options.preset, machine, features=features, enlarged=enlarged, pixels=weight > 0)
    else:
        rate = kimg_rate(options.preset, machine)
    limit = None if options.minutes is None else options.minutes * 60
    kimg = options.kimg if options.kimg is not None or limit is not None else machine.kimg_of(options.preset)
    needed = None if rate is None or kimg is None else rate * kimg
    known = [seconds for seconds in (limit, needed) if seconds is not None]
    return min(known) if known else None


def _image(machine: Machine) -> float:
    narrow, full = (rate.seconds for rate in IMAGE[machine.kind])
    return narrow if machine.pixels <= 64 else full * (machine.pixels / 256) ** 2


def _feature(extractor: str, kind: Kind) -> float:
    known = FEATURE[kind]
    return known.get(extractor, known["inception"]).seconds


def _classifier(options: TrainClassifier, machine: Machine) -> float:
    lite = LITE_SHARE if "lite" in options.backbone else 1.0
    images = options.n * (1 + (options.ratio or 0))
    frozen = FROZEN_S
    if machine.kind == "cpu":
        frozen += (images + TEST_SHARE * machine.images) * FROZEN_IMAGE.seconds * lite / LITE_SHARE
    if options.freeze:
        return frozen
    if options.updates is not None:
        shown = float(options.updates * options.batch * options.folds)
    else:
        shown = images * options.epochs * (options.folds - 1)
    return frozen + shown * FINE_TUNED[machine.kind].seconds * lite
