"""Features of an image that no network was trained for: what `quality.py` judges by beside a pretrained network.

Of each image: moments, percentiles and entropy of its gray values; properties of gray-level co-occurrence matrices at
distances of 1 to 8 pixels, along and across the beam (Haralick, Shanmugam and Dinstein, "Textural features for
image classification", 1973); histograms of uniform local binary patterns (Ojala, Pietikäinen and Mäenpää, 2002);
energies of a Haar decomposition by level and direction; gradients; and a 4 x 4 map of mean gray values. Each is given
in standard deviations from the reference images' mean, as in Konz et al., "Fréchet radiomic distance" (2024).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files

LEVELS = 32
DISTANCES = (1, 2, 4, 8)
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
HAAR_LEVELS = 4
SMALL = 1e-6

Floats = NDArray[np.float64]


class Textures:
    """The features as an extractor (see `usgan_cli.metrics.features.Extractor`)."""

    def __init__(self, reference: Pixels) -> None:
        values = _of_all(reference)
        self.mean, self.std = values.mean(axis=0), values.std(axis=0) + SMALL
        self.dim = len(self.mean)
        self.name = f"textures@{files.sha256_bytes(np.ascontiguousarray(reference).tobytes())[:12]}"

    def __call__(self, pixels: Pixels, *, batch_size: int = 1, progress: Progress | None = None) -> NDArray[np.float32]:  # noqa: ARG002
        """Return the features [N, dim] of uint8 images [N, C, H, W]."""
        return np.asarray((_of_all(pixels) - self.mean) / self.std, dtype=np.float32)


def _of_all(pixels: Pixels) -> Floats:
    gray = pixels.mean(axis=1).round().astype(np.uint8)
    return np.stack([textures(image) for image in gray])


def textures(image: NDArray[np.uint8]) -> Floats:
    """Return the features of a gray image [H, W], sides a multiple of 16 pixels."""
    x = image.astype(np.float64) / 255
    families = (_gray_values(x), _matrices(image), _patterns(image), _scales(x))
    return np.concatenate([part for family in families for part in family])


def _gray_values(x: Floats) -> Iterator[Floats]:
    centred, std = x - x.mean(), x.std()
    yield np.array([x.mean(), std, *((centred**k).mean() / (std**k + SMALL) for k in (3, 4))])
    yield np.percentile(x, [5, 25, 50, 75, 95])
    shares = np.histogram(x, LEVELS, (0, 1))[0] / x.size
    yield np.array([-(shares[shares > 0] * np.log(shares[shares > 0])).sum()])
    down, across = np.gradient(x)
    lengths = np.hypot(down, across)
    yield np.array([lengths.mean(), lengths.std(), (np.abs(down).mean() + SMALL) / (np.abs(across).mean() + SMALL)])
    bands = np.array_split(x, 8)
    yield np.array([band.mean(axis=1).std() for band in bands])


def _matrices(image: NDArray[np.uint8]) -> Iterator[Floats]:
    coarse = image // (256 // LEVELS)
    counts = graycomatrix(coarse, DISTANCES, ANGLES, LEVELS, symmetric=True, normed=True)
    for name in PROPERTIES:
        values = graycoprops(counts, name)  # [distances, angles]
        yield values[:, [0, 2]].ravel()  # across and along the beam
        yield values[:, [1, 3]].mean(axis=1)  # the diagonals, which mirroring exchanges


def _patterns(image: NDArray[np.uint8]) -> Iterator[Floats]:
    for radius in (1, 2):
        codes = local_binary_pattern(image, 8, radius, "uniform")
        yield np.histogram(codes, 10, (0, 10))[0] / image.size


def _scales(x: Floats) -> Iterator[Floats]:
    for _ in range(HAAR_LEVELS):
        sums, differences = (x[:, ::2] + x[:, 1::2]) / 2, (x[:, ::2] - x[:, 1::2]) / 2
        x = (sums[::2] + sums[1::2]) / 2
        details = (sums[::2] - sums[1::2], differences[::2] + differences[1::2], differences[::2] - differences[1::2])
        yield np.array([np.log((detail**2).mean() / 4 + SMALL) for detail in details])
    yield _reduced(x, 4).ravel()


def _reduced(x: Floats, size: int) -> Floats:
    height, width = (side // size for side in x.shape)
    cells: Floats = x[: height * size, : width * size].reshape(size, height, size, width).mean(axis=(1, 3))
    return cells
