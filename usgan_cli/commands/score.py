"""`usgan score`: how far generated images are from the real test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import data_folder, load_subset, named_or_selected, weights_input
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.core.manifest import Subset
    from usgan_cli.core.records import ScoreRecord, Scores

REVISION = 1


def score(
    session: Session,
    aug: options.MaybeAug = None,
    n: options.MaybeN = None,
    seed: options.Seed = 0,
    synthetic: options.Synthetic = None,
    data: options.Data = None,
    out: options.Out = None,
    count: Annotated[
        int,
        typer.Option(min=2, help="Generated images to use; all where there are fewer. Must be equal within a table."),
    ] = 500,
    extractor: options.Extractor = "inception",
    weights: options.Weights = None,
    ssim_pairs: Annotated[int, typer.Option(min=1, help="Random pairs (test image, other image) for SSIM.")] = 1000,
    device: options.Device = "auto",
) -> Outcome:
    """Measure FID (or FD), Jensen-Shannon distance and SSIM against the test images, with real against real beside."""
    from usgan_cli.core import artefact, datasets
    from usgan_cli.core import device as devices

    folder = named_or_selected(session, synthetic, "synthetic", aug, n, seed)
    data_dir = data_folder(session, data)
    made = datasets.read_synthetic_manifest(folder)
    manifest = datasets.read_manifest(data_dir)
    subset = _subset_of(session, made.gan_name)
    used = min(count, len(made.images))
    if used < count:
        session.progress.warn(
            f"{folder} holds {used} images, fewer than {count}: the Fréchet distance is not comparable with one "
            "of more images."
        )
    target = out or session.workspace.score(folder.name)

    def work() -> ScoreRecord:
        from usgan_cli.metrics.features import make_extractor
        from usgan_cli.metrics.score import ScoreConfig
        from usgan_cli.metrics.score import score as measure

        network = make_extractor(
            extractor, weights=weights, device=devices.resolve_device(device), progress=session.progress
        )
        return measure(
            ScoreConfig(extractor=extractor, count=used, ssim_pairs=ssim_pairs),
            name=target.stem,
            gan_name=made.gan_name,
            fake=datasets.load_synthetic(folder, used),
            test=datasets.load_split(data_dir, "test"),
            test_digest=manifest.content_digest(),
            real=datasets.load_split(data_dir, "train"),
            subset=None if subset is None else load_subset(data_dir, manifest, subset),
            extractor=network,
            cache_dir=session.workspace.cache,
            progress=session.progress,
        )

    settings = {"count": used, "extractor": extractor, "weights": weights or "auto", "ssim_pairs": ssim_pairs}
    inputs = {"data": manifest.content_digest(), "synthetic": made.content_digest(), **weights_input(weights)}
    if subset is not None:
        inputs["subset"] = subset.content_digest()
    step = artefact.Step("score", REVISION, settings, inputs)
    outcome = artefact.make_file(target, step, work, _summary, session.request)
    if outcome.status == "done":
        _show(session, target)
    return outcome


def _subset_of(session: Session, gan: str) -> Subset | None:
    """Return the training images of a GAN of this workspace; None for a GAN from elsewhere."""
    from usgan_cli.core import checkpoint
    from usgan_cli.core.manifest import Subset

    folder = session.workspace.root / "gans" / gan
    if not (folder / "generator.json").is_file():
        return None
    document = checkpoint.read_generator_document(folder)
    path = session.workspace.subset(document.n, document.seed)
    return Subset.read(path) if path.is_file() else None


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.records import ScoreRecord

    record = ScoreRecord.read(path)
    chosen = {"name", "gan_name", "settings", "fake", "real", "real_count", "subset", "subset_count"}
    return record.model_dump(mode="json", include=chosen)


def _show(session: Session, path: Path) -> None:
    from usgan_cli.core.records import ScoreRecord

    record = ScoreRecord.read(path)
    rows = [_row(record.name, record.settings.count, record.fake)]
    if record.subset is not None:
        rows.append(_row("its training images", record.subset_count or 0, record.subset))
    rows.append(_row("real training images", record.real_count, record.real))
    fd = "FID" if record.settings.extractor.startswith("inception") else "FD"
    session.table(
        f"Against {record.settings.reference_count} real test images ({record.settings.extractor})",
        ("images", "count", fd, "spread", "JS", "SSIM"),
        rows,
    )


def _row(name: str, count: int, scores: Scores) -> tuple[str, ...]:
    ssim = f"{scores.ssim.mean:.3f} ± {scores.ssim.sd:.3f}"
    return (name, str(count), f"{scores.fd:.2f}", f"± {scores.fd_spread.sd:.2f}", f"{scores.js:.3f}", ssim)
