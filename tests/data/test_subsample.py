"""Subsets of the training images: nested, stratified, reproducible, refused where impossible."""

from __future__ import annotations

import pytest

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataImage, DataManifest
from usgan_cli.data.subsample import subsample


@pytest.fixture(scope="module")
def manifest() -> DataManifest:
    """A dataset with the class counts of BUSI's 500 training images, and 30 test images."""
    classes = {"benign": 280, "malignant": 135, "normal": 85}
    images = [
        DataImage(
            file=f"images/{name}/{i}.png",
            class_=name,
            split="train" if i < count else "test",
            group=1000 * j + i,
            sha256="",
            source="",
        )
        for j, (name, count) in enumerate(classes.items())
        for i in range(count + 10)
    ]
    return DataManifest(
        classes=list(classes),
        size=16,
        channels=1,
        layout="class folders",
        resampling="lanczos",
        fit="stretch",
        test_share=0.1,
        seed=0,
        images=images,
        left_out=[],
        duplicates=[],
        conflicts=[],
    )


def test_subsets_are_nested_and_stratified(manifest: DataManifest) -> None:
    larger: set[str] | None = None
    for n, counts in ((500, (280, 135, 85)), (250, (140, 67.5, 42.5)), (100, (56, 27, 17)), (50, (28, 13.5, 8.5))):
        subset = subsample(manifest, n, seed=3)
        picked = subset.pick(manifest)
        assert len(picked) == len(subset.images) == n
        assert all(image.split == "train" for image in picked)
        assert [image.file for image in picked] == subset.images  # the dataset's order
        for name, share in zip(manifest.classes, counts, strict=True):
            assert abs(sum(image.class_ == name for image in picked) - share) < 1
        assert larger is None or set(subset.images) < larger
        larger = set(subset.images)


def test_subsets_depend_on_the_seed(manifest: DataManifest) -> None:
    assert subsample(manifest, 50, 0) == subsample(manifest, 50, 0)
    assert subsample(manifest, 50, 0).images != subsample(manifest, 50, 1).images


def test_impossible_subsets_are_refused(manifest: DataManifest) -> None:
    with pytest.raises(DataError, match="there are 500 training images"):
        subsample(manifest, 501, 0)
    with pytest.raises(DataError, match="each of the 3 classes"):
        subsample(manifest, 2, 0)
    with pytest.raises(SettingsError):
        subsample(manifest, 50, -1)
    assert len(subsample(manifest, 3, 0).images) == 3


def test_a_subset_of_another_dataset_is_refused(manifest: DataManifest) -> None:
    subset = subsample(manifest, 50, 0)
    other = manifest.model_copy(update={"seed": 1})
    with pytest.raises(DataError, match="another version"):
        subset.pick(other)
