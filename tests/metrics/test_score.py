"""A score record: the numbers it promises, against the sets it names, whatever else is on the machine."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.images import Pixels
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.core.records import ScoreRecord
from usgan_cli.metrics.features import BATCH_SIZE, Features
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.metrics.histogram import js_distance
from usgan_cli.metrics.score import ScoreConfig, score
from usgan_cli.metrics.ssim import paired_ssim

CONFIG = ScoreConfig(count=30, ssim_pairs=20, fd_repeats=5)


class Means:
    """Features: the means of the four quarters of an image."""

    name = "means@0"
    dim = 4
    is_fid = False

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
REAL, SUBSET = images("train", 50, 3), images("n10-s0", 10, 4)


def run(config: ScoreConfig = CONFIG, cache: Path | None = None, **changes: object) -> ScoreRecord:
    given: dict[str, object] = {
        "name": "x",
        "gan_name": "g",
        "fake": FAKE,
        "test": TEST,
        "test_digest": "d" * 64,
        "real": REAL,
        "subset": SUBSET,
        "extractor": Means(),
        "cache_dir": cache,
        "progress": Silent(),
    }
    return score(config, **(given | changes))  # type: ignore[arg-type]


def test_the_numbers_are_those_of_the_first_images_against_the_test_images() -> None:
    record = run()
    fake = FAKE.pixels[:30]
    extract = Means()
    assert record.fake.fd == pytest.approx(frechet_distance(extract(TEST.pixels), extract(fake)))
    assert record.fake.js == pytest.approx(js_distance(TEST.pixels, fake, bins=256, value_range=(0, 256), base=math.e))
    values = paired_ssim(TEST.pixels, fake, 20, seed=0)
    assert record.fake.ssim.mean == pytest.approx(values.mean())
    assert record.fake.ssim.sd == pytest.approx(values.std(ddof=1))
    assert record.fake.ssim.count == 20
    assert record.fake.fd_spread.count == 5
    assert record.fake.fd_spread.sd > 0
    assert (record.settings.count, record.settings.reference_count, record.settings.extractor) == (30, 25, "means@0")
    assert record.settings.reference == "d" * 64


def test_real_images_are_as_many_as_generated_ones_and_nearer() -> None:
    extractor = Means()
    record = run(extractor=extractor)
    assert (record.real_name, record.real_count, record.subset_count) == ("train", 30, 10)
    assert extractor.seen == [25, 30, 30, 10]
    assert record.real.fd < record.fake.fd
    assert record.real.js < record.fake.js
    # The choice among them is the seed's, not the first ones.
    first = frechet_distance(Means()(TEST.pixels), Means()(REAL.pixels[:30]))
    assert record.real.fd != pytest.approx(first)
    assert run(dataclasses.replace(CONFIG, seed=1)).real.fd != pytest.approx(record.real.fd)


def test_fewer_real_images_are_all_taken_and_counted() -> None:
    record = run(dataclasses.replace(CONFIG, count=None), real=REAL.take(np.arange(12)), subset=None)
    assert (record.settings.count, record.real_count) == (40, 12)
    assert (record.subset, record.subset_count) == (None, None)


def test_the_same_inputs_give_the_same_record_with_and_without_cache(tmp_path: Path) -> None:
    first = run().to_json()
    assert run(cache=tmp_path).to_json() == first
    extractor = Means()
    assert run(cache=tmp_path, extractor=extractor).to_json() == first
    assert not extractor.seen
    path = tmp_path / "record.json"
    run().write(path)
    assert ScoreRecord.read(path) == run()


def test_images_of_another_size_or_too_few_are_refused() -> None:
    with pytest.raises(DataError, match=r"'fake' have shape \[1, 32, 32\]"):
        run(fake=images("fake", 40, 1, size=32))
    with pytest.raises(DataError, match=r"'fake' have shape \[3, 16, 16\]"):
        run(fake=images("fake", 40, 1, channels=3))
    with pytest.raises(DataError, match="'n10-s0' has 1 images"):
        run(subset=SUBSET.take(np.arange(1)))
    with pytest.raises(DataError, match=r"40 generated images; 41 are to be scored[^$]*--count 41"):
        run(dataclasses.replace(CONFIG, count=41))


@pytest.mark.parametrize(
    "wrong", [{"count": 1}, {"ssim_pairs": 0}, {"js_bins": 1}, {"fd_repeats": 0}, {"js_log_base": 1.0}]
)
def test_impossible_settings_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ScoreConfig(**wrong)  # type: ignore[arg-type]
