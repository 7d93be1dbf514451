"""`usgan train-cls`: train the classifier on real images, alone or with generated ones, fold by fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from usgan_cli.classify.config import settings_of
from usgan_cli.classify.fold_images import Treatment, synthetic_count
from usgan_cli.classify.train import Origin, train_classifier
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import DataError, MissingError, SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.synthetic import SyntheticManifest, read_synthetic_manifest, used_digest
from usgan_cli.core.images.sets import ImageSet, load_synthetic
from usgan_cli.core.store.document import RunDocument, read_main
from usgan_cli.core.store.lifecycle import growing_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import TrainingSet
from usgan_cli.steps.external import external_inputs, external_paths, find_external
from usgan_cli.steps.foreign import generator_of, is_foreign, load_foreign, name_of
from usgan_cli.steps.inputs import SYNTHETIC_OF_FOLD, find_data, quoted, read_subset, weights_input
from usgan_cli.steps.options import ratio_of, resolve_classifier
from usgan_cli.terminal.session import Session

REVISION = 5
SHOWN = (
    "test_micro_f1",
    "test_macro_f1",
    "test_balanced_accuracy",
    "test_auc",
    "test_brier",
    "test_calibration_error",
    "val_micro_f1",
)


@dataclass(frozen=True)
class Generated:
    """A folder of images of `usgan generate`."""

    folder: Path
    manifest: SyntheticManifest


@dataclass(frozen=True)
class Added:
    """Generated images that join real ones."""

    generator: str
    """What the GAN is called, or another generator."""
    digest: str
    """Of the images that are used; of all where they are chosen among all."""
    load: Callable[[], ImageSet]
    role: Literal["synthetic", "images"] = "synthetic"
    """As which input they are recorded: a GAN's images, or those of another program."""
    folder: Path | None = None
    """Where a GAN's images lie."""


def run(options: TrainClassifier, session: Session) -> Outcome:
    """Train one classifier a fold on the subset and the generated images asked for."""
    data = find_data(session, options.data)
    subset = read_subset(session, options.n, options.seed)
    config = resolve_classifier(options)
    added = _find_added(options, session, data.manifest, subset)
    digests = [one.digest for one in added]
    aug = options.aug or (added[0].generator if added else None)
    ratio = ratio_of(options)
    trained_on = TrainingSet(aug, ratio, options.control, options.synthetic_only, options.strict, options.select)
    target = options.out or session.workspace.classifier(options.n, options.seed, trained_on)
    inputs = {"data": data.digest, "subset": subset.content_digest(), **weights_input(options.weights)}
    external = find_external(session, data) if data.folder == session.workspace.data else []
    inputs |= external_inputs(external)
    paths = {"data": data.folder, "subset": session.workspace.subset(options.n, options.seed)}
    paths |= external_paths(external, session)
    for i, one in enumerate(added):
        role = f"{SYNTHETIC_OF_FOLD}{i}" if options.strict else one.role
        inputs[role] = one.digest
        paths |= {} if one.folder is None else {role: one.folder}
    settings = options.recorded(config, settings_of(config)) | {"n": options.n, "aug": aug, "ratio": ratio}
    settings |= {} if options.control is None else {"control": options.control}
    step = Step("train-cls", REVISION, settings, inputs, session.workspace.places(target, paths))
    with growing_folder(target, step, _summary, session.request) as making:
        if making.needed:
            making.document = train_classifier(
                config,
                origin=Origin(
                    target.name,
                    options.n,
                    subset.content_digest(),
                    data.digest,
                    own_split=data.manifest.split_from == "source",
                ),
                treatment=Treatment(
                    aug=aug,
                    ratio=ratio,
                    control=options.control,
                    synthetic=tuple(one.load() for one in added),
                    digests=tuple(digests),
                    protocol="strict" if options.strict else "standard",
                    synthetic_only=options.synthetic_only,
                    select=options.select,
                ),
                real=data.load(subset),
                test=data.test_images(),
                target=making.place,
                progress=session.progress,
                cache_dir=session.workspace.cache,
                jobs=options.jobs,
                external=external,
            )
    if making.outcome.status == "done":
        _show(session, making.outcome.result, options)
    return making.outcome


def _find_added(options: TrainClassifier, session: Session, manifest: DataManifest, subset: Subset) -> list[Added]:
    """Return the generated images: none for the baseline, one set, or one a fold in the strict protocol."""
    if options.synthetic is None or not is_foreign(options.synthetic):
        if options.bits is not None:
            raise SettingsError("--bits is for images of other programs (--synthetic DIR); usgan's own have 8.")
        return [
            Added(
                one.manifest.gan_name,
                _digest(one.manifest, options, manifest, subset),
                partial(load_synthetic, one.folder),
                folder=one.folder,
            )
            for one in _find_generated(options, session, subset)
        ]
    name = generator_of(name_of(options.synthetic), options.n, options.seed)
    total = synthetic_count(ratio_of(options), options.n)
    shares = list(subset.class_counts(manifest).values())
    foreign = load_foreign(options.synthetic, name, manifest, shares, options.bits, session.progress)
    foreign.check_enough(total, options.n, select=options.select is not None)
    digest = foreign.digest(total if options.select is None else None)
    return [Added(name, digest, lambda: foreign.images, role="images")]


def _digest(made: SyntheticManifest, options: TrainClassifier, manifest: DataManifest, subset: Subset) -> str:
    """Return the digest of the generated images that are used; of all where they are chosen among all."""
    if options.strict or options.select is not None:
        return made.content_digest()
    return used_digest(made, subset.class_counts(manifest), synthetic_count(ratio_of(options), options.n))


def _find_generated(options: TrainClassifier, session: Session, subset: Subset) -> list[Generated]:
    """Return the folders of generated images: none for the baseline, one, or one a fold in the strict protocol."""
    if options.aug is None and options.synthetic is None:
        return []
    if options.strict:
        return [_of_fold(options, session, fold, subset) for fold in range(options.folds)]
    if options.synthetic is not None:
        generated = Generated(options.synthetic, read_synthetic_manifest(options.synthetic))
        gan = session.workspace.named_gan(generated.manifest.gan_name)
        which = f"--gan {quoted(gan) if gan.is_dir() else 'DIR'} --out {quoted(generated.folder)}"
    else:
        folder = session.workspace.synthetic(options.aug or "", options.n, options.seed)
        which = f"--aug {options.aug} --n {options.n} --seed {options.seed}"
        if not (folder / SyntheticManifest.FILE).is_file():
            ratio = ratio_of(options)
            more = f" --ratio {ratio:g}" if ratio > 2 else ""  # the default makes as many as ratio 2 needs
            raise MissingError(
                f"There are no generated images in {folder}.",
                f"Make them: usgan generate {which}{more}",
            )
        generated = Generated(folder, read_synthetic_manifest(folder))
    _check_trained_on(options, generated, subset, session)
    _check_enough(options, generated, which)
    return [generated]


def _check_trained_on(options: TrainClassifier, generated: Generated, subset: Subset, session: Session) -> None:
    """Refuse the subset's own GAN where it was trained on other images under this name; warn of another one's.

    A GAN that has seen more or other images brings what it learned of them to the classifier.
    """
    made = generated.manifest
    if made.subset in {None, subset.content_digest()}:
        return
    which = f"the subset n={options.n}, seed {options.seed}"
    if options.synthetic is None:
        whose = f"--aug {options.aug} --n {options.n} --seed {options.seed}"
        raise DataError(
            f"{made.gan_name} was trained on other images than {which} has now: the data or the subset was made again.",
            f"Train it and make its images again: usgan train-gan {whose} --force && usgan generate {whose} --force",
        )
    session.progress.warn(
        f"The GAN of {generated.folder} ({made.gan_name}) was trained on other images than {which}. If these include "
        "images of the classifier's validation or test parts, its scores are too good."
    )


def _of_fold(options: TrainClassifier, session: Session, fold: int, subset: Subset) -> Generated:
    """Return one fold's generated images, once it is shown that their GAN never saw its validation images."""
    aug, part = options.aug or "", (fold, options.folds)
    gan = session.workspace.gan(aug, options.n, options.seed, part)
    folder = session.workspace.synthetic(aug, options.n, options.seed, part)
    which = f"--n {options.n} --seed {options.seed}"
    train = f"usgan train-gan --aug {aug} {which} --fold {fold} --folds {options.folds}"
    run = RunDocument.find(gan)
    if run is None:
        raise MissingError(f"The GAN that leaves out fold {fold} is not there: {gan}.", f"Train it: {train}")
    make = f"usgan generate --gan {quoted(gan)} --count {synthetic_count(ratio_of(options), options.n)}"
    if not (folder / SyntheticManifest.FILE).is_file():
        raise MissingError(
            f"There are no images of the GAN that leaves out fold {fold}: {folder} is missing.",
            f"Make them: {make}",
        )
    generated = Generated(folder, read_synthetic_manifest(folder))
    expected = {"fold": fold, "folds": options.folds, "seed": options.seed}
    recorded = {name: run.run.settings.get(name, getattr(TrainGan, name, None)) for name in expected}
    if recorded != expected or run.run.inputs.get("subset") != subset.content_digest():
        raise DataError(
            f"{gan} was not trained on this subset without the validation images of fold {fold} of {options.folds}.",
            f"Train it again: {train} --force",
        )
    if run.content != generated.manifest.gan:
        raise DataError(f"{folder} was made by another GAN than {gan}.", f"Make it again: {make} --force")
    _check_enough(options, generated, f"--gan {quoted(gan)}")
    return generated


def _check_enough(options: TrainClassifier, generated: Generated, which: str) -> None:
    made = generated.manifest
    there, count = len(made.images), synthetic_count(ratio_of(options), options.n)
    # As they were made: other settings would change the images that smaller ratios were trained on.
    kind = [] if made.truncation_psi == 1 else [f" --truncation {made.truncation_psi:g}"]
    kind += [] if made.noise == "random" else [f" --noise {made.noise}"]
    kind += [] if made.form == "png" else [f" --format {made.form}"]
    command = f"usgan generate {which}{''.join(kind)}"
    if there < count:
        raise DataError(
            f"{made.gan_name} has {there} generated images; {count} are needed.",
            f"Make more: {command} --count {count} --force",
        )
    if options.select is not None and there == count:
        raise DataError(
            f"{made.gan_name} has {there} generated images, and all are needed: none can be selected.",
            f"Make more: {command} --count {2 * count} --force",
        )


def _show(session: Session, result: dict[str, Any], options: TrainClassifier) -> None:
    seen = options.aug is not None or options.synthetic is not None
    named = {"val_micro_f1": "val_micro_f1 (seen by the GAN)"} if seen and not options.strict else {}
    rows = [
        (named.get(name, name), f"{100 * result[name]['mean']:.2f} ± {100 * result[name]['sd']:.2f}") for name in SHOWN
    ]
    rows += [
        (f"external {name}: micro_f1", f"{100 * one['micro_f1']['mean']:.2f} ± {100 * one['micro_f1']['sd']:.2f}")
        for name, one in result["external"].items()
    ]
    title = f"{result['name']}, n = {options.n}: in %, mean ± sd of {options.folds} folds"
    session.table(title, ("score", "value"), rows)
    session.explain(("micro F1", "macro F1", "AUC", "Brier", "calibration error"))


def _summary(path: Path) -> dict[str, Any]:
    record = read_main(path, ClassifierRecord)
    chosen = {"name", "n", "aug", "ratio", "control", "protocol", "synthetic_only", "select", "classes", "c"}
    return record.model_dump(mode="json", include={*chosen, "confusion", "external", *SHOWN})
