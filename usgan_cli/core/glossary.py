"""What the figures in the terminal's tables and lines of progress are, each in a few words."""

from __future__ import annotations

from collections.abc import Iterable

_DISTANCE = "distance of the images from real ones in a network's features; 0: alike"
_KERNEL = "the same distance by another formula, hardly biased where images are few"
FIGURES = {
    "FID": _DISTANCE,
    "FD": _DISTANCE,
    "KID": _KERNEL,
    "KD": _KERNEL,
    "JS": "distance of their gray values, 0 to 1",
    "precision": "share of these images that lie among real ones",
    "recall": "share of real images that lie among these",
    "density": "as precision, by how many real images are near (1: as real ones)",
    "coverage": "share of real images with one of these near",
    "SSIM": "structural similarity of two images; 1: equal",
    "copies": "images nearer to a training image than real ones come",
    "G, D": "losses of generator and discriminator",
    "r_t": "how surely the discriminator knows training images (0: not at all, 1: it has learned them by heart)",
    "p": "adaptive probability of augmentations (0 where they are not adaptive)",
    "path": "length of the generator's paths, which its regularisation keeps even",
    "spectrum": "how far the power spectrum of generated images is from the training images'",
    "|grad|": "size of the gradients",
    "micro F1": "share of images classified correctly",
    "macro F1": "the classes' F1, each counting the same",
    "AUC": "chance that an image of the class is ranked above one that is not; 0.5: by chance",
    "Brier": "squared error of the probabilities; 0: none",
    "calibration error": "how far the probabilities are from the shares that come true",
    "points": "difference in percentage points of accuracy, with its 95 % interval",
    "p, not adjusted": "how often chance alone gives such a difference",
    "p Holm": "p, adjusted for the number of comparisons",
    "p corrected": "p, allowing for folds that share training images",
    "d": "difference in standard deviations of the folds' differences",
    "b:c": "images that only the baseline, and only the other, classifies correctly",
}


def explained(names: Iterable[str]) -> str:
    """Return these figures' meanings as one line; a name without one is an error of the program (KeyError)."""
    return "; ".join(f"{name}: {FIGURES[name]}" for name in names) + "."
