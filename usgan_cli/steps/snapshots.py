"""`usgan score --snapshots`: every generator that a training has saved, finished or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usgan_cli.commands.score import Score
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.apportion import class_order
from usgan_cli.core.errors import DamagedError, DataError, FormatError, MissingError
from usgan_cli.core.formats.generator import (
    SNAPSHOT_FOLDER,
    Architecture,
    GeneratorDocument,
    read_generator_document,
    saved_digests,
    saved_generators,
    subset_trained_on,
)
from usgan_cli.core.formats.score import (
    SnapshotScore,
    SnapshotsRecord,
    distance_name,
    is_fid,
    kernel_name,
    network_name,
)
from usgan_cli.core.formats.tensors import check_finite, read_tensors
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.device import resolve_device
from usgan_cli.core.store import files
from usgan_cli.core.store.document import PlanDocument, RunDocument
from usgan_cli.core.store.lifecycle import making_file
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import SNAPSHOTS, FoldOf
from usgan_cli.core.table import Column, Interval, Table
from usgan_cli.data.copies.across import listed_copies
from usgan_cli.gan.sample import build_generator, make_images, row_of_seeds
from usgan_cli.metrics.features import Extractor, make_extractor
from usgan_cli.metrics.pictures import snapshot_curve
from usgan_cli.metrics.snapshots import Snapshot, score_snapshots
from usgan_cli.steps.inputs import Dataset, find_data, find_trained_on, weights_input
from usgan_cli.steps.train_gan import held_out, load_trained_on
from usgan_cli.terminal.session import Session

REVISION = 2
SETTINGS = ("count", "repeats", "pictures", "snapshots", "extractor")
"""Options of `usgan score` that decide the result."""


@dataclass(frozen=True)
class Training:
    """A training, finished or not, and the generators that it has saved."""

    name: str
    architecture: Architecture
    n: int
    seed: int
    class_counts: dict[str, int] | None
    """None while it is unfinished."""
    saved: Mapping[float, Path]
    """By kimg."""
    digests: dict[str, str]
    """Digest of each saved generator, by its file's name."""
    fold: FoldOf | None
    """Fold of the subset that was left out."""
    stop: str
    """"auto" if some of the subset's images were held out to end it by them."""


def score_snapshots_of(folder: Path, options: Score, session: Session) -> Outcome:
    """Score every saved generator of a training against the test images, and name the best."""
    training = _read_training(folder)
    data = find_data(session, options.data)
    _check_size(training, data)
    subset = find_trained_on(session, data, training.n, training.seed, subset_trained_on(folder))
    target = options.out or session.workspace.score(training.name + SNAPSHOTS)
    inputs = {"data": data.digest, "snapshots": files.digest_json(training.digests), **weights_input(options.weights)}
    if subset is not None:
        inputs["subset"] = subset.content_digest()
    settings = {name: getattr(options, name) for name in SETTINGS} | {"weights": options.weights or "auto"}
    paths = {"data": data.folder, "snapshots": folder}
    if subset is not None:
        paths["subset"] = session.workspace.subset(training.n, training.seed)
    step = Step("score", REVISION, settings, inputs, session.workspace.places(target, paths))
    with making_file(target, step, _summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            train = None if subset is None else load_trained_on(data, subset, training.fold)
            if train is not None and training.stop == "auto":
                train, _ = held_out(train, training.seed)
            test = data.test_images()
            device = resolve_device(options.device)
            progress = session.progress
            extractor = make_extractor(options.extractor, weights=options.weights, device=device, progress=progress)
            counts = training.class_counts or (None if train is None else train.class_counts())
            shares = list((counts or data.manifest.class_counts("train")).values())
            record = score_snapshots(
                _snapshots(training, shares, options.count or 0, device),
                name=training.name,
                test=test,
                test_digest=data.digest,
                train=train,
                leaked=None if train is None else listed_copies(data.manifest, test, train),
                extractor=extractor,
                cache_dir=session.workspace.cache,
                progress=progress,
                repeats=options.repeats,
                seed=0,
            )
            if options.pictures:
                name, curve = f"{target.stem}.png", _curve(record, extractor)
                record = record.model_copy(update={"pictures": {name: making.put_beside(name, curve)}})
            making.document = record
    if making.outcome.status == "done":
        _show(session, SnapshotsRecord.read(target))
    return making.outcome


def _read_training(folder: Path) -> Training:
    """Read `generator.json`, or while the training is unfinished its `config.json`."""
    saved, digests = saved_generators(folder), saved_digests(folder)
    if (run := RunDocument.find(folder)) is not None:
        _check_recorded(folder, run, digests)
    plan = folder / PlanDocument.FILE
    settings = PlanDocument.read(plan).settings if plan.is_file() else {}
    stop, fold = str(settings.get("stop", "limit")), settings.get("fold")
    fold = None if fold is None else (fold, settings.get("folds", TrainGan.folds))
    if (folder / GeneratorDocument.FILE).is_file() or not plan.is_file():
        document = read_generator_document(folder)
        architecture, counts = document.architecture, document.class_counts
        training = Training(document.name, architecture, document.n, document.seed, counts, saved, digests, fold, stop)
    else:
        missing = [name for name in (*Architecture.model_fields, "n", "seed") if name not in settings]
        if missing:
            raise FormatError(f"{plan}: field 'settings.{missing[0]}' is missing.")
        architecture = Architecture(**{name: settings[name] for name in Architecture.model_fields})
        n, seed = settings["n"], settings["seed"]
        training = Training(folder.resolve().name, architecture, n, seed, None, saved, digests, fold, stop)
    if not saved:
        raise MissingError(
            f"There are no saved generators in {folder / SNAPSHOT_FOLDER}.",
            "Train with --fd-every, which keeps each generator that it measures.",
        )
    return training


def _check_recorded(folder: Path, run: RunDocument, digests: Mapping[str, str]) -> None:
    """Raise for a saved generator that is not the one which the finished training recorded."""
    for name, digest in digests.items():
        if run.files.get(f"{SNAPSHOT_FOLDER}/{name}", digest) != digest:
            path = folder / SNAPSHOT_FOLDER / name
            raise DamagedError(f"{path} is not the file that was recorded when it was made.", remedy(path))


def _check_size(training: Training, data: Dataset) -> None:
    made = training.architecture.resolution, training.architecture.img_channels
    there = data.manifest.size, data.manifest.channels
    if made != there:
        raise DataError(
            f"{training.name} makes images of {made[0]} pixels and {made[1]} channels, {data.folder} has {there[0]} "
            f"and {there[1]}.",
            "Name the dataset that it was trained on: --data",
        )


def _curve(record: SnapshotsRecord, extractor: Extractor) -> bytes:
    """Return the curve of the snapshots' distances as a PNG file."""
    return snapshot_curve(record, "FID" if is_fid(extractor.name) else f"FD ({network_name(extractor.name)})")


def _snapshots(training: Training, shares: Sequence[int], count: int, device: torch.device) -> Iterator[Snapshot]:
    """Yield the saved generators; all make their images from the same seeds, in the classes' shares."""
    seeds, labels = row_of_seeds(training.seed, count), class_order(list(shares), count)
    for kimg, path in training.saved.items():
        digest = training.digests[path.name]
        make = partial(_images, training.architecture, path, device, seeds, labels)
        yield Snapshot(kimg, f"{SNAPSHOT_FOLDER}/{path.name}", digest, make)


def _images(
    architecture: Architecture, path: Path, device: torch.device, seeds: list[int], labels: list[int]
) -> Pixels:
    tensors = read_tensors(path)
    check_finite(path, tensors)
    generator = build_generator(architecture, tensors, device)
    return np.stack(list(make_images(generator, seeds, labels)))


def _summary(path: Path) -> dict[str, Any]:
    record = SnapshotsRecord.read(path)
    record.check_beside(path)
    return record.model_dump(mode="json", exclude={"run"})


def _show(session: Session, record: SnapshotsRecord) -> None:
    distance, kernel = distance_name(record.extractor), kernel_name(record.extractor)
    columns: list[Column[SnapshotScore]] = [
        Column("kimg", "kimg", lambda one: one.kimg, None),
        Interval(f"{distance}, test", "fd", lambda one: (one.fd, one.fd_interval), 2),
        Column(f"{kernel} x 1000", "kid", lambda one: one.kid, 2, 1000),
        Column("precision", "precision", lambda one: one.precision, 2),
        Column("recall", "recall", lambda one: one.recall, 2),
        Column(f"{distance}, training", "fd_train", lambda one: one.fd_train, 2),
        Column("copies, %", "copies", lambda one: one.copies, 1, 100),
    ]
    title = f"{record.count} images of each saved generator of {record.name} ({network_name(record.extractor)})"
    session.show_table(Table.of("snapshots", title, columns, [("", record.snapshots)]))
    session.explain((distance, kernel, "precision", "recall", "copies"))
    by = "its training images" if record.best_by == "fd_train" else "the test images, so its score there flatters it"
    if (first := record.first_copying) is not None:
        session.progress.warn(f"From {first.kimg:g} kimg on its images are called copies of training images.")
    session.progress.note(
        f"Best: {record.best_kimg:g} kimg, nearest to {by}. Nearest to the test images: {record.lowest_kimg:g} kimg."
    )
