"""What figures and other words of the tables, the lines of progress and the documents mean, each in a few words."""

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

WORDS = {
    "kimg": "a thousand real images shown to the discriminator, repeats counted: the length of a training",
    "subset": "the training images that an experiment may use, as if there were no more",
    "repeat, seed": "the whole experiment again with another subset, other GANs and other classifiers",
    "ratio": "generated images per real training image of a classifier",
    "baseline": "the classifier that is trained on real images alone",
    "control": "a classifier with as many further images as a GAN's that hold nothing new, such as copies of real ones",
    "floor": "the figures of real training images against the test images: what the best GAN could reach",
    "weak": "said of a GAN whose images are not yet like real ones, so that what they do to a classifier says little",
    "fold": "one of the equal parts of the subset, of which a classifier leaves one out to be validated on it",
    "strict": "of classifiers whose GANs never saw their validation images",
    "snapshot": "a generator that was saved and measured during its training",
    "latents, w": "the random numbers that an image is made from; w is what the generator's mapping makes of them",
    "spread, truncation": "how far w lies from its average, in parts of what it is in training: more is more variety, "
    "less is more of what is usual",
    "C_T": "whether images as a whole lie nearer to the training images than test images do; below -3 they do",
}
"""Other words, for readers."""


def explained(names: Iterable[str]) -> str:
    """Return these figures' meanings as one line; a name without one is an error of the program (KeyError)."""
    return "; ".join(f"{name}: {FIGURES[name]}" for name in names) + "."
