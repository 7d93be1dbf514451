"""Every saved generator of one training, scored in one go with the features of the real images computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import MissingError
from usgan_cli.core.formats.score import SnapshotScore, SnapshotsRecord
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.core.progress import Progress
from usgan_cli.metrics.bootstrap import LEAST_IMAGES, half_samples, interval
from usgan_cli.metrics.features import Embedded, Extractor, Features, embed
from usgan_cli.metrics.frechet import frechet_distance, frechet_draws
from usgan_cli.metrics.kid import SUBSETS, kernel_distance, subset_size
from usgan_cli.metrics.memorization import closest_by_measure, nearest_among, worst
from usgan_cli.metrics.prdc import PRECISION_K, distances, precision_recall


@dataclass(frozen=True)
class Snapshot:
    """A saved generator."""

    kimg: float
    """Thousands of real images shown when it was saved."""
    file: str
    sha256: str
    make: Callable[[], Pixels]
    """Returns its images [count, C, H, W], from the same seeds for every snapshot."""


def score_snapshots(
    snapshots: Iterable[Snapshot],
    *,
    name: str,
    test: ImageSet,
    test_digest: str,
    train: ImageSet | None,
    leaked: NDArray[np.bool_] | None,
    extractor: Extractor,
    cache_dir: Path | None,
    progress: Progress,
    repeats: int,
    seed: int,
) -> SnapshotsRecord:
    """Score the images of every saved generator, from the first to the last, against the real test images.

    The best generator is chosen by the GAN's own training images `train`, if they are known: chosen by the test images,
    it would look better on those than it is. `test_digest` is the content digest of what `test` is; `repeats` are the
    draws behind the intervals; the features of real images are cached in `cache_dir`. `leaked` is as in
    `usgan_cli.metrics.score.ImageSets`.
    """
    reference = embed(extractor, test, cache_dir, progress=progress)
    training = None if train is None else embed(extractor, train, cache_dir, progress=progress)
    scores = []
    count = 0
    held_out = None if leaked is None else reference.take(np.flatnonzero(~leaked))
    other_real = None
    if training is not None and held_out is not None and len(held_out) > 1:
        other_real = nearest_among(training, held_out.features, held_out.images.pixels)
    for snapshot in snapshots:
        pixels = snapshot.make()
        features = extractor(pixels, progress=progress)
        count = len(features)
        score = _score(snapshot, reference, training, features, repeats, seed)
        if training is not None and other_real is not None:
            copying = closest_by_measure(nearest_among(training, features, pixels), other_real).values()
            shares = {"copies": max(one.clear for one in copying), "copying": worst(copying)}
            score = score.model_copy(update=shares)
        scores.append(score)
        progress.note(f"{snapshot.kimg:g} kimg: {scores[-1].fd:.2f} to the test images")
    if not scores:
        raise MissingError(f"{name} has no saved generators.", "Train it with --fd-every, which keeps them.")
    lowest = min(scores, key=lambda score: score.fd)
    best = min(scores, key=lambda score: score.fd if score.fd_train is None else score.fd_train)
    return SnapshotsRecord(
        name=name,
        extractor=extractor.name,
        reference=test_digest,
        reference_count=len(test),
        train_count=None if train is None else len(train),
        count=count,
        snapshots=scores,
        best_kimg=best.kimg,
        best_by="fd" if train is None else "fd_train",
        lowest_kimg=lowest.kimg,
        pictures={},
    )


def _score(
    snapshot: Snapshot, reference: Embedded, training: Embedded | None, fake: Features, repeats: int, seed: int
) -> SnapshotScore:
    real = reference.features
    fd = frechet_distance(real, fake)
    spread = None
    if min(len(real), len(fake)) >= LEAST_IMAGES:
        halves = half_samples(len(real), len(fake), repeats, numpy_generator(seed, "score", "halves"))
        spread = interval(fd, frechet_draws(real, fake, halves), 0.0)
    precision, recall = None, None
    if min(len(real), len(fake)) > PRECISION_K:
        precision, recall = precision_recall(distances(real, fake), k=PRECISION_K)
    size, generator = subset_size(len(real), len(fake)), numpy_generator(seed, "score", "kid")
    return SnapshotScore(
        kimg=snapshot.kimg,
        file=snapshot.file,
        sha256=snapshot.sha256,
        fd=fd,
        fd_interval=spread,
        kid=kernel_distance(real, fake, size=size, subsets=SUBSETS, generator=generator),
        precision=precision,
        recall=recall,
        fd_train=None if training is None else frechet_distance(training.features, fake),
        copies=None,
        copying=None,
    )
