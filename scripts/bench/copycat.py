"""Is a generator that stores its training images called one, and an honest one never?

    python scripts/bench/copycat.py WORK_GROUP WORK_IGNORE [--resamples 200]

The arguments are workspaces with the same real images prepared by `usgan prepare --duplicates group` and `ignore`. A
stand-in for a generator makes copies of its n training images, disguised in one way (`DISGUISES`), alone or among nine
times as many honest images: real images that it has not seen and that are not in the reference, as they are or, where
there are too few, under disguises. Honest ones alone are the false alarms: each resample divides all images anew into
training images, test images and "generated" ones, by single images (`ignore`) or by groups of copies. Images that are
copies of others across the split count among the test images, where the check has to cope with them, and not among the
honest ones, since those are copies. Of what the check promises nothing (`LIMITS`, mixtures) the same table says how
much it finds.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from scipy.ndimage import gaussian_filter

from usgan_cli.core.formats.dataset import read_manifest
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet, load_split
from usgan_cli.data.subsample import subsample
from usgan_cli.metrics.features import Features, cached_features, make_extractor
from usgan_cli.metrics.memorization import (
    Measure,
    Nearest,
    Verdict,
    closest_by_measure,
    feature_distances,
    nearest_by_features,
    nearest_by_pixels,
    pixel_distances,
    worst,
)
from usgan_cli.metrics.prdc import Matrix

Draw = np.random.Generator
Rows = NDArray[np.int64]
SIZES = (50, 100, 250, 500)
SHARES = (1.0, 0.1)
COUNT = 500
"""Generated images of a copycat that also makes honest ones."""


def flip(image: Pixels, draw: Draw) -> Pixels:  # noqa: ARG001
    """Mirror an image [1, H, W] left to right."""
    return image[..., ::-1]


def shift(image: Pixels, draw: Draw) -> Pixels:
    """Move an image by up to 4 % of its side; what moves in is black."""
    most = round(0.04 * image.shape[1])
    moved = np.zeros_like(image)
    dy, dx = draw.integers(-most, most + 1, 2)
    height, width = image.shape[1:]
    rows, columns = (slice(max(d, 0), size + min(d, 0)) for d, size in ((dy, height), (dx, width)))
    back = (slice(max(-d, 0), size + min(-d, 0)) for d, size in ((dy, height), (dx, width)))
    moved[:, rows, columns] = image[:, *back]
    return moved


def noise(image: Pixels, draw: Draw) -> Pixels:
    """Add normal noise of 8 to 20 gray levels."""
    return np.clip(np.rint(image + draw.normal(0, draw.uniform(8, 20), image.shape)), 0, 255).astype(np.uint8)


def jpeg(image: Pixels, draw: Draw) -> Pixels:
    """Compress an image with a quality of 20 to 90."""
    buffer = io.BytesIO()
    Image.fromarray(image[0]).save(buffer, "JPEG", quality=int(draw.integers(20, 91)))
    return np.asarray(Image.open(buffer), dtype=np.uint8)[None]


def blur(image: Pixels, draw: Draw) -> Pixels:
    """Blur an image by a Gaussian filter whose sigma is 1/256 to 1/64 of its side."""
    sigma = image.shape[1] * draw.uniform(1 / 256, 1 / 64)
    return gaussian_filter(image, (0, sigma, sigma))


def several(image: Pixels, draw: Draw) -> Pixels:
    """Mirror every other image, and do all the rest to each."""
    for change in (flip,) * int(draw.integers(2)) + (shift, blur, noise, jpeg):
        image = change(image, draw)
    return image


DISGUISES: dict[str, Callable[[Pixels, Draw], Pixels]] = {
    "none": lambda image, _: image,
    "flip": flip,
    "shift": shift,
    "noise": noise,
    "JPEG": jpeg,
    "blur": blur,
    "several": several,
}


def rotate(image: Pixels, draw: Draw) -> Pixels:
    """Turn an image by 5 to 15 degrees."""
    angle = draw.uniform(5, 15) * draw.choice([-1, 1])
    return np.asarray(Image.fromarray(image[0]).rotate(angle, Image.Resampling.BICUBIC), dtype=np.uint8)[None]


def enlarge(image: Pixels, draw: Draw) -> Pixels:
    """Cut out 70 to 85 % of a side, and enlarge it to the whole."""
    size = image.shape[1]
    side = round(size * draw.uniform(0.7, 0.85))
    top, left = draw.integers(0, size - side + 1, 2)
    part = Image.fromarray(np.ascontiguousarray(image[0, top : top + side, left : left + side]))
    return np.asarray(part.resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)[None]


LIMITS: dict[str, Callable[[Pixels, Draw], Pixels]] = {"rotated": rotate, "enlarged": enlarge}
MIXED = "mixed of two"
""""Copies" of which the check promises nothing."""


def disguised(pixels: Pixels, name: str) -> Pixels:
    """Return one disguised copy of every image [N, 1, H, W]; of mixtures, its mean with another image."""
    if name == MIXED:
        other = pixels[np.random.default_rng(0).permutation(len(pixels))]
        return np.asarray((pixels.astype(np.uint16) + other) // 2, dtype=np.uint8)
    change = (DISGUISES | LIMITS)[name]
    draws = (np.random.default_rng([i, *name.encode()]) for i in range(len(pixels)))
    return np.stack([np.ascontiguousarray(change(image, draw)) for image, draw in zip(pixels, draws, strict=True)])


@dataclass(frozen=True)
class World:
    """All real images, and how far they and disguised copies of them are from each."""

    groups: Rows
    """Group of copies [N] of each image."""
    distances: dict[str, dict[Measure, Matrix]]
    """By disguise, from its copies [N] to the images [N] themselves."""

    def __len__(self) -> int:
        return len(self.groups)

    def leaked(self, rows: Rows, *others: Rows) -> NDArray[np.bool_]:
        """Return which of some images are copies of any of the others."""
        return np.isin(self.groups[rows], self.groups[np.concatenate(others)])

    def nearest(self, made: Mapping[str, Rows], real: Rows) -> dict[Measure, Nearest]:
        """Return the nearest of the real images, for images made under each disguise."""

        def between(by: Measure) -> Matrix:
            return np.concatenate([self.distances[name][by][np.ix_(rows, real)] for name, rows in made.items()])

        return {"features": nearest_by_features(between("features")), "pixels": nearest_by_pixels(between("pixels"))}

    def verdict(self, made: Mapping[str, Rows], train: Rows, test: Rows) -> Verdict:
        """Return what `look_for_copies` would call a generator that made these images."""
        test = test[~self.leaked(test, train)]
        real = {"train": {"none": train}, "test": {"none": test}}
        to_train = closest_by_measure(self.nearest(made, train), self.nearest(real["test"], train))
        to_test = closest_by_measure(self.nearest(made, test), self.nearest(real["train"], test))
        return worst([*to_train.values(), *to_test.values()])


def load(work: Path, images: ImageSet, cache: Path) -> World:
    """Measure all distances once; those in features take minutes for each disguise, and are kept in `cache`."""
    extractor = make_extractor("efficientnet-lite2", "auto")

    def features(pixels: Pixels) -> Features:
        return cached_features(extractor, pixels, cache)

    real = features(images.pixels)
    distances: dict[str, dict[Measure, Matrix]] = {}
    for name in (*DISGUISES, *LIMITS, MIXED):
        made = disguised(images.pixels, name)
        by_pixels = pixel_distances(made, images.pixels)
        distances[name] = {"features": feature_distances(features(made), real), "pixels": by_pixels}
        print(f"distances of {name}", flush=True)
    duplicates = read_manifest(work / "data").duplicates
    group_of = {file: i for i, group in enumerate(duplicates) for file in group}
    groups = [group_of.get(file, len(duplicates) + i) for i, file in enumerate(images.files)]
    return World(np.array(groups, dtype=np.int64), distances)


def all_images(work: Path) -> ImageSet:
    """Return the images of both sides in the order of their files, which is the same for both policies."""
    sides = [load_split(work / "data", side) for side in ("train", "test")]
    order = np.argsort(np.concatenate([side.files for side in sides]), kind="stable")
    one = sides[0]
    files = tuple(np.concatenate([side.files for side in sides])[order].tolist())
    pixels, labels, groups = (
        np.concatenate([getattr(side, name) for side in sides])[order] for name in ("pixels", "labels", "groups")
    )
    return ImageSet("all", pixels, labels, one.classes, files, groups)


def unseen(world: World, train: Rows, test: Rows, draw: Draw) -> tuple[Rows, Rows]:
    """Return honest images, which copy neither training nor test images, and the test images that are left.

    Where nearly all images are one or the other, half of the test images are the honest ones.
    """
    rest = np.setdiff1d(np.arange(len(world)), np.concatenate([train, test]))
    if len(rest) < len(test) // 2:
        test = draw.permutation(test)
        rest, test = test[: len(test) // 2], test[len(test) // 2 :]
    return rest[~world.leaked(rest, train, test)], test


def planted(world: World, work: Path, images: ImageSet, seeds: int) -> None:
    """Print how many planted copycats are called so, of as many as there are seeds."""
    manifest = read_manifest(work / "data")
    row = {file: i for i, file in enumerate(images.files)}
    test = np.array([row[image.file] for image in manifest.of("test")])
    print(f"\n--duplicates {manifest.duplicate_policy}: called copies / may be, of {seeds} subsets")
    print(f"{'share':>6}{'n':>5}{'left out':>10}" + "".join(f"{name:>14}" for name in world.distances))
    for share in SHARES:
        for n in SIZES:
            called: dict[str, list[Verdict]] = {name: [] for name in world.distances}
            left_out = []
            for seed in range(seeds):
                draw = np.random.default_rng([seed, n])
                train = np.array([row[file] for file in subsample(manifest, n, seed).images])
                left_out.append(int(world.leaked(test, train).sum()))
                honest, others = unseen(world, train, test, draw)
                copied = draw.permutation(train)[: n if share == 1 else round(share * COUNT)]
                fill = spread(honest, COUNT - len(copied), draw) if share < 1 else {}
                for name, verdicts in called.items():
                    made = fill | {name: np.concatenate([fill.get(name, test[:0]), copied])}
                    verdicts.append(world.verdict(made, train, test if share == 1 else others))
            cells = [f"{v.count('copies')} / {v.count('some')}" for v in called.values()]
            between = f"{min(left_out)}-{max(left_out)}"
            print(f"{100 * share:5.0f}%{n:5}{between:>10}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def spread(honest: Rows, count: int, draw: Draw) -> dict[str, Rows]:
    """Return so many images, each of the honest ones under as few disguises as it takes."""
    each = [(name, draw.permutation(honest)) for name in DISGUISES]
    made: dict[str, Rows] = {}
    for name, rows in each:
        made[name] = rows[:count]
        count -= len(made[name])
    return {name: rows for name, rows in made.items() if len(rows)}


def false_alarms(world: World, resamples: int, *, by_group: bool) -> None:
    """Print how often honest images are called copies, with exact 95 % intervals."""
    print(f"\nhonest images alone, divided by {'groups of copies' if by_group else 'single images'}")
    units = world.groups if by_group else np.arange(len(world))
    for n in SIZES:
        called: list[Verdict] = []
        counts = []
        for seed in range(resamples):
            draw = np.random.default_rng([seed, n, by_group])
            place = np.empty(int(units.max()) + 1)
            place[np.unique(units)] = draw.permutation(len(np.unique(units)))
            order = np.lexsort((draw.random(len(world)), place[units]))
            test, train = order[:280], draw.permutation(order[280:])[:n]
            honest, test = unseen(world, train, test, draw)
            counts.append(len(honest))
            called.append(world.verdict({"none": honest}, train, test))
        texts = []
        for word in ("copies", "some"):
            times = called.count(word)
            high = stats.binomtest(times, resamples).proportion_ci().high
            texts.append(f"{word} {times} of {resamples} (at most {100 * high:.1f} %)")
        print(f"  n = {n}: {min(counts)} to {max(counts)} images; " + ", ".join(texts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", type=Path, help="workspace prepared with --duplicates group")
    parser.add_argument("ignore", type=Path, help="the same with --duplicates ignore")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path("work/cache"), help="folder for features")
    options = parser.parse_args()
    images = all_images(options.group)
    world = load(options.group, images, options.cache)
    for by_group in (True, False):
        false_alarms(world, options.resamples, by_group=by_group)
    for work in (options.group, options.ignore):
        planted(world, work, images, options.seeds)


if __name__ == "__main__":
    main()
