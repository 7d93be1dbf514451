"""How wide are intervals of Fréchet and kernel distance by half samples, beside what new samples show?

    python scripts/bench/half_samples.py

Normal features with falling variances; the second set differs from the first not at all, somewhat, or clearly. The
ratio is the mean spread over half samples by the standard deviation over independent samples: above 1 the interval is
conservative.
"""

from __future__ import annotations

import argparse

import numpy as np

from usgan_cli.metrics.bootstrap import half_samples
from usgan_cli.metrics.frechet import frechet_distance, frechet_draws
from usgan_cli.metrics.kid import kernel_distance, kernel_draws

FEATURES, REAL, OTHER, DRAWS = 200, 140, 120, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=120)
    samples = parser.parse_args().samples
    scale = 1 / np.sqrt(1 + np.arange(FEATURES))
    for difference in (0.0, 0.3, 1.0):
        values, spreads = [], []
        for seed in range(samples):
            rng = np.random.default_rng(seed)
            x, y = (rng.standard_normal((count, FEATURES)) * scale for count in (REAL, OTHER))
            y[:, :20] *= 1 + difference
            y[:, :5] += difference
            kernel = kernel_distance(x, y, size=OTHER, subsets=1, generator=rng)
            values.append((frechet_distance(x, y), kernel))
            if seed < samples // 10:
                halves = half_samples(REAL, OTHER, DRAWS, rng)
                spreads.append([draws(x, y, halves).std(ddof=1) for draws in (frechet_draws, kernel_draws)])
        frechet, kernel = np.mean(spreads, axis=0) / np.std(values, axis=0, ddof=1)
        print(f"difference {difference:.1f}: Fréchet distance {frechet:.2f}, kernel distance {kernel:.2f}", flush=True)


if __name__ == "__main__":
    main()
