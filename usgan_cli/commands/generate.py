"""`usgan generate`: make images with a trained GAN, or one picture that shows what it makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import named_or_selected
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    import torch

    from usgan_cli.core.formats.generator import GeneratorDocument
    from usgan_cli.core.formats.synthetic import SyntheticFormat, SyntheticManifest
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.gan.networks import Generator
    from usgan_cli.gan.sample import Sampling

REVISION = 1
PICTURE = "One picture in place of a set of images"
STRIP_FRAMES, GIF_FRAMES = 9, 30


@dataclass(frozen=True)
class Source:
    """The generator that images are to come from, and what all ways of using it have in common."""

    folder: Path
    document: GeneratorDocument
    device: torch.device
    sampling: Sampling
    classes: list[str] | None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        some = {} if self.classes is None else {"classes": self.classes}
        return {**asdict(self.sampling), "seed": self.document.seed, **some}


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
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Make only these classes, in their proportions (default: all).",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="0-99,200",
            help="Seeds of the images, as their files are named (default: on from 1000000 x the GAN's --seed).",
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="png (files by class), zip (images.zip, as the original StyleGAN2-ADA trainers read it) or npz "
            "(images.npz: images, labels, class_names, seeds). score and train-cls read all three.",
        ),
    ] = "png",
    truncation: Annotated[
        float, typer.Option(min=0, max=1, help="Psi: 1 for the whole distribution; less is safer and less varied.")
    ] = 1.0,
    noise: Annotated[
        str, typer.Option(help="random (each image its own, from its seed), const (one for all) or none.")
    ] = "random",
    precision: Annotated[
        str, typer.Option(help="Arithmetic of the fast layers: float32, bf16, fp16, or auto (bf16 where it is fast).")
    ] = "float32",
    device: options.Device = "auto",
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="COLS[xROWS]",
            help="Write only a PNG of so many images, in place of a folder: rows by class, each class the same seeds "
            "(rows: one a class by default).",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    interpolate: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="SEED SEED",
            min=0,
            help="Write only a PNG, in place of a folder: the way from one seed to another in W, a row a class.",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    gif: Annotated[
        bool,
        typer.Option(
            "--gif", help="With --interpolate: an endless GIF of the way there and back.", rich_help_panel=PICTURE
        ),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(
            min=2,
            help=f"With --interpolate: images on the way, both ends counted (default: {STRIP_FRAMES}; "
            f"{GIF_FRAMES} for a GIF).",
            rich_help_panel=PICTURE,
        ),
    ] = None,
) -> Outcome:
    """Make images in the class proportions of the GAN's training images; fewer images are a start of more.

    With --grid or --interpolate, make one picture instead (default: WORK/pictures/NAME-....png or .gif).
    """
    from usgan_cli.core.formats.generator import read_generator_document
    from usgan_cli.core.formats.synthetic import SyntheticFormat
    from usgan_cli.core.machine import device as devices
    from usgan_cli.core.machine.memory import keep_freed_memory
    from usgan_cli.gan.sample import Sampling, row_of_seeds

    if noise not in {"random", "const", "none"}:
        raise SettingsError(f"{noise!r} is not a kind of noise.", "Use --noise random, const or none.")
    if format_ not in get_args(SyntheticFormat):
        raise SettingsError(f"{format_!r} is not a format.", "Use --format png, zip or npz.")
    _check_together(grid, interpolate, gif, frames, count=count, seeds=seeds, format_=format_)
    folder = named_or_selected(session, gan, "gan", aug, n, seed)
    document = read_generator_document(folder)
    where = devices.resolve_device(device)
    if where.type == "cpu":
        keep_freed_memory()
    sampling = Sampling(truncation, noise, devices.resolve_precision(precision, where))
    source = Source(folder, document, where, sampling, _classes(document, classes))
    if grid is not None:
        return _grid(session, source, out, grid, seeds)
    if interpolate is not None:
        return _interpolate(session, source, out, interpolate, frames, gif)
    if seeds is not None:
        chosen = parse_seeds(seeds)
    else:
        wanted = count if count is not None else max(round(ratio * document.n), at_least)
        if wanted == 0:
            raise SettingsError("--ratio 0 and --at-least 0 make no images.", "Give --count or a greater --ratio.")
        chosen = row_of_seeds(document.seed, wanted)
    return _images(session, source, out, chosen, cast("SyntheticFormat", format_), named=seeds is not None)


def _images(
    session: Session, source: Source, out: Path | None, seeds: list[int], form: SyntheticFormat, *, named: bool
) -> Outcome:
    """Make a folder of images; `named` seeds are the user's own choice."""
    from usgan_cli.core.formats.synthetic import read_synthetic_manifest
    from usgan_cli.core.store import lifecycle

    def work(target: Path) -> SyntheticManifest:
        from usgan_cli.gan.sample import generate as make

        return make(
            source.folder,
            target,
            source.device,
            session.progress,
            seeds=seeds,
            sampling=source.sampling,
            classes=source.classes,
            form=form,
        )

    def summary(path: Path) -> dict[str, Any]:
        manifest = read_synthetic_manifest(path)
        counts = {name: sum(i.class_ == name for i in manifest.images) for name in manifest.classes}
        told = {"gan": manifest.gan_name, "format": manifest.form, "count": len(manifest.images), "counts": counts}
        return {**told, "seeds": _spelled([i.seed for i in manifest.images])}

    # What is as ever goes unsaid, so that images made before there was a choice still stand.
    settings = {**source.settings, "count": len(seeds)}
    if named:
        settings["seeds"] = _spelled(seeds)
    if form != "png":
        settings["format"] = form
    step = lifecycle.Step("generate", REVISION, settings, {"gan": source.document.content_digest()})
    # The GAN's own place is that of the set which later steps look for.
    words = [source.document.name, *(source.classes or []), *(["seeds"] * named), *([form] * (form != "png"))]
    return lifecycle.make_folder(
        out or session.workspace.root / "synthetic" / "-".join(words), step, work, summary, session.request
    )


def _grid(session: Session, source: Source, out: Path | None, shape: str, seeds: str | None) -> Outcome:
    """Make a picture with rows by class."""
    from usgan_cli.core.images import codec
    from usgan_cli.gan.sample import pick_classes, row_of_seeds

    labels = pick_classes(source.document, source.classes)
    columns, rows = _shape(shape, len(labels))
    needed = columns * -(-rows // len(labels))
    chosen = row_of_seeds(source.document.seed, needed) if seeds is None else parse_seeds(seeds)
    if len(chosen) != needed:
        raise SettingsError(f"--grid {columns}x{rows} shows {needed} seeds of every class; --seeds has {len(chosen)}.")

    def draw(generator: Generator) -> bytes:
        from usgan_cli.gan import pictures

        return codec.encode_png(pictures.grid(generator, labels, columns, rows, chosen, source.sampling))

    settings = {"grid": f"{columns}x{rows}", "seeds": None if seeds is None else _spelled(chosen)}
    return _picture(session, source, out, "grid.png", settings, draw)


def _interpolate(
    session: Session, source: Source, out: Path | None, ends: tuple[int, int], frames: int | None, gif: bool
) -> Outcome:
    """Make a picture of the way from one seed to another."""
    from usgan_cli.core.images import codec
    from usgan_cli.gan.sample import pick_classes

    labels = pick_classes(source.document, source.classes)
    steps = frames or (GIF_FRAMES if gif else STRIP_FRAMES)

    def draw(generator: Generator) -> bytes:
        from usgan_cli.gan import pictures

        rows = pictures.interpolate(generator, labels, ends, steps, source.sampling)
        if not gif:
            return codec.encode_png(codec.sheet(rows))
        return pictures.encode_gif(pictures.there_and_back([codec.sheet([frame]) for frame in zip(*rows, strict=True)]))

    settings = {"interpolate": list(ends), "frames": steps, "gif": gif}
    name = f"{ends[0]}-{ends[1]}.{'gif' if gif else 'png'}"
    return _picture(session, source, out, name, settings, draw)


def _picture(
    session: Session,
    source: Source,
    out: Path | None,
    name: str,
    settings: dict[str, Any],
    draw: Callable[[Generator], bytes],
) -> Outcome:
    """Make a picture's file, with its record beside it."""
    from usgan_cli.core.machine.device import torch_dtype
    from usgan_cli.core.store import lifecycle
    from usgan_cli.core.store.lifecycle import make_recorded_file
    from usgan_cli.gan.sample import load_generator

    path = out or session.workspace.root / "pictures" / f"{source.document.name}-{name}"
    suffix = Path(name).suffix
    if path.suffix.lower() != suffix:
        raise SettingsError(f"{path} would be a {suffix[1:].upper()} file.", f"Give --out FILE{suffix}.")

    def work(target: Path) -> dict[str, Any]:
        _, generator = load_generator(source.folder, source.device)
        generator.compute_dtype = torch_dtype(source.sampling.precision)
        target.write_bytes(draw(generator))
        rows = source.classes or source.document.classes
        return {"gan": source.document.name, "classes": rows, **settings}

    step = lifecycle.Step(
        "generate", REVISION, {**source.settings, **settings}, {"gan": source.document.content_digest()}
    )
    return make_recorded_file(path, step, work, session.request)


def _check_together(
    grid: str | None, interpolate: tuple[int, int] | None, gif: bool, frames: int | None, **others: Any
) -> None:
    """Raise where options stand without the one they belong to, or beside one that leaves them nothing to say."""
    if others["seeds"] is not None and others["count"] is not None:
        raise SettingsError("--seeds says how many images there are; leave out --count.")
    if interpolate is None and (gif or frames is not None):
        raise SettingsError(f"{'--gif' if gif else '--frames'} goes with --interpolate SEED SEED.")
    if grid is not None and interpolate is not None:
        raise SettingsError("--grid and --interpolate are two pictures; make them one after the other.")
    if grid is not None and (others["count"] is not None or others["format_"] != "png"):
        raise SettingsError("--grid makes one picture: leave out --count and --format.")
    if interpolate is not None and (others != {"count": None, "seeds": None, "format_": "png"}):
        raise SettingsError("--interpolate makes one picture: leave out --count, --format and --seeds.")


def _classes(document: GeneratorDocument, text: str | None) -> list[str] | None:
    """Return the classes named in `text` in the generator's order, or None for all of them."""
    from usgan_cli.gan.sample import pick_classes

    if text is None:
        return None
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    if not wanted:
        raise SettingsError("--classes names none.", f"{document.name} has {', '.join(document.classes)}.")
    chosen = [document.classes[i] for i in pick_classes(document, wanted)]
    return None if chosen == document.classes else chosen


def _shape(text: str, classes: int) -> tuple[int, int]:
    """Return columns and rows of `8` or `8x3`, with a row at least for each class."""
    found = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is not the shape of a grid.", "Use --grid 8, or --grid 8x3 for 3 rows.")
    columns, rows = int(found[1]), int(found[2] or classes)
    if rows < classes:
        raise SettingsError(
            f"{rows} rows do not show {classes} classes.", "Give more rows, or name fewer in --classes."
        )
    return columns, rows


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text like `0-99,200` lists, in its order.

    Raises
    ------
    SettingsError
        It is not such a list, a range runs backwards, or a seed comes twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,15})(?:-(\d{1,15}))?\s*", part)
        if found is None:
            raise SettingsError(f"{part.strip()!r} in --seeds is not a seed or a range.", "Write 0-99,200.")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= 10_000_000:
            raise SettingsError(f"{part.strip()!r} in --seeds runs backwards or is too long.", "Write 0-99,200.")
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise SettingsError("A seed comes twice in --seeds; it would make the same image again.")
    return seeds


def _spelled(seeds: list[int]) -> str:
    """Return the one text for a list of seeds that `parse_seeds` reads: 0-99,200."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
