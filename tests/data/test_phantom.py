"""Phantoms: the statistics of speckle, the physics of what lies below a lesion, and randomness per image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from configs import phantom_config

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.images import codec
from usgan_cli.core.machine.seeds import derive_seed
from usgan_cli.core.progress import Silent
from usgan_cli.data import phantom
from usgan_cli.data.bmode import Scanner, envelope, receive
from usgan_cli.data.phantom import BUSI_COUNTS, simulate, write_phantoms
from usgan_cli.data.source.scan import scan


def test_homogeneous_tissue_gives_fully_developed_speckle() -> None:
    # Rayleigh: mean / standard deviation = sqrt(pi / (4 - pi)) = 1.913 (Wagner et al. 1983).
    received = np.concatenate(
        [envelope(np.zeros((512, 256), np.float32), Scanner(), np.random.default_rng(seed)) for seed in range(4)]
    )
    assert received.mean() / received.std() == pytest.approx(1.913, abs=0.03)
    assert (received**2).mean() == pytest.approx(1, abs=0.03)
    assert (received**4).mean() == pytest.approx(2, abs=0.1)


def test_echogenicity_scales_the_envelope() -> None:
    level = np.zeros((512, 256), np.float32)
    level[:, 128:] = -20
    received = envelope(level, Scanner(), np.random.default_rng(0))
    ratio = received[:, 160:224].mean() / received[:, 32:96].mean()
    assert 20 * np.log10(ratio) == pytest.approx(-20, abs=0.7)


def test_speckle_is_as_large_as_the_point_spread_function() -> None:
    # The field of a Gaussian kernel of deviation s has the correlation exp(-d^2 / 4 s^2); that of the intensity of
    # a circular Gaussian field is its square.
    scanner = Scanner(pulse_mm=0.2, beam_mm=0.4, divergence=0.0)
    intensity = envelope(np.zeros((512, 256), np.float32), scanner, np.random.default_rng(0)) ** 2
    centred = intensity - intensity.mean()
    for axis, step, sigma in ((0, 40 / 512, 0.2), (1, 40 / 256, 0.4)):
        for shift in (1, 2, 4):
            measured = (centred * np.roll(centred, shift, axis)).mean() / centred.var()
            assert measured == pytest.approx(np.exp(-((shift * step) ** 2) / (2 * sigma**2)), abs=0.06)


def test_the_beam_widens_away_from_the_focus() -> None:
    scanner = Scanner(divergence=0.05, focus_mm=20)
    intensity = envelope(np.zeros((512, 512), np.float32), scanner, np.random.default_rng(0)) ** 2
    centred = intensity - intensity.mean()
    correlation = (centred * np.roll(centred, 4, 1)).mean(axis=1)
    assert correlation[220:290].mean() < 0.7 * correlation[:60].mean()
    assert intensity[:60].mean() == pytest.approx(intensity[220:290].mean(), rel=0.1)


def below_against_beside(draw: str, seed: int) -> float:
    """Return the level in dB below a lesion in uniform tissue, relative to that beside it."""
    canvas = phantom.Canvas(Scanner(), 256, np.random.default_rng(seed))
    getattr(phantom, draw)(canvas)
    rows, columns = np.nonzero(canvas.echo_db < -10)
    decibels = receive(canvas.echo_db, canvas.loss_db_per_mm, canvas.scanner, canvas.generator)
    middle, half = int(np.median(columns)), max(1, (columns.max() - columns.min()) // 8)
    below = decibels[rows.max() + 12 :]
    beside = np.ones(256, dtype=bool)
    beside[max(0, columns.min() - 25) : columns.max() + 25] = False
    return float(below[:, middle - half : middle + half].mean() - below[:, beside].mean())


def test_benign_enhances_and_malignant_shadows() -> None:
    benign = [below_against_beside("draw_benign", seed) for seed in range(12)]
    malignant = [below_against_beside("draw_malignant", seed) for seed in range(12)]
    assert np.mean(benign) > 2
    assert np.mean(malignant) < -5
    assert min(benign) > -1.5
    assert max(malignant) < 1.5


def test_lesions_have_the_shapes_of_their_descriptors() -> None:
    def width_to_height(draw: str, seed: int) -> float:
        canvas = phantom.Canvas(Scanner(), 256, np.random.default_rng(seed))
        getattr(phantom, draw)(canvas)
        rows, columns = np.nonzero(canvas.echo_db < -10)
        return float((columns.std() + 1) / (rows.std() + 1))

    assert np.median([width_to_height("draw_benign", seed) for seed in range(15)]) > 1.2
    assert np.median([width_to_height("draw_malignant", seed) for seed in range(15)]) < 1.0


@pytest.mark.parametrize("kind", BUSI_COUNTS)
def test_an_image_depends_on_its_seed_alone(kind: phantom.Kind) -> None:
    first = simulate(kind, 7)
    simulate(kind, 8)
    assert first.dtype == np.uint8
    assert first.shape == (1, 256, 256)
    assert (simulate(kind, 7) == first).all()
    assert (simulate(kind, 8) != first).mean() > 0.5
    assert 20 < first.mean() < 180
    assert len(np.unique(first)) > 100


def test_a_small_image_is_the_large_one_reduced() -> None:
    assert (simulate("benign", 3, 32) == codec.fit(simulate("benign", 3, 256), 32)).all()
    assert simulate("malignant", 3, 512).shape == (1, 512, 512)


def test_counts_keep_the_proportions_of_busi() -> None:
    assert phantom_config(count=780).class_counts() == {"benign": 437, "malignant": 210, "normal": 133}
    assert phantom_config(count=240).class_counts() == {"benign": 134, "malignant": 65, "normal": 41}
    assert phantom_config(count=6).class_counts() == {"benign": 2, "malignant": 2, "normal": 2}
    for count in range(6, 60):
        counts = phantom_config(count=count).class_counts().values()
        assert sum(counts) == count
        assert min(counts) >= 2


def test_the_folder_is_a_source(tmp_path: Path) -> None:
    counts = write_phantoms(phantom_config(count=8, size=32), tmp_path / "a", Silent(), workers=1)
    write_phantoms(phantom_config(count=10, size=32), tmp_path / "b", Silent(), workers=3)
    found = scan(tmp_path / "a")
    assert found.classes == tuple(BUSI_COUNTS)
    assert found.left_out == ()
    assert [sum(i.class_ == kind for i in found.images) for kind in BUSI_COUNTS] == list(counts.values())
    # The same image in a larger folder, written by other threads.
    for image in found.images:
        assert found.read(image.name) == (tmp_path / "b" / image.relative).read_bytes()
    seed = derive_seed(0, "phantom", "benign", 2)
    assert (codec.decode(tmp_path / "a" / "benign" / "benign-0002.png") == simulate("benign", seed, 32)).all()


@pytest.mark.parametrize("wrong", [{"count": 5}, {"size": 8}, {"size": 2048}, {"seed": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        phantom_config(**wrong)
