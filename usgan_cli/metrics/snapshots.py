"""Every saved generator of one training, scored in one go with the features of the real images computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

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
from usgan_cli.metrics.prdc import PRECISION_K, distances, precision_recall


@dataclass(frozen=True)
class Snapshot:
    """A saved generator.

    Attributes
    ----------
    kimg : float
        Thousands of real images shown when it was saved.
    file, sha256 : str
        Its tensors' file and digest.
    make : callable
        Returns its images, uint8 [count, C, H, W], from the same seeds for every snapshot.
    """

    kimg: float
    file: str
    sha256: str
    make: Callable[[], Pixels]


def score_snapshots(
    snapshots: Iterable[Snapshot],
    *,
    name: str,
    test: ImageSet,
    test_digest: str,
    train: ImageSet | None,
    extractor: Extractor,
    cache_dir: Path | None,
    progress: Progress,
    repeats: int,
    seed: int,
) -> SnapshotsRecord:
    """Score the images of every saved generator against the real test images.

    Parameters
    ----------
    snapshots : iterable of Snapshot
        From the first to the last.
    name : str
    test : ImageSet
    test_digest : str
        Content digest of what `test` is.
    train : ImageSet or None
        The GAN's own training images. The best generator is chosen by them: chosen by the test images, it would look
        better on those than it is.
    extractor : Extractor
    cache_dir : Path or None
        Folder of the cached features of real images.
    progress : Progress
    repeats : int
        Draws behind the intervals.
    seed : int

    Raises
    ------
    MissingError
        There are no snapshots.
    """
    reference = embed(extractor, test, cache_dir, progress=progress)
    seen = None if train is None else embed(extractor, train, cache_dir, progress=progress)
    found = []
    count = 0
    for snapshot in snapshots:
        made = extractor(snapshot.make(), progress=progress)
        count = len(made)
        found.append(_score(snapshot, reference, seen, made, repeats, seed))
        progress.note(f"{snapshot.kimg:g} kimg: {found[-1].fd:.2f} to the test images")
    if not found:
        raise MissingError(f"{name} has no saved generators.", "Train it with --fd-every, which keeps them.")
    lowest = min(found, key=lambda one: one.fd)
    best = min(found, key=lambda one: one.fd if one.fd_train is None else one.fd_train)
    return SnapshotsRecord(
        name=name,
        extractor=extractor.name,
        reference=test_digest,
        reference_count=len(test),
        train_count=None if train is None else len(train),
        count=count,
        snapshots=found,
        best_kimg=best.kimg,
        best_by="fd" if train is None else "fd_train",
        lowest_kimg=lowest.kimg,
        pictures={},
    )


def _score(
    snapshot: Snapshot, reference: Embedded, seen: Embedded | None, made: Features, repeats: int, seed: int
) -> SnapshotScore:
    real = reference.features
    fd = frechet_distance(real, made)
    spread = None
    if min(len(real), len(made)) >= LEAST_IMAGES:
        halves = half_samples(len(real), len(made), repeats, numpy_generator(seed, "score", "halves"))
        spread = interval(fd, frechet_draws(real, made, halves), 0.0)
    among: tuple[float | None, float | None] = (None, None)
    if min(len(real), len(made)) > PRECISION_K:
        among = precision_recall(distances(real, made), k=PRECISION_K)
    size, generator = subset_size(len(real), len(made)), numpy_generator(seed, "score", "kid")
    return SnapshotScore(
        kimg=snapshot.kimg,
        file=snapshot.file,
        sha256=snapshot.sha256,
        fd=fd,
        fd_interval=spread,
        kid=kernel_distance(real, made, size=size, subsets=SUBSETS, generator=generator),
        precision=among[0],
        recall=among[1],
        fd_train=None if seen is None else frechet_distance(seen.features, made),
    )
