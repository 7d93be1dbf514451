"""Which images are called too weak to judge?

    python scripts/bench/enough.py WORK PHANTOMS [--resamples 50]

The arguments are a workspace with prepared images of 256 pixels, and a folder made by `usgan phantom` with such. Real
images that stand in for a generator's must never be called so (at 25 to 250 images against 280 others); blurred and
noisy ones, images of a quarter of the resolution, white noise and phantoms always. Mixtures of two real images show
that images which are close to the real ones pass.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import stats
from scipy.ndimage import gaussian_filter

from usgan_cli.core.formats.score import Quality
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import load_split
from usgan_cli.metrics.baselines import blurred
from usgan_cli.metrics.features import Features, cached_features, make_extractor
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.metrics.prdc import distances, prdc
from usgan_cli.metrics.quality import probe, quality

REFERENCE, UNREAL = 280, 160
SIZES = (25, 50, 100, 250)


def judged(reference: Features, other: Features, yardstick: Features) -> tuple[Quality, str]:
    """Return whether images are good enough, and what decides it."""
    precision, _, _, coverage = prdc(distances(reference, other))
    fd, far = frechet_distance(reference, other), frechet_distance(reference, yardstick)
    scores = SimpleNamespace(fd=fd, precision=float(precision), coverage=float(coverage))
    found = quality(scores, probe(reference, other, 0), None, far, len(yardstick))  # type: ignore[arg-type]
    auc = "" if found.probe is None else f", AUC {found.probe.auc:.3f} from {found.probe.interval[0]:.3f}"
    numbers = f"FD {fd:.1f} (blurred {far:.1f}), precision {precision:.2f}, coverage {coverage:.2f}{auc}"
    return found, numbers


def unreal(real: Pixels, phantoms: Path) -> dict[str, Pixels]:
    """Return images that are not real ones, by what they are; all but the last must be called too weak."""
    some, rng = real[:UNREAL], np.random.default_rng(0)
    files = sorted(phantoms.glob("*/*.png"))[:UNREAL]
    size = real.shape[2]
    return {
        "blurred": blurred(some),
        "phantoms": np.stack([codec.fit(codec.decode(path), size) for path in files]),
        "white noise": rng.integers(0, 256, (UNREAL // 2, *real.shape[1:])).astype(np.uint8),
        "blurred half as much": gaussian_filter(some, (0, 0, size / 64, size / 64)),
        "noisy": np.clip(some + rng.normal(0, 16, some.shape), 0, 255).astype(np.uint8),
        "a quarter of the resolution": np.stack([codec.fit(codec.fit(image, size // 4), size) for image in some]),
        "mixtures": ((some.astype(int) + real[UNREAL : 2 * UNREAL]) // 2).astype(np.uint8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("phantoms", type=Path)
    parser.add_argument("--resamples", type=int, default=50)
    parser.add_argument("--cache", type=Path, default=Path("work/cache"), help="folder for features")
    options = parser.parse_args()
    sides = [load_split(options.work / "data", side) for side in ("train", "test")]
    order = np.argsort(np.concatenate([side.files for side in sides]), kind="stable")
    pixels = np.concatenate([side.pixels for side in sides])[order]
    extractor = make_extractor("efficientnet-lite2", "auto")
    every = cached_features(extractor, pixels, options.cache)
    rows = np.random.default_rng(5).permutation(len(pixels))
    made = unreal(pixels[rows], options.phantoms)
    features = {name: cached_features(extractor, images, options.cache) for name, images in made.items()}
    reference = every[rows[2 * UNREAL :][:REFERENCE]]
    for name, other in features.items():
        found, numbers = judged(reference, other, features["blurred"])
        print(f"{name:28} {'too weak' if found.weak else 'enough':9} {numbers}", flush=True)
    for count in SIZES:
        weak = 0
        for seed in range(options.resamples):
            drawn = np.random.default_rng([seed, count]).permutation(len(every))
            other = every[drawn[REFERENCE : REFERENCE + count]]
            weak += judged(every[drawn[:REFERENCE]], other, features["blurred"])[0].weak
        high = stats.binomtest(weak, options.resamples).proportion_ci().high
        print(f"{count} real images: too weak {weak} of {options.resamples} (at most {100 * high:.1f} %)", flush=True)


if __name__ == "__main__":
    main()
