"""Do control arms behave as controls? Studies with real classifiers, whose answer is known.

    python scripts/bench/controls.py WORK [--studies 20]

The argument is a workspace with prepared images. Each study divides them anew and trains linear heads on the features
of a frozen EfficientNet-Lite2, five folds in each repeat, with the same total weight of the data in every arm: real
images alone; as many further copies; stand-ins for a GAN's images (mixtures of two training images of a class with
noise, in feature space); and these under shuffled labels. All comparisons of a study are judged together, as in a
report. Copies must not beat real images alone by more than noise, and shuffled labels must never help.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from usgan_cli.classify.controls import copies, with_shuffled_labels
from usgan_cli.classify.folds import in_file_order, stratified_folds
from usgan_cli.classify.head import fit_heads
from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.images.sets import ImageSet, load_split
from usgan_cli.data.split import stratified_group_split
from usgan_cli.data.subsample import stratified_nested_order
from usgan_cli.metrics.features import cached_features, make_extractor
from usgan_cli.stats.mrmc import Finding, compare_arms, judge

Views = NDArray[np.float32]
"""Features [N, 2, D] of images as they are and mirrored."""
ARMS = {"copies": "real", "gan": "copies", "shuffled": "copies"}
"""Each arm, and what it is compared with."""
TEST, FOLDS = 280, 5
NOISE = 0.3
"""Of the stand-ins for a GAN's images: standard deviation, in those of the training images' features."""


def load(work: Path, every: int, cache: Path) -> tuple[ImageSet, Views]:
    """Return all images of a workspace in the order of their files, with their features."""
    train, test = (load_split(work / "data", side) for side in ("train", "test"))
    parts = {
        name: np.concatenate([getattr(train, name), getattr(test, name)]) for name in ("pixels", "labels", "groups")
    }
    images = ImageSet("all", classes=train.classes, files=train.files + test.files, **parts)
    images = in_file_order(images)
    extractor = make_extractor("efficientnet-lite2", "auto")
    views = (images.pixels, np.ascontiguousarray(images.pixels[..., ::-1]))
    features = [cached_features(extractor, pixels, cache)[:, ::every] for pixels in views]
    return images, np.stack(features, axis=1)


def stand_ins(side: ImageSet, features: Views, total: int, rng: np.random.Generator) -> tuple[ImageSet, Views]:
    """Return `total` stand-ins for images of a GAN that was trained on `side`, in the proportions of its classes."""
    first: list[int] = []
    for class_, quota in enumerate(class_quotas(np.bincount(side.labels).tolist(), total)):
        first += rng.choice(np.flatnonzero(side.labels == class_), quota).tolist()
    labels = side.labels[first]
    second = [int(rng.choice(np.flatnonzero(side.labels == label))) for label in labels]
    share = rng.uniform(0.3, 0.7, (total, 1, 1)).astype(np.float32)
    mixed = share * features[first] + (1 - share) * features[second]
    noise = NOISE * features.std(axis=0) * rng.standard_normal(mixed.shape, dtype=np.float32)
    return side.take(np.array(first)), np.asarray(mixed + noise, dtype=np.float32)


def trained(images: ImageSet, features: Views, in_test: NDArray[np.bool_], n: int, seed: int) -> dict[str, NDArray]:
    """Return of every arm whether each fold classifies each test image correctly [folds, images]."""
    rng = np.random.default_rng(seed)
    pool = np.flatnonzero(~in_test)
    rows = np.sort(pool[stratified_nested_order(images.labels[pool], images.groups[pool], seed)[:n]])
    subset, own = images.take(rows), features[rows]
    folds = stratified_folds(subset, FOLDS, seed)
    made, of_made = stand_ins(subset, own, n, rng)
    shuffled = with_shuffled_labels(made, seed)
    place = {file: i for i, file in enumerate(images.files)}
    counts = np.bincount(subset.labels).tolist()
    right = {}
    for arm in ("real", *ARMS):
        train = []
        for fold in folds:
            x, y = [own[fold.train]], [subset.labels[fold.train]]
            if arm == "copies":
                more = copies(subset.take(fold.train), counts, n, seed, augmented=False)
                x.append(features[[place[file] for file in more.files]])
                y.append(more.labels)
            elif arm != "real":
                x.append(of_made)
                y.append((made if arm == "gan" else shuffled).labels)
            train.append((np.concatenate(x), np.concatenate(y)))
        val = [(own[fold.val], subset.labels[fold.val]) for fold in folds]
        heads, c = fit_heads(train, val, "none", [len(fold.train) for fold in folds])
        guesses = np.stack([head.probability(features[in_test], c).argmax(axis=1) for head in heads])
        right[arm] = (guesses == images.labels[in_test]).astype(np.float64)
    return right


def study(images: ImageSet, features: Views, n: int, repeats: int, seed: int) -> dict[str, Finding]:
    """Simulate one study, and return what it finds of every arm."""
    in_test = stratified_group_split(images.labels, images.groups, TEST, seed)
    each = [trained(images, features, in_test, n, 1000 * seed + repeat) for repeat in range(repeats)]
    right = {arm: np.stack([one[arm] for one in each]) for arm in each[0]}
    clusters = images.groups[in_test]
    effects = [compare_arms(right[arm], right[against], clusters) for arm, against in ARMS.items()]
    return dict(zip(ARMS, judge(effects), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--n", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="use every so many-th feature, which is faster")
    parser.add_argument("--cache", type=Path, default=Path("work/cache"), help="folder for features")
    options = parser.parse_args()
    images, features = load(options.work, options.every, options.cache)
    for n in options.n:
        found: dict[str, list[Finding]] = {arm: [] for arm in ARMS}
        for seed in range(options.studies):
            for arm, finding in study(images, features, n, options.repeats, seed).items():
                found[arm].append(finding)
            words = "  ".join(f"{a} {100 * f[-1].effect.difference:+.1f} {f[-1].verdict}" for a, f in found.items())
            print(f"n = {n}, study {seed}: {words}", flush=True)
        for arm, findings in found.items():
            points = np.array([100 * one.effect.difference for one in findings])
            error = points.std(ddof=1) / np.sqrt(len(points))
            verdicts = [one.verdict for one in findings]
            counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
            spread = f"{points.min():+.1f} to {points.max():+.1f}"
            print(
                f"n = {n}: {arm} against {ARMS[arm]}: {points.mean():+.2f} ± {error:.2f} points (mean, standard error; "
                f"{spread}); {counts}",
                flush=True,
            )


if __name__ == "__main__":
    main()
