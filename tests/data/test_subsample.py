"""Subsets of the training images: nested, stratified, reproducible, refused where impossible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import DataImage, DataManifest
from usgan_cli.data.subsample import stratified_nested_order, subsample


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
    assert len(subsample(manifest, 3, 0).images) == 3


def test_a_subset_of_another_dataset_is_refused(manifest: DataManifest) -> None:
    subset = subsample(manifest, 50, 0)
    other = manifest.model_copy(update={"seed": 1})
    with pytest.raises(DataError, match="another version"):
        subset.pick(other)


# The order whose starts are the subsets.


def check_order(labels: np.ndarray, order: np.ndarray) -> None:
    assert sorted(order) == list(range(len(labels)))
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    _, label = np.unique(labels, return_inverse=True)
    given_so_far = np.zeros(len(sizes), dtype=int)
    for n, i in enumerate(order, start=1):
        given_so_far[label[i]] += 1
        share = n * sizes / len(labels)
        if n >= len(sizes):
            assert (given_so_far >= 1).all()
            if (share >= 1).all():
                assert (np.abs(given_so_far - share) < 1).all(), n


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 9))
def test_every_start_is_stratified(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    check_order(labels, stratified_nested_order(labels, np.arange(len(labels)), seed))


def test_starts_of_busi_are_stratified_from_the_third_image_on() -> None:
    labels = np.repeat([0, 1, 2], [280, 135, 85])
    order = stratified_nested_order(labels, np.arange(500), 0)
    for n in range(3, 501):
        got = np.bincount(labels[order[:n]], minlength=3)
        assert (np.abs(got - n * np.array([280, 135, 85]) / 500) < 1).all()
    assert np.bincount(labels[order[:50]]).tolist() in ([28, 13, 9], [28, 14, 8])


def test_a_rare_class_comes_first_too() -> None:
    labels = np.repeat([0, 1, 2], [990, 9, 1])
    order = stratified_nested_order(labels, np.arange(1000), 5)
    assert set(labels[order[:3]]) == {0, 1, 2}
    check_order(labels, order)


def test_copies_come_last_in_their_class() -> None:
    labels = np.repeat([0, 1], [20, 20])
    groups = np.concatenate([np.arange(20) % 10, np.arange(20) + 100])
    order = stratified_nested_order(labels, groups, 0)
    first_half = order[:20]
    of_class = groups[first_half[labels[first_half] == 0]]
    assert len(of_class) == len(set(of_class)) == 10


def test_the_order_depends_on_the_seed_alone() -> None:
    first, again, other = (
        stratified_nested_order(np.repeat([0, 1, 2], [437, 210, 133]), np.arange(780), seed) for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert len(set(first[:50]) & set(other[:50])) < 20
