"""`usgan score --snapshots`: every generator that a training has saved, finished or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usgan_cli.commands.inputs import data_folder, load_subset, weights_input
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.workspace import SNAPSHOTS

if TYPE_CHECKING:
    from usgan_cli.core.formats.generator import Architecture
    from usgan_cli.core.formats.score import SnapshotsRecord
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.metrics.features import Extractor
    from usgan_cli.metrics.snapshots import Snapshot

REVISION = 1
SNAPSHOT = "kimg*.safetensors"


@dataclass(frozen=True)
class Network:
    """Which feature network measures, with what weights, and where."""

    extractor: str
    weights: str | None
    device: str

    def settings(self) -> dict[str, Any]:
        """Return what of it decides the result."""
        return {"extractor": self.extractor, "weights": self.weights or "auto"}

    def build(self, progress: Progress) -> Extractor:
        """Return the network with its weights."""
        from usgan_cli.core.machine import device as devices
        from usgan_cli.metrics.features import make_extractor

        where = devices.resolve_device(self.device)
        return make_extractor(self.extractor, weights=self.weights, device=where, progress=progress)


@dataclass(frozen=True)
class _Training:
    """What the folder of a training, finished or not, says of its generators."""

    name: str
    architecture: Architecture
    n: int
    seed: int
    class_counts: dict[str, int] | None
    """None while it is unfinished."""


def score_saved_generators(
    session: Session,
    folder: Path,
    data: Path | None,
    out: Path | None,
    network: Network,
    *,
    count: int,
    repeats: int,
    pictures: bool,
) -> Outcome:
    """Score every saved generator of a training against the test images, and name the best.

    Raises
    ------
    MissingError
        The folder holds no training, or the training has saved no generators.
    DataError
        The generators make images of another size than the dataset's.
    """
    from usgan_cli.core.formats.dataset import Subset, read_manifest
    from usgan_cli.core.images.sets import load_split
    from usgan_cli.core.store import files, lifecycle

    training = _read_training(folder)
    saved = sorted((folder / "snapshots").glob(SNAPSHOT))
    if not saved:
        raise MissingError(
            f"There are no saved generators in {folder / 'snapshots'}.",
            "Train with --fd-every, which keeps each generator that it measures.",
        )
    data_dir = data_folder(session, data)
    manifest = read_manifest(data_dir)
    made, wanted = (
        (training.architecture.resolution, training.architecture.img_channels),
        (
            manifest.size,
            manifest.channels,
        ),
    )
    if made != wanted:
        raise DataError(
            f"{training.name} makes images of {made[0]} pixels and {made[1]} channels, {data_dir} has {wanted[0]} and "
            f"{wanted[1]}.",
            "Name the dataset that it was trained on: --data",
        )
    drawn = session.workspace.subset(training.n, training.seed)
    subset = Subset.read(drawn) if drawn.is_file() else None
    digests = {path.name: files.sha256_file(path) for path in saved}
    target = out or session.workspace.score(training.name + SNAPSHOTS)

    def work() -> SnapshotsRecord:
        from usgan_cli.metrics.pictures import snapshot_curve
        from usgan_cli.metrics.snapshots import score_snapshots

        train = None if subset is None else load_subset(data_dir, manifest, subset)
        shares = training.class_counts or (None if train is None else train.class_counts())
        extractor = network.build(session.progress)
        record = score_snapshots(
            _snapshots(training, saved, digests, shares or manifest.class_counts("train"), count, network.device),
            name=training.name,
            test=load_split(data_dir, "test"),
            test_digest=manifest.content_digest(),
            train=train,
            extractor=extractor,
            cache_dir=session.workspace.cache,
            progress=session.progress,
            repeats=repeats,
            seed=0,
        )
        if not pictures:
            return record
        picture = snapshot_curve(record, "FID" if extractor.is_fid else f"FD ({extractor.name})")
        path = target.with_suffix(".png")
        files.write_bytes(path, picture)
        return record.model_copy(update={"pictures": {path.name: files.sha256_bytes(picture)}})

    settings = {"count": count, "repeats": repeats, "pictures": pictures, "snapshots": True, **network.settings()}
    inputs = {"data": manifest.content_digest(), "snapshots": files.digest_json(digests)}
    if subset is not None:
        inputs["subset"] = subset.content_digest()
    step = lifecycle.Step("score", REVISION, settings, {**inputs, **weights_input(network.weights)})
    outcome = lifecycle.make_file(target, step, work, _summary, session.request, on_new_inputs="redo")
    if outcome.status == "done":
        _show(session, target)
    return outcome


def _read_training(folder: Path) -> _Training:
    """Read `generator.json`, or while the training is unfinished its `config.json`."""
    from usgan_cli.core.errors import FormatError
    from usgan_cli.core.formats.generator import Architecture, read_generator_document
    from usgan_cli.core.store.document import PlanDocument

    if (folder / "generator.json").is_file() or not (folder / "config.json").is_file():
        document = read_generator_document(folder)
        return _Training(document.name, document.architecture, document.n, document.seed, document.class_counts)
    settings = PlanDocument.read(folder / "config.json").settings
    missing = [name for name in (*Architecture.model_fields, "n", "seed") if name not in settings]
    if missing:
        raise FormatError(f"{folder / 'config.json'}: field 'settings.{missing[0]}' is missing.")
    architecture = Architecture(**{name: settings[name] for name in Architecture.model_fields})
    return _Training(folder.resolve().name, architecture, settings["n"], settings["seed"], None)


def _snapshots(
    training: _Training, saved: list[Path], digests: dict[str, str], shares: dict[str, int], count: int, device: str
) -> Iterator[Snapshot]:
    """Yield the saved generators; all make their images from the same seeds, in the classes' shares."""
    import numpy as np

    from usgan_cli.core.apportion import class_order
    from usgan_cli.core.formats.generator import read_tensors
    from usgan_cli.core.images.codec import Pixels
    from usgan_cli.core.machine import device as devices
    from usgan_cli.gan.sample import build_generator, make_images, row_of_seeds
    from usgan_cli.metrics.snapshots import Snapshot

    where = devices.resolve_device(device)
    seeds, labels = row_of_seeds(training.seed, count), class_order(list(shares.values()), count)
    for path in saved:

        def make(path: Path = path) -> Pixels:
            generator = build_generator(training.architecture, read_tensors(path, digests[path.name]), where)
            return np.stack(list(make_images(generator, seeds, labels)))

        kimg = float(path.stem.removeprefix("kimg"))
        yield Snapshot(kimg, f"snapshots/{path.name}", digests[path.name], make)


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.formats.score import SnapshotsRecord

    return SnapshotsRecord.read(path).model_dump(mode="json", exclude={"run"})


def _show(session: Session, path: Path) -> None:
    from usgan_cli.core.formats.score import SnapshotsRecord

    record = SnapshotsRecord.read(path)
    fid = record.extractor.startswith("inception")
    what, kernel = ("FID", "KID") if fid else ("FD", "KD")
    session.table(
        f"{record.count} images of each saved generator of {record.name} ({record.extractor})",
        ("kimg", f"{what}, test", "95 % interval", f"{kernel} x 1000", "precision", "recall", f"{what}, training"),
        [
            (
                f"{one.kimg:g}",
                f"{one.fd:.2f}",
                "" if one.fd_interval is None else f"{one.fd_interval[0]:.2f} to {one.fd_interval[1]:.2f}",
                f"{1000 * one.kid:.2f}",
                "" if one.precision is None else f"{one.precision:.2f}",
                "" if one.recall is None else f"{one.recall:.2f}",
                "" if one.fd_train is None else f"{one.fd_train:.2f}",
            )
            for one in record.snapshots
        ],
    )
    by = "its training images" if record.best_by == "fd_train" else "the test images, so its score there flatters it"
    session.progress.note(
        f"Best: {record.best_kimg:g} kimg, nearest to {by}. Nearest to the test images: {record.lowest_kimg:g} kimg."
    )
