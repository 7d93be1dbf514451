"""Format of a folder of generated images, and the choice of those that join real ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.errors import MissingError
from usgan_cli.core.store.document import ClassName, Document, InnerFile, Part, read_main

SyntheticFormat = Literal["png", "zip", "npz"]
"""How the folder stores its images: see `core.images.generated`."""


class SyntheticImage(Part):
    """One generated image."""

    file: InnerFile
    """`<class>/seed00000000.png`, `images.zip/00000/img00000000.png` or `images.npz/0`."""
    class_: str = Field(alias="class")
    seed: int
    sha256: str
    """Digest of the PNG file or of the array's row."""


class SyntheticManifest(Document):
    """`synthetic/NAME/manifest.json`: generated images; the first k have the class shares, for every k."""

    FORMAT = "usgan/synthetic"
    FILE = "manifest.json"

    classes: list[ClassName]
    size: int
    channels: int
    gan: str
    """Content digest of the generator."""
    gan_name: str
    subset: str | None = Field(default=None, exclude_if=lambda subset: subset is None)
    """Content digest of the subset that the GAN was trained on, where its folder says so; older sets do not have it."""
    truncation_psi: float
    noise: str
    class_shares: dict[str, float]
    """0 for a class that was left out."""
    images: list[SyntheticImage]

    def file_digests(self) -> dict[str, str]:
        """Return the digest of every image that is a file."""
        return {image.file: image.sha256 for image in self.images} if self.form == "png" else {}

    @property
    def form(self) -> SyntheticFormat:
        """How the folder stores the images, from their paths."""
        kinds: dict[str, SyntheticFormat] = {"images.zip": "zip", "images.npz": "npz"}
        return kinds.get(self.images[0].file.partition("/")[0], "png") if self.images else "png"


def read_synthetic_manifest(folder: Path) -> SyntheticManifest:
    """Read the manifest of a folder of generated images."""
    path = folder / SyntheticManifest.FILE
    if not path.is_file():
        raise MissingError(f"{folder} holds no generated images.", "Make them: usgan generate")
    return read_main(folder, SyntheticManifest)


def used_images(manifest: SyntheticManifest, counts: Mapping[str, int], total: int) -> list[SyntheticImage]:
    """Return the `total` generated images that join real ones: the first of each class, in the real ones' proportions.

    `counts` are the real images of each class, in the order of the classes. The result is shorter where a class has
    too few generated images.
    """
    left = dict(zip(counts, class_quotas(list(counts.values()), total), strict=True))
    used = []
    for image in manifest.images:
        if left.get(image.class_, 0) > 0:
            left[image.class_] -= 1
            used.append(image)
    return used


def used_digest(manifest: SyntheticManifest, counts: Mapping[str, int], total: int) -> str:
    """Return the content digest of `used_images`, which further images in the folder do not change."""
    used = used_images(manifest, counts, total)
    return manifest.model_copy(update={"images": used}).content_digest()
