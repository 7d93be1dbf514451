"""`usgan export`: a trained generator as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import named_or_selected
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.store.lifecycle import Outcome

REVISION = 1


def export(
    session: Session,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE.onnx", help="ONNX model to write.")],
    aug: options.MaybeAug = None,
    n: options.MaybeN = None,
    seed: options.Seed = 0,
    gan: options.Gan = None,
    noise: Annotated[
        str, typer.Option(help="const (the network's own planes, the same for every image) or none.")
    ] = "const",
) -> Outcome:
    """Write a generator as an ONNX model: inputs z, c (one-hot class) and truncation, any batch size, float32.

    onnxruntime must make the generator's own images with it, to 0.001 of pixels in -1 to 1, or nothing is written.
    """
    from usgan_cli.core.formats.generator import read_generator_document
    from usgan_cli.core.store import lifecycle
    from usgan_cli.core.store.lifecycle import make_recorded_file

    if noise not in {"const", "none"}:
        raise SettingsError(f"{noise!r} is not a kind of noise for a fixed model.", "Use --noise const or none.")
    if onnx.suffix != ".onnx":
        raise SettingsError(f"{onnx} does not end in .onnx.", "Give --onnx FILE.onnx.")
    folder = named_or_selected(session, gan, "gan", aug, n, seed)
    document = read_generator_document(folder)

    def work(target: Path) -> dict[str, Any]:
        import torch

        from usgan_cli.gan.onnx import export_onnx, require_packages
        from usgan_cli.gan.sample import load_generator

        require_packages()
        _, generator = load_generator(folder, torch.device("cpu"))
        return export_onnx(document, generator, target, noise=noise)

    step = lifecycle.Step("export", REVISION, {"noise": noise}, {"gan": document.content_digest()})
    outcome = make_recorded_file(onnx, step, work, session.request)
    if outcome.status == "done":
        told = outcome.result
        session.progress.note(
            f"Its images are the generator's own to {told['max_difference']:.2g} (pixels span -1 to 1; "
            f"{told['tolerance']:g} is allowed)."
        )
    return outcome
