"""Folds: properties over many sets, and the two leaks that a careless split makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usgan_cli.classify.folds import in_file_order, pick_synthetic, stratified_folds
from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.errors import DataError

CLASSES = ("benign", "malignant", "normal")


def image_set(labels: list[int], groups: list[int] | None = None, classes: tuple[str, ...] = CLASSES) -> ImageSet:
    count = len(labels)
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1) * np.ones((1, 1, 4, 4), np.uint8)
    files = tuple(f"images/{classes[label]}/{i:04}.png" for i, label in enumerate(labels))
    numbers = np.arange(count) if groups is None else np.array(groups)
    return in_file_order(ImageSet("subset", pixels, np.array(labels), classes, files, numbers))


@given(counts=st.tuples(*[st.integers(5, 40)] * 3), folds=st.integers(2, 5), seed=st.integers(0, 2**31), data=st.data())
@settings(max_examples=40, deadline=None)
def test_single_images_are_spread_within_one(counts, folds, seed, data):
    labels = data.draw(st.permutations([c for c, count in enumerate(counts) for _ in range(count)]))
    images = image_set(labels)
    made = stratified_folds(images, folds, seed)
    assert np.array_equal(np.sort(np.concatenate([fold.val for fold in made])), np.arange(len(images)))
    for fold in made:
        assert np.array_equal(np.sort(np.concatenate([fold.train, fold.val])), np.arange(len(images)))
    per_class = np.array([np.bincount(images.labels[fold.val], minlength=3) for fold in made])
    assert np.ptp(per_class, axis=0).max() <= 1
    assert np.ptp(per_class.sum(1)) <= 1


@given(seed=st.integers(0, 2**31), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_group_never_straddles_folds_and_balance_stays(seed, data):
    labels = [i % 3 for i in range(90)]
    places = data.draw(st.permutations(range(90)))
    images = image_set(labels, [place // 3 if place < 45 else place for place in places])  # 15 triples, 45 alone
    made = stratified_folds(images, 3, seed)
    for fold in made:
        assert not set(images.groups[fold.train]) & set(images.groups[fold.val])
        assert len(fold.val) == pytest.approx(30, abs=2)
        assert np.bincount(images.labels[fold.val], minlength=3).min() >= 8


def test_copies_of_one_image_stay_together():
    """Trap: with copies in separate groups, a split by image alone puts some on both sides."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    apart = image_set(labels)
    together = image_set(labels, [i // 2 for i in range(60)])

    def straddling(images):
        pairs = images.files.index
        folds = stratified_folds(images, 5, 0)
        where = np.concatenate([np.full(len(f.val), f.index) for f in folds])[
            np.argsort(np.concatenate([f.val for f in folds]))
        ]
        names = sorted(images.files)
        return sum(where[pairs(a)] != where[pairs(b)] for a, b in zip(names[::2], names[1::2], strict=True))

    assert straddling(apart) > 0
    assert straddling(together) == 0


def test_folds_depend_on_images_and_seed_alone():
    rng = np.random.default_rng(0)
    labels = [int(v) for v in rng.integers(0, 3, 60)]
    images = image_set(labels, [i // 2 for i in range(60)])
    made = [[images.files[i] for i in fold.val] for fold in stratified_folds(images, 5, 3)]

    shuffled = in_file_order(images.take(rng.permutation(60)))
    assert [[shuffled.files[i] for i in f.val] for f in stratified_folds(shuffled, 5, 3)] == made
    renumbered = ImageSet("other", images.pixels, images.labels, CLASSES, images.files, 999 - images.groups * 7)
    assert [[renumbered.files[i] for i in f.val] for f in stratified_folds(renumbered, 5, 3)] == made
    assert [[images.files[i] for i in f.val] for f in stratified_folds(images, 5, 4)] != made


def test_too_few_of_a_class_is_an_error_with_the_next_move():
    with pytest.raises(DataError, match=r"'malignant' has 4 images") as caught:
        stratified_folds(image_set([0] * 20 + [1] * 4 + [2] * 20), 5, 0)
    assert "--folds" in (caught.value.hint or "")
    with pytest.raises(DataError, match=r"'malignant' has 6 images in 2 groups"):
        stratified_folds(
            image_set([0] * 9 + [1] * 6 + [2] * 9, [*range(9), 90, 90, 90, 91, 91, 91, *range(20, 29)]), 5, 0
        )


def test_a_smaller_ratio_takes_the_beginning_of_a_larger_one():
    real = image_set([0] * 10 + [1] * 10)
    synthetic = image_set([i % 2 for i in range(50)])
    picked = {ratio: pick_synthetic(real, synthetic, ratio) for ratio in (0.5, 1, 2)}
    assert {ratio: len(images) for ratio, images in picked.items()} == {0.5: 10, 1: 20, 2: 40}
    for ratio, images in picked.items():
        assert images.files == synthetic.files[: int(20 * ratio)]


def test_synthetic_labels_follow_the_names_of_the_classes():
    real = image_set([0, 1, 2])
    synthetic = image_set([0, 0, 1, 2], classes=("normal", "benign", "malignant"))
    picked = pick_synthetic(real, synthetic, 4 / 3)
    assert [picked.classes[i] for i in picked.labels] == [synthetic.classes[i] for i in synthetic.labels]
    assert picked.classes == CLASSES


def test_synthetic_images_that_do_not_fit_are_refused():
    real = image_set([0, 1, 2] * 4)
    with pytest.raises(DataError, match="needs 24") as caught:
        pick_synthetic(real, image_set([0, 1, 2]), 2)
    assert "usgan generate --ratio 2" in (caught.value.hint or "")
    with pytest.raises(DataError, match="classes"):
        pick_synthetic(real, image_set([0, 1, 2] * 4, classes=("benign", "malignant", "cyst")), 1)
    colour = image_set([0, 1, 2] * 4)
    colour = ImageSet("c", np.repeat(colour.pixels, 3, axis=1), colour.labels, CLASSES, colour.files, colour.groups)
    with pytest.raises(DataError, match="channels"):
        pick_synthetic(real, colour, 1)
