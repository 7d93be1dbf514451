"""Folds: properties over many sets, and the two leaks that a careless split makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usgan_cli.classify.fold_images import pick_synthetic, with_real_classes
from usgan_cli.classify.folds import in_file_order, stratified_folds, training_side
from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.synthetic import SyntheticManifest, used_digest, used_images
from usgan_cli.core.images.sets import ImageSet

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
    with pytest.raises(DataError, match=r"smallest class, 'malignant', has 4 images,") as caught:
        stratified_folds(image_set([0] * 20 + [1] * 4 + [2] * 20), 5, 0)
    assert "--folds 4)" in (caught.value.hint or "")  # which works
    assert "about 55 images: usgan subsample --n 55" in (caught.value.hint or "")
    assert len(stratified_folds(image_set([0] * 25 + [1] * 5 + [2] * 25), 5, 0)) == 5
    assert len(stratified_folds(image_set([0] * 20 + [1] * 4 + [2] * 20), 4, 0)) == 4
    with pytest.raises(DataError, match=r"'malignant', has 1 image,") as caught:
        stratified_folds(image_set([0] * 20 + [1] + [2] * 20), 2, 0)
    assert "--folds" not in (caught.value.hint or "")
    with pytest.raises(DataError, match=r"'malignant', has 6 images in 2 groups"):
        stratified_folds(
            image_set([0] * 9 + [1] * 6 + [2] * 9, [*range(9), 90, 90, 90, 91, 91, 91, *range(20, 29)]), 5, 0
        )


def test_of_several_classes_that_are_too_small_the_smallest_is_named():
    with pytest.raises(DataError, match="'normal', has 2 images") as caught:
        stratified_folds(image_set([0] * 4 + [1] * 3 + [2] * 2), 5, 0)
    assert "--folds 2)" in (caught.value.hint or "")
    assert len(stratified_folds(image_set([0] * 4 + [1] * 3 + [2] * 2), 2, 0)) == 2


def test_a_smaller_ratio_takes_a_part_of_a_larger_one():
    synthetic = image_set([0, 0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1] * 4)
    picked = [pick_synthetic(synthetic, [10, 10], count) for count in (10, 20, 40)]
    for positions, count in zip(picked, (10, 20, 40), strict=True):
        assert np.bincount(synthetic.labels[positions]).tolist() == [count // 2] * 2
    assert set(picked[0]) < set(picked[1]) < set(picked[2])


def test_images_in_the_real_proportions_are_taken_from_the_start():
    """What `generate` makes is in this order, so that the first ones are those of a smaller set."""
    order: list[int] = []
    for total in range(1, 61):
        order.append(int(np.argmax(np.subtract(class_quotas([56, 27, 17], total), np.bincount(order, minlength=3)))))
    for count in (1, 10, 25, 60):
        assert pick_synthetic(image_set_as_listed(order), [56, 27, 17], count).tolist() == list(range(count))


def image_set_as_listed(labels: list[int]) -> ImageSet:
    count = len(labels)
    pixels = np.zeros((count, 1, 4, 4), np.uint8)
    return ImageSet("fake", pixels, np.array(labels), CLASSES, tuple(map(str, range(count))), np.arange(count))


def test_an_order_of_preference_decides_within_each_class():
    synthetic = image_set_as_listed([0, 1, 2, 0, 1, 2])
    assert pick_synthetic(synthetic, [1, 1, 1], 3, np.array([5, 4, 3, 2, 1, 0])).tolist() == [3, 4, 5]


def test_synthetic_labels_follow_the_names_of_the_classes():
    real = image_set([0, 1, 2])
    synthetic = image_set([0, 0, 1, 2], classes=("normal", "benign", "malignant"))
    renumbered = with_real_classes(real, synthetic)
    assert [renumbered.classes[i] for i in renumbered.labels] == [synthetic.classes[i] for i in synthetic.labels]
    assert renumbered.classes == CLASSES


def test_synthetic_images_that_do_not_fit_are_refused():
    real = image_set([0, 1, 2] * 4)
    with pytest.raises(DataError, match=r"holds 9 generated images, 1 of them 'normal'; 6 .* need 2") as caught:
        pick_synthetic(image_set([0, 1, 0, 1, 0, 1, 0, 1, 2]), [4, 4, 4], 6)
    assert "usgan generate --count 18" in (caught.value.hint or "")
    with pytest.raises(DataError, match="no generated image of the class 'normal'") as caught:
        pick_synthetic(image_set([0, 1, 0, 1, 0, 1]), [4, 4, 4], 3)
    assert "without --classes" in (caught.value.hint or "")
    with pytest.raises(DataError, match="classes"):
        with_real_classes(real, image_set([0, 1, 2] * 4, classes=("benign", "malignant", "cyst")))
    colour = image_set([0, 1, 2] * 4)
    colour = ImageSet("c", np.repeat(colour.pixels, 3, axis=1), colour.labels, CLASSES, colour.files, colour.groups)
    with pytest.raises(DataError, match="channels"):
        with_real_classes(real, colour)


def test_a_gan_of_the_strict_protocol_sees_what_its_fold_is_trained_on():
    rng = np.random.default_rng(1)
    images = image_set([int(v) for v in rng.integers(0, 3, 60)], [i // 2 for i in range(60)])
    shuffled = images.take(rng.permutation(60))
    for fold in stratified_folds(images, 5, 7):
        side = training_side(shuffled, fold.index, 5, 7)
        assert set(side.files) == {images.files[i] for i in fold.train}
        assert not set(side.groups) & set(images.groups[fold.val])
    with pytest.raises(SettingsError, match="numbered from 0 to 4"):
        training_side(images, 5, 5, 7)


@pytest.mark.parametrize("seed", range(5))
def test_the_images_of_the_digest_are_those_that_are_picked(seed: int) -> None:
    """Trap: a digest of other images than those that are trained on lets a changed image go unseen."""
    rng = np.random.default_rng(seed)
    classes, counts = ("a", "b", "c"), [7, 5, 2]
    labels = rng.permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    listed = [
        {"file": f"{i}.png", "class": classes[label], "seed": i, "sha256": f"{i:064d}"}
        for i, label in enumerate(labels)
    ]
    manifest = SyntheticManifest.model_validate(
        {
            "classes": list(classes), "size": 16, "channels": 1, "gan": "x", "gan_name": "ada-n14-s0",
            "truncation_psi": 1.0, "noise": "random", "class_shares": {}, "images": listed,
        }
    )  # fmt: skip
    made = ImageSet("made", np.zeros((90, 1, 1, 1), np.uint8), labels, classes, ("",) * 90, np.arange(90))
    for total in (1, 7, 14, 28):
        used = [image.seed for image in used_images(manifest, dict(zip(classes, counts, strict=True)), total)]
        assert used == pick_synthetic(made, counts, total).tolist()
    more = manifest.model_copy(update={"images": manifest.images + manifest.images[:9]})
    other = manifest.model_copy(update={"images": manifest.images[1:]})
    digest = used_digest(manifest, {"a": 7, "b": 5, "c": 2}, 14)
    assert used_digest(more, {"a": 7, "b": 5, "c": 2}, 14) == digest
    assert used_digest(other, {"a": 7, "b": 5, "c": 2}, 14) != digest
