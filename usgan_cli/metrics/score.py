"""All numbers of a generator, and those of real images for comparison: the study's three (Maack et al. 2022, tables 1
and 2), and those that say whether to believe them.

The reference is always the real test images. The real training images and the GAN's own training images are
scored in the same way: the floor of the Fréchet distance and the ceiling of the structural similarity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.formats.score import ScoreRecord, Scores, ScoreSettings, SetScores
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.core.progress import Progress
from usgan_cli.metrics import baselines
from usgan_cli.metrics.bootstrap import LEAST_IMAGES, Halves, half_samples, interval
from usgan_cli.metrics.config import ScoreConfig
from usgan_cli.metrics.diversity import diversity_draws, feature_diversity
from usgan_cli.metrics.features import Embedded, Extractor, Features, embed
from usgan_cli.metrics.frechet import frechet_distance, frechet_draws, frechet_infinite
from usgan_cli.metrics.histogram import LEVELS, js_distance, js_draws
from usgan_cli.metrics.kid import SUBSETS, kernel_distance, kernel_draws, subset_size
from usgan_cli.metrics.memorization import Suspects, look_for_copies
from usgan_cli.metrics.msssim import LEAST_SIZE, pair_ms_ssim
from usgan_cli.metrics.pairs import across, pair_draws, within
from usgan_cli.metrics.prdc import DENSITY_K, PRECISION_K, distances, prdc, prdc_draws
from usgan_cli.metrics.quality import probe, quality
from usgan_cli.metrics.ssim import pair_ssim

Draws = dict[str, NDArray[np.float64]]
"""Numbers of random halves of the images, by the field of `SetScores` whose interval they give."""

LEAST_OF_CLASS = 10
"""A class with fewer images on either side has no numbers of its own."""

MOST_COMPARED = 10_000
"""Of larger sets, distances between all images use this many, drawn by the seed."""

MOST_REDRAWN = 2_000
"""The same for the draws behind the intervals of distances in features."""

BASELINES = ("blurred", "noisy")
KNN_NAMES = ("precision", "recall", "density", "coverage")
HIGHEST = {"precision": 1.0, "recall": 1.0, "coverage": 1.0, "ssim": 1.0, "ms_ssim": 1.0}
LOWEST = {"fd": 0.0, "js": 0.0, **dict.fromkeys(KNN_NAMES, 0.0), "ms_ssim": 0.0, "diversity_ms_ssim": 0.0}


@dataclass(frozen=True)
class ImageSets:
    """The images of one score."""

    fake: ImageSet
    """Generated images in their fixed order."""
    test: ImageSet
    """Real test images: the reference of every number."""
    real: ImageSet | None
    """All real training images; of more than `ScoreConfig.count`, that many are chosen by the seed. Without any, one
    half of the test images is scored against the other half."""
    subset: ImageSet | None
    """The GAN's own training images; without them, copies are searched for among `real`."""
    leaked: NDArray[np.bool_] | None
    """Which of the test images [N] are copies of the images among which copies are searched for; None if unknown."""


@dataclass(frozen=True)
class Scored:
    """A record, and what its pictures show."""

    record: ScoreRecord
    suspects: Suspects | None
    """The generated images closest to training images; None if those are not known."""
    fake: Pixels
    test: Pixels
    """The images compared, [N, C, H, W]."""


def score(
    config: ScoreConfig,
    sets: ImageSets,
    *,
    name: str,
    gan_name: str,
    test_digest: str,
    extractor: Extractor,
    cache_dir: Path | None,
    progress: Progress,
    with_baselines: bool = False,
) -> Scored:
    """Score generated images, real training images and the GAN's own training images against the test images.

    `name` and `gan_name` are those of the record and of the generator, `test_digest` is the content digest of what the
    test images are. The extractor is of the kind that `config.extractor` names; its features are cached in `cache_dir`.
    `with_baselines` scores blurred and noisy training images too.
    """
    count = len(sets.fake) if config.count is None else config.count
    _check(sets, count, with_baselines=with_baselines)
    sets = replace(sets, fake=sets.fake.take(np.arange(count)))

    def embedded(images: ImageSet) -> Embedded:
        return embed(extractor, images, cache_dir, progress=progress)

    reference, generated = embedded(sets.test), embedded(sets.fake)
    training = None if sets.subset is None else embedded(sets.subset)
    compared = {"fake": (reference, generated)}
    if sets.real is None:
        compared["real"] = _two_halves(reference, config.seed)
    else:
        chosen = np.sort(numpy_generator(config.seed, "score", "real").permutation(len(sets.real))[:count])
        if training is None:  # any of them may have been copied
            training = embedded(sets.real)
            compared["real"] = (reference, training.take(chosen))
        else:
            compared["real"] = (reference, embedded(sets.real.take(chosen)))
        if with_baselines:
            trivial = _baselines(sets.real.take(chosen), config.seed)
            compared |= {key: (reference, embedded(images)) for key, images in trivial.items()}
    if sets.subset is not None and training is not None:
        compared["subset"] = (reference, training)
    held_out, real = compared["real"]
    blurred = replace(real.images, name=f"blurred {real.images.name}", pixels=baselines.blurred(real.images.pixels))
    # The distance falls with the number of images, so the yardstick takes as many of either.
    least = min(len(real), count)
    yardstick, fd = (
        frechet_distance(held_out.features, features[:least])
        for features in (embedded(blurred).features, generated.features)
    )
    suspects = None if training is None else look_for_copies(generated, training, reference, sets.leaked)
    scores = _score_sets(config, compared, progress)
    record = ScoreRecord(
        name=name,
        gan_name=gan_name,
        settings=ScoreSettings(
            **asdict(config) | {"extractor": extractor.name, "count": count},
            reference=test_digest,
            reference_count=len(reference),
            kid_subsets=SUBSETS,
            precision_k=PRECISION_K,
            density_k=DENSITY_K,
        ),
        fake=scores["fake"],
        real=scores["real"],
        real_name=sets.real.name if sets.real is not None else "one half of the real images against the other",
        real_count=scores["real"].count,
        subset=scores.get("subset"),
        subset_count=None if sets.subset is None else len(sets.subset),
        baselines={key: scores[key] for key in BASELINES if key in scores},
        memorization=None if suspects is None else suspects.record,
        quality=quality(
            scores["fake"],
            probe(reference.features, generated.features, config.seed),
            probe(held_out.features, real.features, config.seed),
            fd=fd,
            blurred_fd=yardstick,
            blurred_count=least,
        ),
        notes=list(_notes(sets.test, sets.fake, training_known=training is not None, checked=suspects is not None)),
        pictures={},
    )
    return Scored(record, suspects, sets.fake.pixels, sets.test.pixels)


def _score_sets(
    config: ScoreConfig, compared: Mapping[str, tuple[Embedded, Embedded]], progress: Progress
) -> dict[str, Scores]:
    """Return the scores of each set against its reference, by name."""
    scores = {}
    with progress.task("Scores", len(compared), "sets") as task:
        for key, (reference, other) in compared.items():
            scores[key] = score_set(config, reference, other)
            task.advance()
    return scores


def score_set(config: ScoreConfig, reference: Embedded, other: Embedded) -> Scores:
    """Return every number of one set against the reference, for all images and for each class that has enough."""
    classes = [name for name in reference.images.classes if name in other.images.classes]
    if len(classes) < 2:
        classes = []
    pairs = {"ssim": config.ssim_pairs, "ms_ssim": config.ms_ssim_pairs}
    extrapolated = numpy_generator(config.seed, "score", "infinite")
    x1, x2 = (_at_most(MOST_REDRAWN, one.features, config.seed) for one in (reference, other))
    whole = _measure(config, reference, other, pairs).model_copy(
        update={"fd_infinite": frechet_infinite(x1, x2, extrapolated)}
    )
    # The classes share the pairs equally, rounded up.
    part = {measure: -(-number // max(len(classes), 1)) for measure, number in pairs.items()}
    by_class = {}
    for name in classes:
        real, others = (
            images.take(np.flatnonzero(images.images.labels == images.images.classes.index(name)))
            for images in (reference, other)
        )
        if min(len(real), len(others)) >= LEAST_OF_CLASS:
            by_class[name] = _measure(config, real, others, part)
    return Scores(**whole.model_dump(), classes=by_class)


def _measure(config: ScoreConfig, reference: Embedded, other: Embedded, pairs: dict[str, int]) -> SetScores:
    """Return every number of one set against another, with intervals."""
    values: dict[str, Any] = dict.fromkeys((*KNN_NAMES, "ms_ssim", "diversity_ms_ssim"))
    draws: Draws = {}
    for some_values, some_draws in (
        _in_features(config, reference, other),
        _in_grays(config, reference, other),
        _in_pairs(config, reference, other, pairs),
    ):
        values |= some_values
        draws |= some_draws
    means = {name: value.mean if isinstance(value, Measured) else value for name, value in values.items()}
    return SetScores(
        reference_count=len(reference),
        count=len(other),
        fd_spread=measured(draws.get("fd", [values["fd"]])),
        intervals={
            name: interval(means[name], drawn, LOWEST.get(name, -np.inf), HIGHEST.get(name, np.inf))
            for name, drawn in draws.items()
            if means[name] is not None and len(drawn) > 1
        },
        **values,
    )


def _enough(reference: Embedded, other: Embedded) -> bool:
    return min(len(reference), len(other)) >= LEAST_IMAGES


def _halves(config: ScoreConfig, first: int, second: int) -> Halves:
    return half_samples(first, second, config.repeats, numpy_generator(config.seed, "score", "halves"))


def _in_features(config: ScoreConfig, reference: Embedded, other: Embedded) -> tuple[dict[str, float | None], Draws]:
    """Return Fréchet and kernel distance, precision, recall, density, coverage, and diversity."""
    x1, x2 = reference.features, other.features
    some1, some2 = (_at_most(MOST_COMPARED, x, config.seed) for x in (x1, x2))
    size, generator = subset_size(len(some1), len(some2)), numpy_generator(config.seed, "score", "kid")
    values: dict[str, float | None] = {
        "fd": frechet_distance(x1, x2),
        "fd_infinite": None,
        "kid": kernel_distance(some1, some2, size=size, subsets=SUBSETS, generator=generator),
        "kid_subset_size": size,
        "diversity_features": feature_diversity(x2),
    }
    by_neighbours = zip(KNN_NAMES, prdc(distances(some1, some2)), strict=True)
    values.update({name: float(value) for name, value in by_neighbours if not np.isnan(value)})
    if not _enough(reference, other):
        return values, {}
    few1, few2 = (_at_most(MOST_REDRAWN, x, config.seed) for x in (x1, x2))
    halves = _halves(config, len(few1), len(few2))
    draws: Draws = {
        "fd": frechet_draws(few1, few2, halves),
        "kid": kernel_draws(few1, few2, halves),
        "diversity_features": diversity_draws(few2, halves.other),
    }
    neighbour_draws = zip(KNN_NAMES, prdc_draws(distances(few1, few2), halves).T, strict=True)
    # Half of a small set may have too few neighbours where the whole has enough.
    draws.update({name: column for name, column in neighbour_draws if not np.isnan(column).any()})
    return values, draws


def _in_grays(config: ScoreConfig, reference: Embedded, other: Embedded) -> tuple[dict[str, float], Draws]:
    """Return the distance of the gray-value distributions."""
    a, b = reference.images.pixels, other.images.pixels
    values = {"js": js_distance(a, b, bins=config.js_bins, value_range=LEVELS, base=config.js_log_base)}
    if not _enough(reference, other):
        return values, {}
    halves = _halves(config, len(a), len(b))
    return values, {"js": js_draws(a, b, halves, bins=config.js_bins, base=config.js_log_base)}


def _in_pairs(
    config: ScoreConfig, reference: Embedded, other: Embedded, pairs: dict[str, int]
) -> tuple[dict[str, Measured], Draws]:
    """Return the similarity of random pairs of images, across the sets and within the second."""
    a, b = reference.images.pixels, other.images.pixels
    halves = _halves(config, len(a), len(b))
    own = Halves(halves.other, halves.other)
    similarities: dict[str, Measured] = {}
    draws: Draws = {}
    for name, measure in (("ssim", pair_ssim), ("ms_ssim", pair_ms_ssim)):
        if name == "ms_ssim" and min(b.shape[2:]) < LEAST_SIZE:
            continue
        cases = (
            (name, a, across(len(a), len(b), pairs[name], config.seed), halves),
            (f"diversity_{name}", b, within(len(b), pairs[name], config.seed), own),
        )
        for field, first, chosen, drawn in cases:
            by_pair = measure(first, b, chosen)
            similarities[field] = measured(by_pair)
            if _enough(reference, other):
                draws[field] = pair_draws(by_pair, chosen, drawn, (len(first), len(b)))
    return similarities, draws


def _at_most(most: int, x: Features, seed: int) -> Features:
    """Return all rows, or `most` of them drawn by the seed."""
    if len(x) <= most:
        return x
    return x[np.sort(numpy_generator(seed, "score", "some").permutation(len(x))[:most])]


def _two_halves(reference: Embedded, seed: int) -> tuple[Embedded, Embedded]:
    """Return one random half of the images, and the other."""
    rows = numpy_generator(seed, "score", "split").permutation(len(reference))
    first, second = (reference.take(np.sort(half)) for half in np.array_split(rows, 2))
    return first, second


def _baselines(real: ImageSet, seed: int) -> dict[str, ImageSet]:
    trivial = zip(BASELINES, (baselines.blurred(real.pixels), baselines.noisy(real.pixels, seed)), strict=True)
    return {name: replace(real, name=f"{name} {real.name}", pixels=pixels) for name, pixels in trivial}


def _notes(test: ImageSet, fake: ImageSet, *, training_known: bool, checked: bool) -> Iterator[str]:
    """Yield what could not be measured, and why."""
    height = min(test.pixels.shape[2:])
    if height < LEAST_SIZE:
        yield f"MS-SSIM needs images of {LEAST_SIZE} pixels or more; these have {height}."
    if len(test.classes) > 1 and set(test.classes) & set(fake.classes):
        generated = fake.class_counts()
        for name, number in test.class_counts().items():
            if number and not generated.get(name, 0):
                yield f"No generated image is of the class {name}, which counts against the whole set's numbers."
            elif min(number, generated.get(name, 0)) < LEAST_OF_CLASS:
                counts = f"{number} real, {generated.get(name, 0)} generated"
                yield f"The class {name} has too few images for numbers of its own ({counts})."
    if min(len(test), len(fake)) < LEAST_IMAGES:
        yield f"Fewer than {LEAST_IMAGES} images on one side: intervals are left out."
    if max(len(test), len(fake)) > MOST_REDRAWN:
        yield (
            f"KID, precision, recall, density and coverage use at most {MOST_COMPARED} images of a set; intervals of "
            f"numbers in features use at most {MOST_REDRAWN}, and are too wide for more."
        )
    if not training_known:
        yield "The training images are not known (name them with --train), so copies of them were not searched for."
    elif not checked:
        yield "Nearly all test images are copies of training images, so copies could not be searched for."


def _check(sets: ImageSets, count: int, *, with_baselines: bool) -> None:
    """Refuse sets that cannot be compared or are too small."""
    fake, test = sets.fake, sets.test
    if count > len(fake):
        raise DataError(
            f"The set {fake.name!r} has {len(fake)} generated images; {count} are to be scored.",
            f"Make more (usgan generate --count {count}) or score fewer (--count {len(fake)}).",
        )
    for images in (test, fake, sets.real, sets.subset):
        if images is None:
            continue
        if len(images) < 2:
            raise DataError(f"The set {images.name!r} has {len(images)} images; a Fréchet distance needs at least two.")
        shape, expected = images.pixels.shape[1:], test.pixels.shape[1:]
        if shape != expected:
            raise DataError(
                f"The images of {images.name!r} have shape {list(shape)} (channels, height, width), "
                f"the real test images {list(expected)}.",
                "Score images against the dataset that the GAN was trained on (--data).",
            )
    if sets.real is None and len(test) < LEAST_IMAGES:
        raise DataError(
            f"The set {test.name!r} has {len(test)} images; without training images it needs {LEAST_IMAGES}."
        )
    if with_baselines and sets.real is None:
        raise SettingsError("Trivial baselines are made from training images; there are none.", "Name them: --train")
