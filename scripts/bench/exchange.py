"""How often the interval of the exchange rate holds the true number of real images, in simulated studies.

    python scripts/bench/exchange.py [--studies 1000] [--only KIND] [--bootstrap]

A curve of real images alone at four sizes and one training setting that does as well as `TRUE` real images are
simulated as in `null_rates.py`: its first four arms stand for the sizes, its primary one for the setting. Printed are
the share of studies whose interval holds `TRUE`, the share in which it is open, and the median of its ends.
`--bootstrap` adds the percentiles of a joint bootstrap over repeats and clusters of test images that fits the curve
again each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from null_rates import ARMS, COPIES, REAL, WORLDS, World, rate, simulate
from numpy.typing import NDArray

from usgan_cli.core.formats.comparison import RealImages
from usgan_cli.core.store.workspace import TrainingSet
from usgan_cli.stats.exchange import Curve, worth
from usgan_cli.stats.mrmc import Floats

SIZES, CURVE = (50, 100, 250, 500), (0.65, 0.70, 0.74, 0.77)
TRUE = 180
PLACES = [ARMS.index(one) for one in (REAL, *COPIES, TrainingSet("none", 1.0))]
KINDS = {
    "as measured": WORLDS["measured"],
    "trainings twice": WORLDS["doubled"],
    "shared images": WORLDS["images"],
    "failing": WORLDS["failing"],
    "trainings five times": World(gan_training=0.16, arm_training=0.1),
}
RESAMPLED = 400
Clusters = NDArray[np.int64]
Method = Callable[[Floats, Clusters, np.random.Generator], RealImages]


def inverted(scores: Floats, clusters: Clusters, _: np.random.Generator) -> RealImages:
    """Return the interval of the package."""
    return worth(SIZES, scores[:-1], scores[-1], clusters)[1]


def bootstrap(scores: Floats, clusters: Clusters, rng: np.random.Generator) -> RealImages:
    """Return the percentiles of a bootstrap over repeats and clusters together."""
    _, repeats, _ = scores.shape
    counts = np.bincount(clusters)
    sums = np.stack([[np.bincount(clusters, row) for row in arm] for arm in scores])
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLED)
    again = rng.multinomial(repeats, np.full(repeats, 1 / repeats), RESAMPLED)
    means = np.einsum("arc,bc,br->ba", sums, drawn, again, optimize=True) / (drawn @ counts)[:, None] / repeats
    found = [Curve.fit(SIZES, row[:-1]).read(row[-1]) for row in means]
    low = np.quantile([0 if one.below else one.low for one in found], 0.025, method="lower")
    high = np.quantile([np.inf if one.above else one.high for one in found], 0.975, method="higher")
    first, last = SIZES[0], SIZES[-1]
    return RealImages(low=max(low, first), high=min(high, last), below=low < first, above=high > last)


def holds(interval: RealImages) -> bool:
    return (interval.below or interval.low <= TRUE) and (interval.above or interval.high >= TRUE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default="", help="simulate the kinds with these words in their name alone")
    parser.add_argument("--bootstrap", action="store_true")
    args = parser.parse_args()
    methods: dict[str, Method] = {"inverted": inverted} | ({"bootstrap": bootstrap} if args.bootstrap else {})
    accuracy = np.full(len(ARMS), CURVE[1])
    accuracy[PLACES] = *CURVE, np.interp(np.log(TRUE), np.log(SIZES), CURVE)
    for kind, world in ((kind, world) for kind, world in KINDS.items() if args.only in kind):
        for repeats in (2, 3, 5, 10):
            rng = np.random.default_rng([args.studies, repeats, *kind.encode()])
            studies = []
            for _ in range(args.studies):
                right, clusters = simulate(rng, world, accuracy, repeats)
                studies.append((right[PLACES].mean(2, dtype=np.float64), clusters))
            for name, method in methods.items():
                found = [method(*study, rng) for study in studies]
                low, high = np.median([(one.low, one.high) for one in found], axis=0)
                open_ = np.mean([one.below or one.above for one in found])
                covers, ends = rate(map(holds, found)), f"{low:3.0f} to {high:3.0f}"
                print(
                    f"{kind:20} {repeats:2} repeats  {name:9} {covers}  open {100 * open_:3.0f} %  {ends}", flush=True
                )


if __name__ == "__main__":
    main()
