"""`usgan score`: how far generated images are from real ones, what real ones reach, and whether they are copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import data_folder, load_subset, named_or_selected, weights_input
from usgan_cli.commands.session import Session
from usgan_cli.commands.snapshots import Network, score_saved_generators
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.formats.dataset import Subset
    from usgan_cli.core.formats.score import ScoreRecord, SetScores
    from usgan_cli.core.images.sets import ImageSet
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.metrics.config import ScoreConfig
    from usgan_cli.metrics.score import Scored

REVISION = 2
FOLDERS = "Any two folders of images"


def score(
    session: Session,
    aug: options.MaybeAug = None,
    n: options.MaybeN = None,
    seed: options.Seed = 0,
    synthetic: options.Synthetic = None,
    gan: options.Gan = None,
    data: options.Data = None,
    out: options.Out = None,
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Real images, in place of a workspace's: a folder, with a subfolder for each class or none.",
            rich_help_panel=FOLDERS,
        ),
    ] = None,
    fake: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Generated images, likewise.", rich_help_panel=FOLDERS)
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The generator's training images, likewise: for the floor, and to look for copies of them.",
            rich_help_panel=FOLDERS,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Generated images to use, the first in order (of --fake: drawn by chance); all where there are fewer "
            "(default: 500, or all of --fake). Must be equal within a table.",
        ),
    ] = None,
    extractor: options.Extractor = "inception",
    weights: options.Weights = None,
    ssim_pairs: Annotated[
        int,
        typer.Option(min=1, help="Random pairs for SSIM (test image, other image), and for diversity (two others)."),
    ] = 1000,
    js_bins: Annotated[int, typer.Option(min=2, help="Bins of the gray-value histograms over 0 to 256.")] = 256,
    js_log_base: Annotated[float, typer.Option(help="Base of the logarithm in JS; e is the natural one.")] = math.e,
    repeats: Annotated[int, typer.Option(min=2, help="Draws of half of the images behind every 95 % interval.")] = 100,
    snapshots: Annotated[
        bool,
        typer.Option("--snapshots", help="Score every generator saved during training (train-gan --fd-every) instead."),
    ] = False,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Score blurred and noisy training images too: what is easily reached.")
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Draw gray values and nearest distances (or the snapshots' curve) as PNG."),
    ] = False,
    device: options.Device = "auto",
) -> Outcome:
    """Measure FID (or FD), KID, precision, recall, density, coverage, JS, SSIM and diversity against the test images.

    Real against real stands beside, intervals too, and copies of training images are looked for. Two folders of
    images are enough: usgan score --real DIR --fake DIR.
    """
    from usgan_cli.metrics.config import ScoreConfig

    _check_together(
        folders={"--real": real, "--fake": fake},
        train=train,
        workspace={"--aug": aug, "--n": n, "--synthetic": synthetic, "--gan": gan, "--data": data},
        snapshots=snapshots,
        baselines=baselines,
    )
    config = ScoreConfig(
        extractor=extractor, ssim_pairs=ssim_pairs, js_bins=js_bins, js_log_base=js_log_base, repeats=repeats
    )
    network = Network(extractor, weights, device)
    if snapshots:
        folder = named_or_selected(session, gan, "gan", aug, n, seed)
        used = count or config.count or 0
        return score_saved_generators(
            session, folder, data, out, network, count=used, repeats=repeats, pictures=pictures
        )
    if real is not None and fake is not None:
        sources = _folders(session, real, fake, train, count)
    else:
        folder = named_or_selected(session, synthetic, "synthetic", aug, n, seed)
        sources = _workspace(session, folder, data, count or config.count or 0)
    return _scored(session, config, network, sources, out, baselines=baselines, pictures=pictures)


@dataclass(frozen=True)
class Sources:
    """The images of one score.

    Attributes
    ----------
    name : str
        What the generated images are called.
    gan_name : str
    count : int
        Number of generated images used.
    reference : str
        Content digest of what the real images are.
    inputs : dict
        Content digest of everything that is read, by role.
    fake, test, real, subset : callable
        Load the images; real and subset return None where there are none.
    """

    name: str
    gan_name: str
    count: int
    reference: str
    inputs: dict[str, str]
    fake: Callable[[], ImageSet]
    test: Callable[[], ImageSet]
    real: Callable[[], ImageSet | None]
    subset: Callable[[], ImageSet | None]


def _check_together(
    *,
    folders: Mapping[str, Path | None],
    train: Path | None,
    workspace: Mapping[str, Any],
    snapshots: bool,
    baselines: bool,
) -> None:
    """Refuse options that contradict one another."""
    named = [name for name, value in folders.items() if value is not None]
    others = [name for name, value in workspace.items() if value is not None]
    if len(named) == 1:
        raise SettingsError(f"{named[0]} needs {' and '.join(set(folders) - set(named))} beside it.")
    if named and (others or snapshots):
        raise SettingsError(f"--real and --fake name folders of images; leave out {(others or ['--snapshots'])[0]}.")
    if train is not None and not named:
        raise SettingsError("--train goes with --real and --fake; in a workspace the training images are known.")
    if named and baselines and train is None:
        raise SettingsError("--baselines are made from training images.", "Name them: --train DIR")
    if snapshots and (baselines or workspace["--synthetic"] is not None):
        raise SettingsError("--snapshots is of a GAN's saved generators; leave out --baselines and --synthetic.")
    if workspace["--gan"] is not None and not snapshots:
        raise SettingsError("--gan is for --snapshots; a score is of generated images.", "Name them: --synthetic DIR")


def _workspace(session: Session, folder: Path, data: Path | None, count: int) -> Sources:
    """Return the images of a folder made by `usgan generate`, and the dataset behind them."""
    from usgan_cli.core.formats.dataset import read_manifest
    from usgan_cli.core.formats.synthetic import read_synthetic_manifest
    from usgan_cli.core.images.sets import load_split, load_synthetic

    data_dir = data_folder(session, data)
    made = read_synthetic_manifest(folder)
    manifest = read_manifest(data_dir)
    subset = _subset_of(session, made.gan_name)
    used = min(count, len(made.images))
    if used < count:
        session.progress.warn(
            f"{folder} holds {used} images, fewer than {count}: the Fréchet distance is not comparable with one "
            "of more images."
        )
    # Of the images only: more of them behind those that are used change nothing.
    shown = made.model_copy(update={"images": made.images[:used]})
    inputs = {"data": manifest.content_digest(), "synthetic": shown.content_digest()}
    if subset is not None:
        inputs["subset"] = subset.content_digest()
    return Sources(
        name=folder.name,
        gan_name=made.gan_name,
        count=used,
        reference=manifest.content_digest(),
        inputs=inputs,
        fake=lambda: load_synthetic(folder, used),
        test=lambda: load_split(data_dir, "test"),
        real=lambda: load_split(data_dir, "train"),
        subset=lambda: None if subset is None else load_subset(data_dir, manifest, subset),
    )


def _folders(session: Session, real: Path, fake: Path, train: Path | None, count: int | None) -> Sources:
    """Return the images of two or three folders."""
    import numpy as np

    from usgan_cli.core.images.folders import content_digest, load_folders
    from usgan_cli.core.machine.seeds import numpy_generator

    roles = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = dict(zip(roles, load_folders(list(roles.values())), strict=True))
    used = min(count or len(sets["fake"]), len(sets["fake"]))
    if count is not None and used < count:
        session.progress.warn(f"{fake} holds {used} images, fewer than {count}.")
    # A folder's order is that of its classes: some of its images are drawn, where the first of a generator's will do.
    chosen = np.sort(numpy_generator("score", "count").permutation(len(sets["fake"]))[:used])
    inputs = {role: content_digest(images) for role, images in sets.items()}
    return Sources(
        name=fake.resolve().name,
        gan_name=fake.resolve().name,
        count=used,
        reference=inputs["real"],
        inputs=inputs,
        fake=lambda: sets["fake"].take(chosen),
        test=lambda: sets["real"],
        real=lambda: sets.get("train"),
        subset=lambda: None,
    )


def _scored(
    session: Session,
    config: ScoreConfig,
    network: Network,
    sources: Sources,
    out: Path | None,
    *,
    baselines: bool,
    pictures: bool,
) -> Outcome:
    """Make the record of a score and its pictures, unless they are there."""
    from dataclasses import replace

    from usgan_cli.core.store import lifecycle

    target = out or session.workspace.score(sources.name)

    def work() -> ScoreRecord:
        from usgan_cli.metrics.score import score as measure

        scored = measure(
            replace(config, count=None),
            name=target.stem,
            gan_name=sources.gan_name,
            fake=sources.fake(),
            test=sources.test(),
            test_digest=sources.reference,
            real=sources.real(),
            subset=sources.subset(),
            extractor=network.build(session.progress),
            cache_dir=session.workspace.cache,
            progress=session.progress,
            with_baselines=baselines,
        )
        return scored.record.model_copy(update={"pictures": _write_pictures(scored, target, full=pictures)})

    settings = {
        "count": sources.count,
        "ssim_pairs": config.ssim_pairs,
        "js_bins": config.js_bins,
        "js_log_base": config.js_log_base,
        "repeats": config.repeats,
        "baselines": baselines,
        "pictures": pictures,
        **network.settings(),
    }
    step = lifecycle.Step("score", REVISION, settings, {**sources.inputs, **weights_input(network.weights)})
    outcome = lifecycle.make_file(target, step, work, _summary, session.request)
    if outcome.status == "done":
        _show(session, target)
    return outcome


def _write_pictures(scored: Scored, target: Path, *, full: bool) -> dict[str, str]:
    """Write the closest pairs, and on request the curves, beside the record; return their digests."""
    from usgan_cli.core.images import codec
    from usgan_cli.core.store import files

    drawn: dict[str, bytes] = {}
    if scored.suspects is not None:
        drawn["nearest"] = codec.encode_png(scored.suspects.sheet)
    if full:
        from usgan_cli.metrics.pictures import gray_values, nearest_distances

        drawn["grays"] = gray_values(scored.test, scored.fake, scored.record.fake.js)
        if scored.suspects is not None:
            drawn["distances"] = nearest_distances(scored.suspects.distances)
    found = {}
    for kind, data in drawn.items():
        path = target.with_name(f"{target.stem}-{kind}.png")
        files.write_bytes(path, data)
        found[path.name] = files.sha256_bytes(data)
    return found


def _subset_of(session: Session, gan: str) -> Subset | None:
    """Return the training images of a GAN of this workspace; None for a GAN from elsewhere."""
    from usgan_cli.core.formats.dataset import Subset
    from usgan_cli.core.formats.generator import read_generator_document

    folder = session.workspace.root / "gans" / gan
    if not (folder / "generator.json").is_file():
        return None
    document = read_generator_document(folder)
    path = session.workspace.subset(document.n, document.seed)
    return Subset.read(path) if path.is_file() else None


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.formats.score import ScoreRecord

    record = ScoreRecord.read(path)
    return record.model_dump(mode="json", exclude={"run", "real_name"})


def _show(session: Session, path: Path) -> None:
    """Show every set's numbers, the generated images' by class, and whether they are copies."""
    from usgan_cli.core.formats.score import ScoreRecord

    record = ScoreRecord.read(path)
    sets: dict[str, SetScores] = {record.name: record.fake}
    sets |= {f"... {name}": scores for name, scores in record.fake.classes.items()}
    if record.subset is not None:
        sets["its training images"] = record.subset
    floor = "real training images" if record.memorization is not None else record.real_name
    sets[floor] = record.real
    sets |= {f"{name} training images": scores for name, scores in record.baselines.items()}
    fid = record.settings.extractor.startswith("inception")
    session.table(
        f"Against {record.settings.reference_count} real test images ({record.settings.extractor}); ± 95 % interval, "
        "but of SSIM standard deviation over pairs",
        ("images", "count", "FID" if fid else "FD", "KID x 1000" if fid else "KD x 1000", "JS", "SSIM"),
        [
            (
                name,
                str(scores.count),
                _number(scores, "fd", 2),
                _number(scores, "kid", 2, 1000),
                _number(scores, "js", 3),
                f"{scores.ssim.mean:.3f} ± {scores.ssim.sd:.3f}",
            )
            for name, scores in sets.items()
        ],
    )
    session.table(
        "Are they among the real images, and different from one another (low SSIM of two, high distance in features)?",
        ("images", "precision", "recall", "density", "coverage", "SSIM of two", "distance"),
        [
            (
                name,
                *(_number(scores, field, 2) for field in ("precision", "recall", "density", "coverage")),
                _number(scores, "diversity_ssim", 3),
                _number(scores, "diversity_features", 3),
            )
            for name, scores in sets.items()
        ],
    )
    for note in record.notes:
        session.progress.note(note)
    if (found := record.memorization) is not None:
        (session.progress.note if found.verdict == "none" else session.progress.warn)(found.words)


def _number(scores: SetScores, field: str, digits: int, scale: float = 1) -> str:
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
