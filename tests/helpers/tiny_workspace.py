"""A workspace small enough to train classifiers in: 32 pixel images of three classes, and GANs' images of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from tiny_gan import tiny_generator, write_generator

from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.generated import open_writer
from usgan_cli.core.store.document import RunDocument, RunRecord
from usgan_cli.core.store.workspace import Workspace, gan_name

CLASSES = ["benign", "malignant", "normal"]
COUNTS = [18, 9, 9]
N, FOLDS = sum(COUNTS), 3
FAST: dict[str, Any] = {
    "backbone": "test_efficientnet",
    "weights": "none",
    "freeze": True,
    "size": 32,
    "folds": FOLDS,
    "device": "cpu",
}
AUGS = ("none", "ada", "diffaug")


def picture(rng: np.random.Generator, label: int) -> np.ndarray:
    pixels = rng.normal(110, 15, (1, 32, 32))
    y, x = rng.integers(2, 18, 2)
    pixels[0, y : y + 12, x : x + 12] += (90, -90, 0)[label]
    return pixels.clip(0, 255).astype(np.uint8)


def write_data(work: Workspace) -> DataManifest:
    rng = np.random.default_rng(0)
    listed = []
    for split, counts in (("train", COUNTS), ("test", [12, 6, 6])):
        for label, count in enumerate(counts):
            for i in range(count):
                file = work.data / "images" / CLASSES[label] / f"{split}{i}.png"
                data = codec.encode_png(picture(rng, label))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                listed.append(
                    {
                        "file": file.relative_to(work.data).as_posix(),
                        "class": CLASSES[label],
                        "split": split,
                        "group": len(listed) // 2 if split == "train" else 500 + len(listed),
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "source": file.name,
                    }
                )
    body: dict[str, Any] = {
        "classes": CLASSES,
        "size": 32,
        "channels": 1,
        "layout": "class folders",
        "resampling": "none",
        "fit": "none",
        "test_share": 0.4,
        "seed": 0,
        "images": listed,
        "left_out": [],
        "duplicates": [],
        "conflicts": [],
    }
    known = DataManifest.model_fields
    manifest = DataManifest.model_validate({name: value for name, value in body.items() if name in known})
    manifest.write(work.data / "manifest.json")
    return manifest


def new_workspace(folder: Path, seeds: tuple[int, ...] = (0,)) -> Workspace:
    """Data, and the subset of all its training images under each seed."""
    made = Workspace(folder / "work")
    manifest = write_data(made)
    files = [image.file for image in manifest.of("train")]
    for seed in seeds:
        drawn = Subset(n=N, seed=seed, data=manifest.content_digest(), classes=CLASSES, images=files)
        drawn.write(made.subset(N, seed))
    return made


def write_synthetic(work: Workspace, aug: str, seed: int = 0, fold: tuple[int, int] | None = None) -> SyntheticManifest:
    """Generated images in the order of `usgan generate`: twice the subset, and a few more."""
    folder, rng = work.synthetic(aug, N, seed, fold), np.random.default_rng([AUGS.index(aug), *(fold or ())])
    total = 2 * N + 12
    order = [
        int(np.argmax(np.subtract(class_quotas(COUNTS, k + 1), class_quotas(COUNTS, k) if k else [0] * 3)))
        for k in range(total)
    ]
    folder.mkdir(parents=True)
    with open_writer(folder, "png", CLASSES, total, (1, 32, 32)) as writer:
        listed = [writer.add(picture(rng, label), label, i) for i, label in enumerate(order)]
    manifest = SyntheticManifest(
        classes=CLASSES,
        size=32,
        channels=1,
        gan=f"digest of {gan_name(aug, N, seed, fold)}",
        gan_name=gan_name(aug, N, seed, fold),
        truncation_psi=1.0,
        noise="random",
        class_shares={},
        images=listed,
    )
    manifest.write(folder / "manifest.json")
    return manifest


def write_gan(work: Workspace, manifest: SyntheticManifest, part: tuple[int, int], subset: str, **changes: Any) -> None:
    settings = {"fold": part[0], "folds": part[1], "seed": 0} | changes
    run = RunRecord(
        command="train-gan",
        revision=1,
        settings=settings,
        inputs={"subset": subset},
        packages={},
        device="cpu",
        started="",
        wall_s=0,
        peak_memory_mb=0,
    )
    folder = work.gan("ada", N, 0, part)
    folder.mkdir(parents=True, exist_ok=True)
    RunDocument(content=manifest.gan, run=run).write(folder / "run.json")


def write_tiny_gan(work: Workspace) -> Path:
    """An untrained GAN whose images `usgan generate` can make."""
    folder = work.gan("diffaug", N, 0)
    counts = dict(zip(CLASSES, COUNTS, strict=True))
    write_generator(
        folder,
        tiny_generator(resolution=32),
        name=folder.name,
        classes=CLASSES,
        class_counts=counts,
        aug="diffaug",
        n=N,
    )
    return folder
