"""`usgan generate`: make images with a trained GAN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import named_or_selected
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.core.manifest import SyntheticManifest

REVISION = 1


def generate(
    session: Session,
    aug: options.MaybeAug = None,
    n: options.MaybeN = None,
    seed: options.Seed = 0,
    gan: options.Gan = None,
    out: options.Out = None,
    ratio: Annotated[
        float, typer.Option(min=0, help="Images to make, as a multiple of the GAN's training images.")
    ] = 2.0,
    at_least: Annotated[
        int,
        typer.Option(min=0, help="With --ratio: make this many at the least, so that all GANs are scored on as many."),
    ] = 500,
    count: Annotated[int | None, typer.Option(min=1, help="Images to make, exactly (in place of --ratio).")] = None,
    truncation_psi: Annotated[
        float, typer.Option(min=0, max=1, help="1 for the whole distribution; less is safer and less varied.")
    ] = 1.0,
    noise: Annotated[
        str, typer.Option(help="random (each image its own, from its seed), const (one for all) or none.")
    ] = "random",
    precision: Annotated[
        str, typer.Option(help="Arithmetic of the fast layers: float32, bf16, fp16, or auto (bf16 where it is fast).")
    ] = "float32",
    device: options.Device = "auto",
) -> Outcome:
    """Make images in the class proportions of the GAN's training images; fewer images are a start of more."""
    from usgan_cli.core import artefact, checkpoint, datasets
    from usgan_cli.core import device as devices
    from usgan_cli.gan.sample import generate as make

    folder = named_or_selected(session, gan, "gan", aug, n, seed)
    document = checkpoint.read_generator_document(folder)
    where = devices.resolve_device(device)
    resolved_count = count if count is not None else max(round(ratio * document.n), at_least)
    resolved_precision = devices.resolve_precision(precision, where)
    if resolved_count == 0:
        raise SettingsError("--ratio 0 and --at-least 0 make no images.", "Give --count or a greater --ratio.")

    if noise not in {"random", "const", "none"}:
        raise SettingsError(f"{noise!r} is not a kind of noise.", "Use --noise random, const or none.")

    def work(target: Path) -> SyntheticManifest:
        return make(
            folder,
            target,
            where,
            session.progress,
            count=resolved_count,
            truncation_psi=truncation_psi,
            noise=noise,
            precision=resolved_precision,
            seed=document.seed,
        )

    def summary(path: Path) -> dict[str, Any]:
        manifest = datasets.read_synthetic_manifest(path)
        counts = {name: sum(i.class_ == name for i in manifest.images) for name in manifest.classes}
        return {"gan": manifest.gan_name, "count": len(manifest.images), "counts": counts}

    settings = {
        "count": resolved_count,
        "truncation_psi": truncation_psi,
        "noise": noise,
        "precision": resolved_precision,
        "seed": document.seed,
    }
    step = artefact.Step("generate", REVISION, settings, {"gan": document.content_digest()})
    target = out or session.workspace.root / "synthetic" / document.name
    return artefact.make_folder(target, step, work, summary, session.request)
