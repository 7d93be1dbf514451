"""Judge the search for near-duplicates on a labelled set made of real images, and time it.

    python scripts/bench/near_duplicates.py Dataset_BUSI_with_GT
    python scripts/bench/near_duplicates.py Dataset_BUSI_with_GT --sheets sheets/

Positives: every image beside a transformed copy of itself, in one search over images and copies. Negatives: random
pairs of one class, compared in full without the first stage; those that score as duplicates are listed to be looked
at, since real data has true copies among them. `--sheets` writes the pairs found in the data itself, by score.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.data.copies.descriptors import thumbnail
from usgan_cli.data.copies.groups import find_duplicates
from usgan_cli.data.copies.near import DUPLICATE, RELATED, NearPair, find_near_pairs
from usgan_cli.data.copies.registration import agreement

Draw = np.random.Generator
Transform = Callable[[Image.Image, Draw], Image.Image]


def resize(image: Image.Image, draw: Draw) -> Image.Image:
    factor = 2 ** draw.uniform(-1, 1)
    sides = (round(image.width * factor), round(image.height * factor * draw.uniform(0.95, 1.05)))
    return image.resize(sides, Image.Resampling.BICUBIC)


def crop(image: Image.Image, draw: Draw, most: float = 0.1) -> Image.Image:
    lost = draw.uniform(0.02, most, 2)
    x, y = draw.uniform(0, 1, 2) * lost
    sides = np.array([image.width, image.height] * 2)
    return image.crop(tuple(np.rint(sides * [x, y, x + 1 - lost[0], y + 1 - lost[1]]).astype(int).tolist()))


def crop_5(image: Image.Image, draw: Draw) -> Image.Image:
    return crop(image, draw, 0.05)


def shift(image: Image.Image, draw: Draw, most: float = 0.03) -> Image.Image:
    moved = Image.new("L", image.size)
    x, y = draw.uniform(-most, most, 2) * image.size
    moved.paste(image, (round(x), round(y)))
    return moved


def brightness(image: Image.Image, draw: Draw) -> Image.Image:
    gain = draw.uniform(0.85, 1.15)
    return image.point([min(255, round(v * gain)) for v in range(256)])


def contrast(image: Image.Image, draw: Draw) -> Image.Image:
    gamma, gain, lift = draw.uniform(0.7, 1.4), draw.uniform(0.8, 1.2), draw.uniform(-0.1, 0.1)
    value = ((np.arange(256) / 255) ** gamma - 0.5) * gain + 0.5 + lift
    return image.point(np.rint(np.clip(value, 0, 1) * 255).astype(int).tolist())


def jpeg(image: Image.Image, draw: Draw) -> Image.Image:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=int(draw.integers(30, 96)))
    return Image.open(buffer)


def overlay(image: Image.Image, draw: Draw) -> Image.Image:
    """Burn in two calipers joined by a dotted line, and a line of text."""
    marked = image.copy()
    pen = ImageDraw.Draw(marked)
    x, y = draw.uniform(0.2, 0.6, 2) * image.size
    dx, dy = draw.uniform(0.1, 0.35) * image.width, draw.uniform(-0.1, 0.2) * image.height
    pen.point([(x + dx * t, y + dy * t) for t in np.linspace(0, 1, 14)], fill=255)
    for a, b in ((x, y), (x + dx, y + dy)):
        pen.line((a - 5, b, a + 5, b), fill=255)
        pen.line((a, b - 5, a, b + 5), fill=255)
    corner = (draw.uniform(0.05, 0.6) * image.width, draw.uniform(0.6, 0.9) * image.height)
    pen.text(corner, "RT BREAST UIQ 2.1cm", fill=255, font_size=int(draw.integers(10, 20)))
    return marked


def all_of_them(image: Image.Image, draw: Draw) -> Image.Image:
    for transform in (crop, contrast, overlay, resize, jpeg):
        image = transform(image.convert("L"), draw)
    return image


def mirror(image: Image.Image, draw: Draw) -> Image.Image:  # noqa: ARG001
    return ImageOps.mirror(image)


def mirror_and_all(image: Image.Image, draw: Draw) -> Image.Image:
    return all_of_them(ImageOps.mirror(image), draw)


KINDS: dict[str, Transform] = {
    "resize 0.5-2": resize,
    "crop 2-5 %": crop_5,
    "crop 2-10 %": crop,
    "shift 3 %": shift,
    "brightness 15 %": brightness,
    "contrast, gamma": contrast,
    "JPEG 30-95, RGB": jpeg,
    "calipers, text": overlay,
    "all of these": all_of_them,
    "mirrored": mirror,
    "mirrored, all": mirror_and_all,
}


def seen(image: Image.Image) -> codec.Pixels:
    """Return the thumbnail that preparing would see."""
    return thumbnail(np.asarray(image.convert("L"), dtype=np.uint8)[None])


def judge(originals: list[Image.Image], thumbnails: list[codec.Pixels], own: list[NearPair], workers: int) -> None:
    """Print recall for each kind of copy, and precision beside the data's own pairs."""
    count = len(originals)
    groups = find_duplicates(range(count), [0] * count, own).groups
    print(f"{'copies':18s} recall  lowest   1 %  median  wrong pairs")
    for number, (name, transform) in enumerate(KINDS.items()):
        copies = [seen(transform(image, np.random.default_rng([number, i]))) for i, image in enumerate(originals)]
        both = [*thumbnails, *copies]
        pairs = find_near_pairs(both, Silent(), workers=workers)
        links = {(pair.first, pair.second): pair.score for pair in pairs}
        # Of equal thumbnails (one picture may be in the data twice), the first represents all.
        first = {image.tobytes(): i for i, image in reversed([*enumerate(both)])}
        stands = [first[image.tobytes()] for image in both]
        ends = [(stands[i], stands[i + count]) for i in range(count)]
        score = np.array([1.0 if a == b else links.get((a, b), 0.0) for a, b in ends])
        wrong = 0
        for pair in pairs:
            if pair.score >= DUPLICATE and groups[pair.first % count] != groups[pair.second % count]:
                wrong += 1
        lowest, percent, middle = np.quantile(score, [0, 0.01, 0.5])
        print(f"{name:18s} {(score >= DUPLICATE).mean():6.4f}  {lowest:6.3f} {percent:6.3f}  {middle:6.3f}  {wrong}")


def judge_pairs(names: list[str], thumbnails: list[codec.Pixels], pairs: int) -> list[NearPair]:
    """Print the scores of random pairs of one class, each compared in full; return those of duplicates."""
    draw = np.random.default_rng(0)
    labels = np.array([name.split("/")[0] for name in names])
    first = draw.integers(0, len(names), 20 * pairs)
    second = draw.integers(0, len(names), 20 * pairs)
    chosen = np.flatnonzero((labels[first] == labels[second]) & (first != second))[:pairs]
    first, second = first[chosen], second[chosen]
    scores = []
    for start in range(0, len(first), 8):
        one, two = (np.stack([thumbnails[i] for i in side[start : start + 8]]) for side in (first, second))
        scores += agreement(one, two, np.zeros((len(one), 2), np.float32), np.ones(len(one), np.float32)).tolist()
    print(f"{len(scores)} random pairs of one class: {sum(s >= RELATED for s in scores)} at {RELATED} or above")
    flagged = [
        NearPair(int(min(a, b)), int(max(a, b)), score, mirrored=False)
        for a, b, score in zip(first, second, scores, strict=True)
        if score >= RELATED
    ]
    for pair in flagged:
        print(f"  {pair.score:.3f}  {names[pair.first]} | {names[pair.second]}")
    rest = [s for s in scores if s < RELATED]
    print(f"  the others: 99 % below {np.quantile(rest, 0.99):.3f}, highest {max(rest):.3f}")
    return flagged


def sheet(rows: list[NearPair], names: list[str], thumbnails: list[codec.Pixels], file: Path, columns: int = 4) -> None:
    """Write pairs side by side, two thumbnails and their score each."""
    width, height = 2 * 130 + 10, 144
    page = Image.new("RGB", (columns * width, -(-len(rows) // columns) * height), "white")
    pen = ImageDraw.Draw(page)
    for number, pair in enumerate(rows):
        x, y = number % columns * width, number // columns * height
        pen.text((x, y), f"{pair.score:.3f} {Path(names[pair.first]).stem} | {Path(names[pair.second]).stem}", "black")
        for side, index in enumerate((pair.first, pair.second)):
            page.paste(Image.fromarray(thumbnails[index]), (x + 130 * side, y + 14))
    page.save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of class folders of PNG images")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--pairs", type=int, default=5000, help="random pairs of one class")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    arguments = parser.parse_args()
    paths = [path for path in sorted(arguments.source.glob("*/*.png")) if "_mask" not in path.stem]
    names = [path.relative_to(arguments.source).as_posix() for path in paths]
    originals = [Image.open(path).convert("L") for path in paths]
    thumbnails = [seen(image) for image in originals]

    start = time.perf_counter()
    own = find_near_pairs(thumbnails, Silent(), workers=arguments.workers)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(paths)} images searched in {seconds:.1f} s with {arguments.workers} threads; {memory:.0f} MB at most")
    near = [pair for pair in own if pair.score >= DUPLICATE]
    labels = [name.split("/")[0] for name in names]
    duplicates = find_duplicates(range(len(names)), labels, own)
    grouped = sum(len(group) for group in duplicates.repeated)
    groups, related = len(duplicates.repeated), len(own) - len(near)
    print(f"{len(near)} near-copies, {grouped} images in {groups} groups, {related} related")
    for conflict in duplicates.conflicts:
        print("  conflict: " + " = ".join(names[i] for i in conflict))
    counts, edges = np.histogram([pair.score for pair in own], np.linspace(RELATED, 1, 15))
    print(
        "\n".join(f"  {low:.2f}-{low + 0.05:.2f} {n:4d} {'#' * n}"[:110] for low, n in zip(edges, counts, strict=False))
    )

    flagged = judge_pairs(names, thumbnails, arguments.pairs)
    if arguments.sheets:
        arguments.sheets.mkdir(parents=True, exist_ok=True)
        by_score = sorted(own, key=lambda pair: pair.score)
        sheet([p for p in by_score if p.score < DUPLICATE], names, thumbnails, arguments.sheets / "related.png")
        sheet([p for p in by_score if p.score >= DUPLICATE][:40], names, thumbnails, arguments.sheets / "weakest.png")
        sheet(
            [p for p in near if labels[p.first] != labels[p.second]],
            names,
            thumbnails,
            arguments.sheets / "conflicts.png",
        )
        if flagged:
            sheet(flagged, names, thumbnails, arguments.sheets / "random.png")
    judge(originals, thumbnails, own, arguments.workers)


if __name__ == "__main__":
    main()
