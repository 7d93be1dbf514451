"""The study's three numbers for a generator, beside what real images reach (Maack et al. 2022, tables 1 and 2).

The reference is always the real test images. The real training images and the GAN's own training images are
scored in the same way: the floor of the Fréchet distance and the ceiling of the structural similarity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.progress import Progress
from usgan_cli.core.records import ScoreRecord, Scores, ScoreSettings, measured
from usgan_cli.core.seeds import numpy_generator
from usgan_cli.metrics.features import Extractor, Features, cached_features
from usgan_cli.metrics.frechet import bootstrap_frechet, frechet_distance
from usgan_cli.metrics.histogram import js_distance
from usgan_cli.metrics.ssim import paired_ssim


@dataclass(frozen=True)
class ScoreConfig:
    """How a set of generated images is scored.

    Attributes
    ----------
    extractor : str
        Feature extractor of the Fréchet distance.
    count : int or None
        Number of generated images, the first of their fixed order; None takes all. The same for every GAN of a
        table: the Fréchet distance falls as the count grows.
    ssim_pairs : int
        Number of random pairs (real test image, generated image).
    js_bins : int
        Bins of the gray-value histograms over 0 to 256.
    js_log_base : float
        Base of the logarithm in the Jensen-Shannon distance.
    fd_repeats : int
        Bootstrap draws behind the spread of the Fréchet distance.
    seed : int
        Seed of the pairs, of the draws and of the choice among more real images than `count`.
    """

    extractor: str = "inception"
    count: int | None = 500
    ssim_pairs: int = 1000
    js_bins: int = 256
    js_log_base: float = math.e
    fd_repeats: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"count": 2, "ssim_pairs": 1, "js_bins": 2, "fd_repeats": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsError(f"The setting {name} is {value}; it should be at least {bound}.")
        if not self.js_log_base > 1 or not math.isfinite(self.js_log_base):
            raise SettingsError(f"The setting js_log_base is {self.js_log_base}; it should be above 1.")


@dataclass(frozen=True)
class _Reference:
    """The real test images with what every comparison needs of them."""

    images: ImageSet
    features: Features


def score(
    config: ScoreConfig,
    *,
    name: str,
    gan_name: str,
    fake: ImageSet,
    test: ImageSet,
    test_digest: str,
    real: ImageSet,
    subset: ImageSet | None,
    extractor: Extractor,
    cache_dir: Path | None,
    progress: Progress,
) -> ScoreRecord:
    """Score generated images, real training images and the GAN's own training images against the test images.

    Parameters
    ----------
    config : ScoreConfig
    name : str
        Name of the record.
    gan_name : str
    fake : ImageSet
        Generated images in their fixed order.
    test : ImageSet
        Real test images: the reference of every number.
    test_digest : str
        Content digest of what `test` is.
    real : ImageSet
        All real training images; of more than `config.count`, that many are chosen by the seed.
    subset : ImageSet or None
        The GAN's own training images; None leaves them out.
    extractor : Extractor
        Of the kind that `config.extractor` names.
    cache_dir : Path or None
        Folder of the cached features.
    progress : Progress

    Returns
    -------
    ScoreRecord

    Raises
    ------
    DataError
        Sizes or channels differ, a set has fewer than two images, or there are fewer than `config.count`
        generated images.
    """
    count = len(fake) if config.count is None else config.count
    if count > len(fake):
        raise DataError(
            f"The set {fake.name!r} has {len(fake)} generated images; {count} are to be scored.",
            f"Make more (usgan generate --count {count}) or score fewer (--count {len(fake)}).",
        )
    for images in (test, fake, real, *([] if subset is None else [subset])):
        _check(images, test)
    fake = fake.take(np.arange(count))
    if len(real) > count:
        chosen = numpy_generator(config.seed, "score", "real").permutation(len(real))[:count]
        real = real.take(np.sort(chosen))

    reference = _Reference(test, cached_features(extractor, test.pixels, cache_dir, progress=progress))

    def scores(images: ImageSet) -> Scores:
        return _against(config, reference, images, extractor, cache_dir, progress)

    return ScoreRecord(
        name=name,
        gan_name=gan_name,
        settings=ScoreSettings(
            extractor=extractor.name,
            reference=test_digest,
            reference_count=len(test),
            count=count,
            js_bins=config.js_bins,
            js_log_base=config.js_log_base,
            ssim_pairs=config.ssim_pairs,
            fd_repeats=config.fd_repeats,
            seed=config.seed,
        ),
        fake=scores(fake),
        real=scores(real),
        real_name=real.name,
        real_count=len(real),
        subset=None if subset is None else scores(subset),
        subset_count=None if subset is None else len(subset),
    )


def _against(
    config: ScoreConfig,
    reference: _Reference,
    images: ImageSet,
    extractor: Extractor,
    cache_dir: Path | None,
    progress: Progress,
) -> Scores:
    """Return the three numbers of one set against the reference."""
    features = cached_features(extractor, images.pixels, cache_dir, progress=progress)
    draws = bootstrap_frechet(
        reference.features, features, config.fd_repeats, numpy_generator(config.seed, "score", "bootstrap")
    )
    pairs = paired_ssim(reference.images.pixels, images.pixels, config.ssim_pairs, config.seed, progress)
    return Scores(
        fd=frechet_distance(reference.features, features),
        fd_spread=measured(draws),
        js=js_distance(
            reference.images.pixels,
            images.pixels,
            bins=config.js_bins,
            value_range=(0, 256),
            base=config.js_log_base,
        ),
        ssim=measured(pairs),
    )


def _check(images: ImageSet, test: ImageSet) -> None:
    if len(images) < 2:
        raise DataError(f"The set {images.name!r} has {len(images)} images; a Fréchet distance needs at least two.")
    shape, wanted = images.pixels.shape[1:], test.pixels.shape[1:]
    if shape != wanted:
        raise DataError(
            f"The images of {images.name!r} have shape {list(shape)} (channels, height, width), "
            f"the real test images {list(wanted)}.",
            "Score images against the dataset that the GAN was trained on (--data).",
        )
