"""`usgan train-cls`: train the classifier on real images, alone or with generated ones, fold by fold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from usgan_cli import options
from usgan_cli.classify.config import ClassifierConfig, check_config, settings_of
from usgan_cli.commands.inputs import check_aug, data_folder, load_subset, read_subset, weights_input, work_option
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import DataError, MissingError, SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.formats.classifier import ClassifierRecord, Selection
    from usgan_cli.core.formats.dataset import DataManifest, Subset
    from usgan_cli.core.formats.synthetic import SyntheticManifest
    from usgan_cli.core.store.lifecycle import Outcome

REVISION = 3
DEFAULT = ClassifierConfig()
PROTOCOL, TRAINING = "Beyond the study", "Fine-tuning"


def train_cls(
    session: Session,
    n: options.N,
    aug: options.MaybeAug = None,
    ratio: Annotated[
        float | None, typer.Option(min=0, help="Generated images per real training image (default with --aug: 1).")
    ] = None,
    seed: options.Seed = 0,
    synthetic: options.Synthetic = None,
    data: options.Data = None,
    out: options.Out = None,
    backbone: Annotated[str, typer.Option(help="Name of a timm model.")] = DEFAULT.backbone,
    weights: Annotated[
        str,
        typer.Option(
            help="Pretrained weights: auto (look for them), imagenet (the same), none (random), or a file or folder."
        ),
    ] = DEFAULT.weights,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Train a linear head on the frozen backbone's features (minutes on a CPU).")
    ] = DEFAULT.freeze,
    size: Annotated[
        int | None, typer.Option(min=16, help="Height and width of the network's input, pixels (default: the model's).")
    ] = DEFAULT.size,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = DEFAULT.folds,
    class_weights: Annotated[
        str, typer.Option(help="Weights of the classes in the loss: none, or balanced (rare ones weigh more).")
    ] = DEFAULT.class_weights,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Each fold's generated images come from a GAN that never saw its validation images "
            "(train-gan --fold K), so that validation scores can be trusted without test images.",
            rich_help_panel=PROTOCOL,
        ),
    ] = False,
    synthetic_only: Annotated[
        bool,
        typer.Option(
            "--synthetic-only",
            help="Train on generated images alone; validate and test on real ones.",
            rich_help_panel=PROTOCOL,
        ),
    ] = False,
    select: Annotated[
        str | None,
        typer.Option(
            help="Take the generated images that a linear head of the fold's real images is surest of (confidence), "
            "or those nearest to them (distance), in place of the first ones.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the training images, at most.", rich_help_panel=TRAINING)
    ] = DEFAULT.epochs,
    patience: Annotated[
        int,
        typer.Option(
            min=1,
            help="Epochs without improvement on the validation fold before stopping.",
            rich_help_panel=TRAINING,
        ),
    ] = DEFAULT.patience,
    batch: Annotated[int, typer.Option(min=2, help="Images a step, at most.", rich_help_panel=TRAINING)] = (
        DEFAULT.batch
    ),
    lr: Annotated[
        float, typer.Option(help="Highest learning rate of the pretrained layers.", rich_help_panel=TRAINING)
    ] = DEFAULT.lr,
    head_lr: Annotated[
        float, typer.Option(help="Highest learning rate of the new classifier layer.", rich_help_panel=TRAINING)
    ] = DEFAULT.head_lr,
    layer_decay: Annotated[
        float,
        typer.Option(
            help="Each pretrained block learns at the rate of the block after it times this, 0 to 1.",
            rich_help_panel=TRAINING,
        ),
    ] = DEFAULT.layer_decay,
    head_epochs: Annotated[
        int,
        typer.Option(
            min=0,
            help="First stage: epochs in which the new classifier layer alone learns.",
            rich_help_panel=TRAINING,
        ),
    ] = DEFAULT.head_epochs,
    label_smoothing: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the label given to all classes.", rich_help_panel=TRAINING)
    ] = DEFAULT.label_smoothing,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Folds trained at the same time, each in a process of its own: more fit one GPU, or a CPU with "
            "OMP_NUM_THREADS=1. The result is the same.",
            rich_help_panel=TRAINING,
        ),
    ] = 1,
    precision: options.PrecisionName = DEFAULT.precision,
    device: options.Device = DEFAULT.device,
) -> Outcome:
    """Train one classifier a fold and score each on its validation images and on the test images.

    Without --aug (or --synthetic) this is the baseline: real images alone. Generated images join training folds only.
    An interrupted training goes on with the fold, and the epoch, that it had come to.
    """
    from usgan_cli.core.formats.dataset import read_manifest
    from usgan_cli.core.images.sets import load_split, load_synthetic
    from usgan_cli.core.store import lifecycle

    folder = data_folder(session, data)
    manifest = read_manifest(folder)
    subset = read_subset(session, n, seed)
    config = dataclasses.replace(
        DEFAULT,
        backbone=backbone,
        weights=weights,
        freeze=freeze,
        size=size,
        folds=folds,
        seed=seed,
        class_weights=class_weights,
        epochs=epochs,
        patience=patience,
        batch=batch,
        lr=lr,
        head_lr=head_lr,
        layer_decay=layer_decay,
        head_epochs=head_epochs,
        label_smoothing=label_smoothing,
        precision=precision,
        device=device,
    )
    check_config(config)
    wanted = _Wanted(aug, n, seed, synthetic, ratio, folds, strict, synthetic_only, _selection(select))
    sources = _sources(session, wanted, subset)
    digests = [_digest(source.manifest, wanted, manifest, subset) for source in sources]
    label = None if not sources else (aug or sources[0].manifest.gan_name)
    target = out or session.workspace.classifier(n, seed, label, wanted.times, wanted.variants)

    def work(place: Path) -> ClassifierRecord:
        from usgan_cli.classify.fold_images import Treatment
        from usgan_cli.classify.train import Origin, train_classifier

        return train_classifier(
            config,
            origin=Origin(target.name, n, subset.content_digest(), manifest.content_digest()),
            treatment=Treatment(
                aug=label,
                ratio=wanted.times,
                synthetic=tuple(load_synthetic(source.folder) for source in sources),
                digests=tuple(digests),
                protocol="strict" if strict else "standard",
                synthetic_only=synthetic_only,
                select=wanted.select,
            ),
            real=load_subset(folder, manifest, subset),
            test=load_split(folder, "test"),
            target=place,
            progress=session.progress,
            cache_dir=session.workspace.cache,
            jobs=jobs,
        )

    inputs = {"data": manifest.content_digest(), "subset": subset.content_digest(), **weights_input(weights)}
    for i, digest in enumerate(digests):
        inputs["synthetic" if not strict else f"synthetic of fold {i}"] = digest
    settings = {"n": n, "aug": label, "ratio": wanted.times, **settings_of(config), **wanted.beyond}
    step = lifecycle.Step("train-cls", REVISION, settings, inputs)
    outcome = lifecycle.grow_folder(target, step, work, _summary, session.request)
    if outcome.status == "done":
        _show(session, outcome.result, n, folds)
    return outcome


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
class _Wanted:
    """Which generated images the user asks for, and how they are to be used."""

    aug: str | None
    n: int
    seed: int
    named: Path | None
    ratio: float | None
    folds: int
    strict: bool
    alone: bool
    select: Selection | None

    @property
    def times(self) -> float:
        """Generated images per real training image; 0 for the baseline."""
        baseline = self.aug is None and self.named is None
        return 0.0 if baseline else 1.0 if self.ratio is None else self.ratio

    @property
    def count(self) -> int:
        """Generated images that join each training side."""
        from usgan_cli.classify.fold_images import synthetic_count

        return synthetic_count(self.times, self.n)

    @property
    def variants(self) -> list[str]:
        """What the artefact's name carries besides GAN and ratio."""
        some = ["only"] * self.alone + ["strict"] * self.strict
        return some if self.select is None else [*some, self.select]

    @property
    def beyond(self) -> dict[str, Any]:
        """Settings that are recorded where they are not the study's."""
        chosen = {"synthetic_only": self.alone, "strict": self.strict, "select": self.select}
        return {name: value for name, value in chosen.items() if value}


@dataclass(frozen=True)
class _Source:
    """A folder of generated images."""

    folder: Path
    manifest: SyntheticManifest


def _digest(made: SyntheticManifest, wanted: _Wanted, manifest: DataManifest, subset: Subset) -> str:
    """Return the digest of the generated images that are used; of all where they are chosen among all."""
    from usgan_cli.core.formats.synthetic import used_digest

    if wanted.strict or wanted.select is not None:
        return made.content_digest()
    return used_digest(made, subset.class_counts(manifest), wanted.count)


def _selection(name: str | None) -> Selection | None:
    if name not in {None, "confidence", "distance"}:
        raise SettingsError(f"There is no way to select called {name!r}.", "Use --select confidence or distance.")
    return cast("Selection | None", name)


def _sources(session: Session, wanted: _Wanted, subset: Subset) -> list[_Source]:
    """Return the folders of generated images: none for the baseline, one, or one a fold in the strict protocol."""
    from usgan_cli.core.formats.synthetic import read_synthetic_manifest

    aug, named = wanted.aug, wanted.named
    if aug is not None and named is not None:
        raise SettingsError("--synthetic names the images outright; leave out --aug.")
    if aug is None and named is None:
        if wanted.ratio:
            raise SettingsError("--ratio needs generated images: give --aug, or --synthetic DIR.")
        for option, given in (("--synthetic-only", wanted.alone), ("--strict", wanted.strict)):
            if given:
                raise SettingsError(f"{option} needs generated images: give --aug.")
        if wanted.select is not None:
            raise SettingsError("--select needs generated images: give --aug, or --synthetic DIR.")
        return []
    if wanted.ratio == 0:
        raise SettingsError("--ratio 0 uses no generated images: leave out --aug for the baseline.")
    if wanted.strict and aug is None:
        raise SettingsError("--strict takes one set of generated images a fold: give --aug, not --synthetic.")
    if not wanted.strict:
        folder = named or session.workspace.synthetic(check_aug(aug or ""), wanted.n, wanted.seed)
        which = f"--aug {aug} --n {wanted.n} --seed {wanted.seed}"
        if named is None and not (folder / "manifest.json").is_file():
            more = f" --ratio {wanted.times:g}" if wanted.times > 2 else ""  # as many are made unasked
            raise MissingError(
                f"There are no generated images in {folder}.",
                f"Make them: usgan generate {which}{more}{work_option(session)}",
            )
        source = _Source(folder, read_synthetic_manifest(folder))
        which = which if named is None else _outright(session, source)
        _check_enough(session, source, wanted, which)
        return [source]
    return [_strict_source(session, wanted, fold, subset) for fold in range(wanted.folds)]


def _strict_source(session: Session, wanted: _Wanted, fold: int, subset: Subset) -> _Source:
    """Return one fold's generated images, once it is shown that their GAN never saw its validation images."""
    from usgan_cli.core.formats.synthetic import read_synthetic_manifest
    from usgan_cli.core.store.document import RunDocument

    aug = check_aug(wanted.aug or "")
    part = (fold, wanted.folds)
    gan = session.workspace.gan(aug, wanted.n, wanted.seed, part)
    folder = session.workspace.synthetic(aug, wanted.n, wanted.seed, part)
    where = f"--n {wanted.n} --seed {wanted.seed}{work_option(session)}"
    train = f"usgan train-gan --aug {aug} {where} --fold {fold} --folds {wanted.folds}"
    if not (gan / "run.json").is_file():
        raise MissingError(f"The GAN that leaves out fold {fold} is not there: {gan}.", f"Train it: {train}")
    make = f"usgan generate --gan {gan} --count {wanted.count}"
    if not (folder / "manifest.json").is_file():
        raise MissingError(
            f"There are no images of the GAN that leaves out fold {fold}: {folder} is missing.",
            f"Make them: {make}{work_option(session)}",
        )
    source = _Source(folder, read_synthetic_manifest(folder))
    run = RunDocument.read(gan / "run.json")
    asked = {"fold": fold, "folds": wanted.folds, "seed": wanted.seed}
    told = {name: run.run.settings.get(name) for name in asked}
    if told != asked or run.run.inputs.get("subset") != subset.content_digest():
        raise DataError(
            f"{gan} was not trained on this subset without the validation images of fold {fold} of {wanted.folds}.",
            f"Train it again: {train} --force",
        )
    if run.content != source.manifest.gan:
        raise DataError(f"{folder} was made by another GAN than {gan}.", f"Make it again: {make} --force")
    _check_enough(session, source, wanted, f"--gan {gan}")
    return source


def _check_enough(session: Session, source: _Source, wanted: _Wanted, which: str) -> None:
    there, count = len(source.manifest.images), wanted.count
    # As they were made: other settings would change the images that smaller ratios were trained on.
    made = source.manifest
    kind = [] if made.truncation_psi == 1 else [f" --truncation {made.truncation_psi:g}"]
    kind += [] if made.noise == "random" else [f" --noise {made.noise}"]
    kind += [] if made.form == "png" else [f" --format {made.form}"]
    command = f"usgan generate {which}{''.join(kind)}"
    if there < count:
        raise DataError(
            f"{source.manifest.gan_name} has {there} generated images; {count} are needed.",
            f"Make more: {command} --count {count} --force{work_option(session)}",
        )
    if wanted.select is not None and there == count:
        raise DataError(
            f"{source.manifest.gan_name} has {there} generated images, and all are needed: none can be selected.",
            f"Make more: {command} --count {2 * count} --force{work_option(session)}",
        )


def _outright(session: Session, source: _Source) -> str:
    """Return the options of `usgan generate` that name a folder of images, and its GAN where it is found."""
    gan = session.workspace.root / "gans" / source.manifest.gan_name
    return f"--gan {gan if gan.is_dir() else 'DIR'} --out {source.folder}"


def _show(session: Session, result: dict[str, Any], n: int, folds: int) -> None:
    rows = [(name, f"{100 * result[name]['mean']:.2f} ± {100 * result[name]['sd']:.2f}") for name in SHOWN]
    session.table(f"{result['name']}, n = {n}: in %, mean ± sd of {folds} folds", ("score", "value"), rows)


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.formats.classifier import ClassifierRecord

    record = ClassifierRecord.read(path / "result.json")
    chosen = {"name", "n", "aug", "ratio", "protocol", "synthetic_only", "select", "classes", "c", "confusion", *SHOWN}
    return record.model_dump(mode="json", include=chosen)
