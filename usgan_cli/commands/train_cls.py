"""`usgan train-cls`: train the classifier on real images, alone or with generated ones, fold by fold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.classify.config import ClassifierConfig, settings_of
from usgan_cli.commands.inputs import check_aug, data_folder, load_subset, read_subset, weights_input, work_option
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import DataError, SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.core.records import ClassifierRecord

REVISION = 1
DEFAULT = ClassifierConfig()


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
        str, typer.Option(help="Pretrained weights: auto (look for them), none (random), or a file or folder.")
    ] = DEFAULT.weights,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Train a linear head on the frozen backbone's features (minutes on a CPU).")
    ] = DEFAULT.freeze,
    size: Annotated[
        int | None, typer.Option(min=16, help="Height and width of the network's input, pixels (default: the model's).")
    ] = DEFAULT.size,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = DEFAULT.folds,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images, at most.")] = DEFAULT.epochs,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without improvement on the validation fold before stopping.")
    ] = DEFAULT.patience,
    batch: Annotated[int, typer.Option(min=2, help="Images a step, at most.")] = DEFAULT.batch,
    lr: Annotated[float, typer.Option(help="Highest learning rate of the pretrained layers.")] = DEFAULT.lr,
    precision: options.PrecisionName = DEFAULT.precision,
    device: options.Device = DEFAULT.device,
) -> Outcome:
    """Train one classifier a fold and score each on its validation images and on the test images.

    Without --aug (or --synthetic) this is the baseline: real images alone. Generated images join training folds only.
    """
    from usgan_cli.core import artefact, datasets

    folder = data_folder(session, data)
    manifest = datasets.read_manifest(folder)
    subset = read_subset(session, n, seed)
    source = _synthetic_folder(session, aug, n, seed, synthetic, ratio)
    wanted = (1.0 if ratio is None else ratio) if source is not None else 0.0
    generated = None if source is None else datasets.read_synthetic_manifest(source)
    label = None if generated is None else (aug or generated.gan_name)
    if generated is not None:
        _check_enough(session, generated.gan_name, len(generated.images), round(wanted * n), aug, seed, n)
    config = dataclasses.replace(
        DEFAULT,
        backbone=backbone,
        weights=weights,
        freeze=freeze,
        size=size,
        folds=folds,
        seed=seed,
        epochs=epochs,
        patience=patience,
        batch=batch,
        lr=lr,
        precision=precision,
        device=device,
    )
    target = out or session.workspace.classifier(n, seed, label, wanted)

    def work(place: Path) -> ClassifierRecord:
        from usgan_cli.classify.train import train_classifier

        return train_classifier(
            config,
            name=target.name,
            n=n,
            aug=label,
            ratio=wanted,
            real=load_subset(folder, manifest, subset),
            synthetic=None if source is None else datasets.load_synthetic(source, round(wanted * n)),
            synthetic_digest=None if generated is None else generated.content_digest(),
            test=datasets.load_split(folder, "test"),
            subset_digest=subset.content_digest(),
            test_digest=manifest.content_digest(),
            target=place,
            progress=session.progress,
            cache_dir=session.workspace.cache,
        )

    inputs = {"data": manifest.content_digest(), "subset": subset.content_digest(), **weights_input(weights)}
    if generated is not None:
        inputs["synthetic"] = generated.content_digest()
    step = artefact.Step("train-cls", REVISION, {"n": n, "aug": label, "ratio": wanted, **settings_of(config)}, inputs)
    outcome = artefact.make_folder(target, step, work, _summary, session.request)
    if outcome.status == "done":
        result = outcome.result
        rows = [(name, f"{100 * result[name]['mean']:.2f} ± {100 * result[name]['sd']:.2f}") for name in F1_NAMES]
        session.table(f"{result['name']}, n = {n}: F1 in %, mean ± sd of {folds} folds", ("score", "F1"), rows)
    return outcome


F1_NAMES = ("test_micro_f1", "test_macro_f1", "val_micro_f1")


def _synthetic_folder(
    session: Session, aug: str | None, n: int, seed: int, synthetic: Path | None, ratio: float | None
) -> Path | None:
    """Return the folder of generated images, or None for the baseline."""
    if aug is not None and synthetic is not None:
        raise SettingsError("--synthetic names the images outright; leave out --aug.")
    if aug is None and synthetic is None:
        if ratio:
            raise SettingsError("--ratio needs generated images: give --aug, or --synthetic DIR.")
        return None
    if ratio == 0:
        raise SettingsError("--ratio 0 uses no generated images: leave out --aug for the baseline.")
    return synthetic or session.workspace.synthetic(check_aug(aug or ""), n, seed)


def _check_enough(session: Session, gan: str, there: int, wanted: int, aug: str | None, seed: int, n: int) -> None:
    if there < wanted:
        which = f"--aug {aug} --n {n} --seed {seed}" if aug is not None else "--gan DIR"
        raise DataError(
            f"{gan} has {there} generated images; {wanted} are needed.",
            f"Make more: usgan generate {which} --count {wanted} --force{work_option(session)}",
        )


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.records import ClassifierRecord

    record = ClassifierRecord.read(path / "result.json")
    chosen = {"name", "n", "aug", "ratio", "classes", "confusion", *F1_NAMES}
    return record.model_dump(mode="json", include=chosen)
