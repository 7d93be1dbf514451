"""`usgan export`: a trained generator as one file for other programs."""

from __future__ import annotations

import torch

from usgan_cli.commands.export import Export
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import read_generator_document
from usgan_cli.core.store.recorded_file import making_recorded_file
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.gan.onnx import export_onnx, require_packages
from usgan_cli.gan.sample import load_generator
from usgan_cli.steps.inputs import find_gan
from usgan_cli.terminal.session import Session

REVISION = 1


def run(options: Export, session: Session) -> Outcome:
    """Write a generator as an ONNX model, and check it in onnxruntime."""
    if options.onnx.suffix != ".onnx":
        raise SettingsError(f"{options.onnx} does not end in .onnx.", "Give --onnx FILE.onnx.")
    folder = find_gan(session, options)
    document = read_generator_document(folder)
    inputs, places = {"gan": document.content_digest()}, session.workspace.places(options.onnx, {"gan": folder})
    step = Step("export", REVISION, options.recorded(), inputs, places)
    with making_recorded_file(options.onnx, step, session.request) as making:
        if making.needed:
            require_packages()
            _, generator = load_generator(folder, torch.device("cpu"))
            making.about = export_onnx(document, generator, making.place, noise=options.noise)
    outcome = making.outcome
    if outcome.status == "done":
        session.progress.note(
            f"Its images are the generator's own to {outcome.result['max_difference']:.2g} (pixels span -1 to 1; "
            f"{outcome.result['tolerance']:g} is allowed)."
        )
    return outcome
