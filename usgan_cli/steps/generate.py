"""`usgan generate`: make images with a trained GAN, or one picture that shows what it makes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from usgan_cli.commands.generate import GIF_FRAMES, STRIP_FRAMES, Generate
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import GeneratorDocument, read_generator_document
from usgan_cli.core.formats.synthetic import read_synthetic_manifest
from usgan_cli.core.images import codec
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.precision import resolve_precision
from usgan_cli.core.store.lifecycle import making_folder
from usgan_cli.core.store.recorded_file import making_recorded_file
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.gan import pictures
from usgan_cli.gan.sample import Sampling, generate, load_generator, pick_classes, row_of_seeds
from usgan_cli.steps.inputs import find_gan
from usgan_cli.terminal.session import Session

REVISION = 1


@dataclass(frozen=True)
class Trained:
    """A trained generator, and how images are made with it."""

    folder: Path
    document: GeneratorDocument
    device: torch.device
    sampling: Sampling
    classes: list[str] | None

    def step(self, options: Generate, about: dict[str, Any], target: Path, session: Session) -> Step:
        """Return the step that makes these images in `target`; `about` says which they are."""
        settings = options.recorded(self.sampling) | {"seed": self.document.seed}
        settings |= {} if self.classes is None else {"classes": self.classes}
        inputs, places = {"gan": self.document.content_digest()}, session.workspace.places(target, {"gan": self.folder})
        return Step("generate", REVISION, settings | about, inputs, places)


def run(options: Generate, session: Session) -> Outcome:
    """Make a folder of images, or one picture."""
    _check_together(options)
    trained = _find(options, session)
    if options.grid is not None or options.interpolate is not None:
        return _make_picture(options, session, trained)
    return _make_images(options, session, trained)


def _find(options: Generate, session: Session) -> Trained:
    folder = find_gan(session, options)
    document = read_generator_document(folder)
    device = devices.resolve_device(options.device)
    precision = resolve_precision(options.precision, device.type)
    sampling = Sampling(options.truncation, options.noise, precision)
    return Trained(folder, document, device, sampling, _classes(document, options.classes))


def _make_images(options: Generate, session: Session, trained: Trained) -> Outcome:
    document = trained.document
    seeds = _seeds(options, document)
    own = options.seeds is not None
    # The name of the GAN alone is that of the set which later steps look for.
    form = options.format_
    words = [document.name, *(trained.classes or []), *(["seeds"] * own), *([form] * (form != "png"))]
    target = options.out or session.workspace.named_synthetic("-".join(words))
    about = {"count": len(seeds)} | ({"seeds": spell_seeds(seeds)} if own else {})
    step = trained.step(options, about, target, session)
    with making_folder(target, step, _summary, session.request) as making:
        if making.needed:
            making.document = generate(
                trained.folder,
                making.place,
                trained.device,
                session.progress,
                seeds=seeds,
                sampling=trained.sampling,
                classes=trained.classes,
                form=form,
            )
    return making.outcome


def _summary(path: Path) -> dict[str, Any]:
    manifest = read_synthetic_manifest(path)
    counts = Counter(image.class_ for image in manifest.images)
    return {
        "gan": manifest.gan_name,
        "format": manifest.form,
        "count": len(manifest.images),
        "counts": {name: counts[name] for name in manifest.classes},
        "seeds": spell_seeds([image.seed for image in manifest.images]),
    }


def _make_picture(options: Generate, session: Session, trained: Trained) -> Outcome:
    """Make the file of a grid or of the way between two seeds, with its record beside it."""
    labels = pick_classes(trained.document, trained.classes)
    about: dict[str, Any]
    if options.interpolate is not None:
        first, last = options.interpolate
        frames = options.frames or (GIF_FRAMES if options.gif else STRIP_FRAMES)
        about = {"interpolate": [first, last], "frames": frames, "gif": options.gif}
        name = f"{first}-{last}.{'gif' if options.gif else 'png'}"
    else:
        columns, rows = _shape(options.grid or "", len(labels))
        seeds = _grid_seeds(options, trained.document, columns, rows, len(labels))
        about = {"grid": f"{columns}x{rows}", "seeds": None if options.seeds is None else spell_seeds(seeds)}
        name = "grid.png"
    path = options.out or session.workspace.picture(f"{trained.document.name}-{name}")
    suffix = Path(name).suffix
    if path.suffix.lower() != suffix:
        raise SettingsError(f"{path} would be a {suffix[1:].upper()} file.", f"Give --out FILE{suffix}.")
    with making_recorded_file(path, trained.step(options, about, path, session), session.request) as making:
        if making.needed:
            _, generator = load_generator(trained.folder, trained.device)
            generator.compute_dtype = devices.torch_dtype(trained.sampling.precision)
            if options.interpolate is not None:
                strips = pictures.interpolate(generator, labels, options.interpolate, frames, trained.sampling)
                making.place.write_bytes(_drawn(strips, gif=options.gif))
            else:
                sheet = pictures.grid(generator, labels, columns, rows, seeds, trained.sampling)
                making.place.write_bytes(codec.encode_png(sheet))
            making.about = {"gan": trained.document.name, "classes": trained.classes or trained.document.classes}
            making.about |= about
    return making.outcome


def _drawn(strips: list[list[codec.Pixels]], *, gif: bool) -> bytes:
    """Return the rows of a way between seeds as one sheet, or frame by frame."""
    if not gif:
        return codec.encode_png(codec.sheet(strips))
    frames = [codec.sheet([list(frame)]) for frame in zip(*strips, strict=True)]
    return pictures.encode_gif(pictures.there_and_back(frames))


def _check_together(options: Generate) -> None:
    """Raise for an option without the one it belongs to, or beside one that makes it meaningless."""
    if options.seeds is not None and options.count is not None:
        raise SettingsError("--seeds decides how many images there are; leave out --count.")
    if options.interpolate is None and (options.gif or options.frames is not None):
        raise SettingsError(f"{'--gif' if options.gif else '--frames'} goes with --interpolate SEED SEED.")
    if options.grid is not None and options.interpolate is not None:
        raise SettingsError("--grid and --interpolate are two pictures; make them one after the other.")
    if options.grid is not None and (options.count is not None or options.format_ != "png"):
        raise SettingsError("--grid makes one picture: leave out --count and --format.")
    others = (options.count, options.seeds, options.format_)
    if options.interpolate is not None and others != (None, None, "png"):
        raise SettingsError("--interpolate makes one picture: leave out --count, --format and --seeds.")


def _classes(document: GeneratorDocument, text: str | None) -> list[str] | None:
    """Return the classes named in `text` in the generator's order, or None for all of them."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SettingsError("--classes names none.", f"{document.name} has {', '.join(document.classes)}.")
    chosen = [document.classes[i] for i in pick_classes(document, names)]
    return None if chosen == document.classes else chosen


def _seeds(options: Generate, document: GeneratorDocument) -> list[int]:
    if options.seeds is not None:
        return parse_seeds(options.seeds)
    count = options.count or max(round(options.ratio * document.n), options.at_least)
    if count == 0:
        raise SettingsError("--ratio 0 and --at-least 0 make no images.", "Give --count or a greater --ratio.")
    return row_of_seeds(document.seed, count)


def _grid_seeds(options: Generate, document: GeneratorDocument, columns: int, rows: int, classes: int) -> list[int]:
    """Return the seeds that each class of a grid shows."""
    needed = columns * -(-rows // classes)
    seeds = row_of_seeds(document.seed, needed) if options.seeds is None else parse_seeds(options.seeds)
    if len(seeds) != needed:
        raise SettingsError(f"--grid {columns}x{rows} shows {needed} seeds of every class; --seeds has {len(seeds)}.")
    return seeds


def _shape(text: str, classes: int) -> tuple[int, int]:
    """Return columns and rows of `8` or `8x3`, with a row at least for each class."""
    match = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is not the shape of a grid.", "Use --grid 8, or --grid 8x3 for 3 rows.")
    columns, rows = int(match[1]), int(match[2] or classes)
    if rows < classes:
        raise SettingsError(
            f"{rows} rows do not show {classes} classes.", "Give more rows, or name fewer in --classes."
        )
    return columns, rows


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text like `0-99,200` lists, in its order; a range goes up, and no seed comes twice."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,15})(?:-(\d{1,15}))?\s*", part)
        if match is None:
            raise SettingsError(f"{part.strip()!r} in --seeds is not a seed or a range.", "Write 0-99,200.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= 10_000_000:
            raise SettingsError(f"{part.strip()!r} in --seeds runs backwards or is too long.", "Write 0-99,200.")
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise SettingsError("A seed comes twice in --seeds; it would make the same image again.")
    return seeds


def spell_seeds(seeds: list[int]) -> str:
    """Return the one text for a list of seeds that `parse_seeds` reads: 0-99,200."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
