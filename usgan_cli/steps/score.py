"""`usgan score`: how far generated images are from real ones, what real ones reach, and whether they are copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from usgan_cli.commands.score import DEFAULT_COUNT, Score
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.score import (
    NEARER,
    Quality,
    ScoreRecord,
    SetScores,
    distance_name,
    kernel_name,
    network_name,
)
from usgan_cli.core.formats.synthetic import read_synthetic_manifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet, load_synthetic
from usgan_cli.core.machine.device import resolve_device
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.core.options import settings_for
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.lifecycle import making_file
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import FoldOf, GanKey, fold_left_out, gan_name
from usgan_cli.data.copies.across import listed_copies, search_copies
from usgan_cli.data.source.folders import content_digest, load_folders
from usgan_cli.data.source.names import shown
from usgan_cli.metrics.config import ScoreConfig
from usgan_cli.metrics.features import make_extractor
from usgan_cli.metrics.pictures import gray_values, nearest_distances
from usgan_cli.metrics.score import KNN_NAMES, ImageSets, Scored, score
from usgan_cli.steps.foreign import generator_of, is_foreign, load_foreign, name_of
from usgan_cli.steps.inputs import (
    Dataset,
    find_data,
    find_gan,
    find_images,
    find_trained_on,
    read_subset,
    weights_input,
)
from usgan_cli.steps.snapshots import score_snapshots_of
from usgan_cli.steps.train_gan import load_trained_on
from usgan_cli.terminal.session import Session

REVISION = 4


def run(options: Score, session: Session) -> Outcome:
    """Score one set of generated images, or with --snapshots every saved generator of a training."""
    _check_together(options)
    if options.snapshots:
        gan = find_gan(session, options)
        return score_snapshots_of(gan, options.replace(count=options.count or DEFAULT_COUNT), session)
    compared = _folders(options, session) if options.real is not None else _workspace(options, session)
    target = options.out or session.workspace.score(compared.name)
    config = ScoreConfig(**settings_for(options, ScoreConfig) | {"count": None})
    settings = options.recorded(config) | {"count": compared.count, "weights": options.weights or "auto"}
    inputs = {**compared.inputs, **weights_input(options.weights)}
    step = Step("score", REVISION, settings, inputs, session.workspace.places(target, compared.paths))
    with making_file(target, step, _summary, session.request) as making:
        if making.needed:
            device = resolve_device(options.device)
            scored = score(
                config,
                compared.load(),
                name=target.stem,
                gan_name=compared.gan_name,
                test_digest=compared.reference,
                extractor=make_extractor(
                    options.extractor, weights=options.weights, device=device, progress=session.progress
                ),
                cache_dir=session.workspace.cache,
                progress=session.progress,
                with_baselines=options.baselines,
            )
            drawn = _draw_pictures(scored, target.stem, full=options.pictures)
            pictures = {name: making.put_beside(name, data) for name, data in drawn.items()}
            notes = [*compared.notes, *scored.record.notes]
            making.document = scored.record.model_copy(update={"pictures": pictures, "notes": notes})
    if making.outcome.status == "done":
        _show(session, ScoreRecord.read(target))
    return making.outcome


def _check_together(options: Score) -> None:
    """Refuse contradictory options."""
    folders = {"--real": options.real, "--fake": options.fake}
    named = [name for name, value in folders.items() if value is not None]
    workspace = {
        "--aug": options.aug,
        "--n": options.n,
        "--synthetic": options.synthetic,
        "--gan": options.gan,
        "--data": options.data,
        "--snapshots": options.snapshots or None,
    }
    others = [name for name, value in workspace.items() if value is not None]
    if len(named) == 1:
        raise SettingsError(f"{named[0]} needs {' and '.join(set(folders) - set(named))} beside it.")
    if named and others:
        raise SettingsError(f"--real and --fake name folders of images; leave out {others[0]}.")
    if not named and options.fit != "stretch":
        raise SettingsError("--fit is for the folders of --real and --fake; a prepared dataset has its own.")
    if not named and options.bits is not None and not (options.synthetic and is_foreign(options.synthetic)):
        raise SettingsError("--bits is for images of other programs (--real and --fake, or --synthetic DIR).")
    if options.train is not None and not named:
        raise SettingsError("--train goes with --real and --fake; in a workspace the training images are known.")
    if named and options.baselines and options.train is None:
        raise SettingsError("--baselines are made from training images.", "Name them: --train DIR")
    if options.snapshots and (options.baselines or options.synthetic is not None):
        raise SettingsError("--snapshots is of a GAN's saved generators; leave out --baselines and --synthetic.")
    if options.gan is not None and not options.snapshots:
        raise SettingsError("--gan is for --snapshots; a score is of generated images.", "Name them: --synthetic DIR")


@dataclass(frozen=True)
class Compared:
    """What one score compares."""

    name: str
    """What the generated images are called."""
    gan_name: str
    count: int
    """Number of generated images used."""
    reference: str
    """Content digest of what the real images are."""
    inputs: dict[str, str]
    """Content digest of everything that is read, by role."""
    paths: dict[str, Path]
    """Where what usgan has made of it lies, by role."""
    load: Callable[[], ImageSets]
    notes: Sequence[str] = ()
    """What was changed for the comparison."""


def _workspace(options: Score, session: Session) -> Compared:
    """Return images made by `usgan generate`, or by another program, and the dataset behind them."""
    if options.synthetic is not None and options.aug is None and is_foreign(options.synthetic):
        return _of_another_program(options.synthetic, options, session)
    folder = find_images(session, options, options.synthetic)
    data, made = find_data(session, options.data), read_synthetic_manifest(folder)
    subset = _subset_of(made.gan_name, data, session, trained_on=made.subset)
    asked = options.count or DEFAULT_COUNT
    count = min(asked, len(made.images))
    if count < asked:
        session.progress.warn(
            f"{folder} holds {count} images, fewer than {asked}: the Fréchet distance is not comparable with one of "
            "more images."
        )
    # Of the images only: more of them behind those that are used change nothing.
    used = made.model_copy(update={"images": made.images[:count]})
    inputs = {"data": data.digest, "synthetic": used.content_digest()}
    if subset is not None:
        inputs["subset"] = subset.content_digest()
    paths = {"data": data.folder, "synthetic": folder, **_path_of(subset, session)}
    load = partial(_load_workspace, partial(load_synthetic, folder, count), data, subset, fold_left_out(made.gan_name))
    return Compared(folder.name, made.gan_name, count, data.digest, inputs, paths, load)


def _of_another_program(folder: Path, options: Score, session: Session) -> Compared:
    """Return images without a manifest, in the class shares of the subset that their generator was trained on."""
    name, data = name_of(folder), find_data(session, options.data)
    if options.n is not None:
        subset: Subset | None = read_subset(session, options.n, options.seed)
        name = gan_name(generator_of(name, options.n, options.seed), options.n, options.seed)
    else:
        if (key := GanKey.parse(name)) is not None:
            generator_of(name, key.n, key.seed)
        subset = _subset_of(name, data, session, "The report leaves this score out. Say it with --n (and --seed).")
    shares = data.manifest.class_counts("train") if subset is None else subset.class_counts(data.manifest)
    foreign = load_foreign(folder, name, data.manifest, list(shares.values()), options.bits, session.progress)
    asked = options.count or DEFAULT_COUNT
    count = foreign.most(asked)
    if count < asked:
        session.progress.warn(
            f"{name} holds {count} images in the class shares of the real ones, fewer than {asked}: the Fréchet "
            "distance is not comparable with one of more images."
        )
    used = foreign.first(count)
    inputs = {"data": data.digest, "images": content_digest(used)}
    if subset is not None:
        inputs["subset"] = subset.content_digest()
    paths = {"data": data.folder, **_path_of(subset, session)}
    load = partial(_load_workspace, lambda: used, data, subset, fold_left_out(name))
    return Compared(name, name, count, data.digest, inputs, paths, load)


def _path_of(subset: Subset | None, session: Session) -> dict[str, Path]:
    return {} if subset is None else {"subset": session.workspace.subset(subset.n, subset.seed)}


def _load_workspace(
    load_fake: Callable[[], ImageSet], data: Dataset, subset: Subset | None, fold: FoldOf | None
) -> ImageSets:
    own = None if subset is None else load_trained_on(data, subset, fold)
    test, real = data.test_images(), data.training_images()
    leaked = listed_copies(data.manifest, test, real if own is None else own)
    return ImageSets(load_fake(), test, real, own, leaked)


def _subset_of(
    name: str, data: Dataset, session: Session, unknown: str = "", trained_on: str | None = None
) -> Subset | None:
    """Return the training images of a GAN by its name, wherever it lies; None, which is said, where it does not tell.

    `trained_on` is the content digest of its subset, if that is on record. `unknown` is added where the name is no
    GAN's.
    """
    if (key := GanKey.parse_with_folds(name)) is None:
        subset, why = None, f"It is not known which subset {name} was trained on"
    else:
        subset, unknown = find_trained_on(session, data, key.n, key.seed, trained_on), ""
        why = f"The subset that {name} was trained on is not in this workspace"
    if subset is None:
        session.progress.note(f"{why}: copies are looked for among all training images. {unknown}".rstrip())
    return subset


def _folders(options: Score, session: Session) -> Compared:
    """Return images of two or three folders, which are loaded to know what they are."""
    folders = {"real": options.real, "fake": options.fake, "train": options.train}
    given = {role: folder for role, folder in folders.items() if folder is not None}
    loaded, said = load_folders(list(given.values()), fit=options.fit, bits=options.bits, progress=session.progress)
    sets = dict(zip(given, loaded, strict=True))
    fake = sets["fake"]
    count = min(options.count or len(fake), len(fake))
    if options.count is not None and count < options.count:
        session.progress.warn(f"{options.fake} holds {count} images, fewer than {options.count}.")
    # A folder is sorted by class, so images are drawn from all of it; a generator's first images have all classes.
    chosen = np.sort(numpy_generator("score", "count").permutation(len(fake))[:count])
    inputs = {role: content_digest(images) for role, images in sets.items()}
    name = shown(given["fake"].resolve().name.removesuffix(".zip"))
    load = partial(_with_copies, fake.take(chosen), sets["real"], sets.get("train"), session.progress)
    return Compared(name, name, count, inputs["real"], inputs, {}, load, said)


def _with_copies(fake: ImageSet, test: ImageSet, train: ImageSet | None, progress: Progress) -> ImageSets:
    """Return the images of folders; real ones that are copies of training images are searched for."""
    leaked = None if train is None else search_copies(test, train, progress)
    return ImageSets(fake, test, train, None, leaked)


def _draw_pictures(scored: Scored, stem: str, *, full: bool) -> dict[str, bytes]:
    """Return the closest pairs, and on request the curves, as PNG files by name."""
    drawn: dict[str, bytes] = {}
    if scored.suspects is not None:
        drawn["nearest"] = codec.encode_png(scored.suspects.sheet)
    if full:
        drawn["grays"] = gray_values(scored.test, scored.fake, scored.record.fake.js)
        if scored.suspects is not None:
            drawn["distances"] = nearest_distances(scored.suspects.distances)
    return {f"{stem}-{kind}.png": data for kind, data in drawn.items()}


def _summary(path: Path) -> dict[str, Any]:
    record = ScoreRecord.read(path)
    record.check_beside(path)
    return record.model_dump(mode="json", exclude={"run", "real_name"})


def _show(session: Session, record: ScoreRecord) -> None:
    """Show every set's numbers, the generated images' by class, and whether they are copies."""
    sets: dict[str, SetScores] = {record.name: record.fake}
    sets |= {f"... {name}": scores for name, scores in record.fake.classes.items()}
    if record.subset is not None:
        sets["its training images"] = record.subset
    floor = "real training images" if record.memorization is not None else record.real_name
    sets[floor] = record.real
    sets |= {f"{name} training images": scores for name, scores in record.baselines.items()}
    extractor, real = record.settings.extractor, record.settings.reference_count
    tables: dict[str, dict[str, Callable[[SetScores], str]]] = {
        f"Against {real} real test images ({network_name(extractor)}); ± 95 % interval": {
            "count": lambda scores: str(scores.count),
            distance_name(extractor): partial(_number, field="fd"),
            f"{kernel_name(extractor)} x 1000": partial(_number, field="kid", scale=1000),
            "JS": partial(_number, field="js", digits=3),
        },
        "Are they among the real images?": {name: partial(_number, field=name) for name in KNN_NAMES},
        "SSIM to real images (± sd over pairs); variety: low SSIM of two, high distance": {
            "SSIM": lambda scores: f"{scores.ssim.mean:.3f} ± {scores.ssim.sd:.3f}",
            "SSIM of two": partial(_number, field="diversity_ssim", digits=3),
            "distance": partial(_number, field="diversity_features", digits=3),
        },
    }
    for title, columns in tables.items():
        rows = [(name, *(number(scores) for number in columns.values())) for name, scores in sets.items()]
        session.table(title, ("images", *columns), rows)
    session.explain((distance_name(extractor), kernel_name(extractor), "JS", *KNN_NAMES, "SSIM"))
    for note in record.notes:
        session.progress.note(note)
    _show_quality(session, record.quality)
    if (copies := record.memorization) is not None:
        suspicious = copies.verdict != "none" or (copies.c_t is not None and copies.c_t < NEARER)
        (session.progress.warn if suspicious else session.progress.note)(copies.words)


def _show_quality(session: Session, quality: Quality) -> None:
    """Say whether the images are good enough to be judged by what they do to a classifier."""
    told = (
        ""
        if quality.probe is None
        else f" A linear classifier tells them from real ones with AUC {quality.probe.auc:.2f}."
    )
    if quality.weak:
        session.progress.warn(f"Too weak to judge by what they do to a classifier: {'; '.join(quality.reasons)}.")
    else:
        session.progress.note(f"Nearer to the real images than blurred ones are ({quality.blurred_fd:.1f}).{told}")


def _number(scores: SetScores, field: str, digits: int = 2, scale: float = 1) -> str:
    """Return a number and how far its interval reaches."""
    value = getattr(scores, field)
    value = getattr(value, "mean", value)
    if value is None:
        return ""
    text = f"{scale * value:.{digits}f}"
    if field not in scores.intervals:
        return text
    reach = max(abs(bound - value) for bound in scores.intervals[field])
    return f"{text} ± {scale * reach:.{digits}f}"
