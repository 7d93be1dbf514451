"""The linear head and the cache of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from usgan_cli.classify import frozen
from usgan_cli.classify.config import C_GRID, ClassifierConfig
from usgan_cli.classify.frozen import fit_head, pooled_features
from usgan_cli.classify.models import Backbone, fit_to_input, open_backbone
from usgan_cli.core.progress import Silent

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    config = ClassifierConfig(backbone="test_efficientnet", weights="none", freeze=True, size=32)
    return open_backbone(config, 0, Silent())


def noise(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, 32, 32), dtype=torch.uint8, generator=generator)


def test_features_do_not_depend_on_their_neighbours(backbone, tmp_path):
    images = noise(21)
    together = pooled_features(backbone, images, tmp_path / "a", CPU, Silent())
    alone = pooled_features(backbone, images[20:], tmp_path / "b", CPU, Silent())
    assert np.array_equal(together[20:], alone)
    assert len(np.unique(together[:, 0])) == 21


def test_known_images_are_not_computed_again(backbone, tmp_path, monkeypatch):
    images = noise(12)
    first = pooled_features(backbone, images, tmp_path, CPU, Silent())
    asked: list[int] = []
    compute = frozen._compute
    monkeypatch.setattr(frozen, "_compute", lambda b, i, d, p: (asked.append(len(i)), compute(b, i, d, p))[1])
    again = pooled_features(backbone, images[[3, 3, 0, 11]], tmp_path, CPU, Silent())
    assert asked == []
    assert np.array_equal(again, first[[3, 3, 0, 11]])
    more = torch.cat([noise(2, seed=5), images[4:6], noise(2, seed=5)])
    found = pooled_features(backbone, more, tmp_path, CPU, Silent())
    assert asked == [2]
    assert np.array_equal(found[2:4], first[4:6])
    assert np.array_equal(found[:2], found[4:])


def test_another_network_has_other_features(backbone, tmp_path):
    """Trap: a cache that is keyed by the images or the network's name alone gives the first network's features."""
    config = ClassifierConfig(backbone="test_efficientnet", weights="none", freeze=True, size=32, seed=1)
    other = open_backbone(config, 0, Silent())
    assert other.fingerprint() != backbone.fingerprint()
    a = pooled_features(backbone, noise(4), tmp_path, CPU, Silent())
    assert not np.allclose(a, pooled_features(other, noise(4), tmp_path, CPU, Silent()))


def test_a_damaged_cache_file_is_as_good_as_absent(backbone, tmp_path):
    first = pooled_features(backbone, noise(4), tmp_path, CPU, Silent())
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(pooled_features(backbone, noise(4), tmp_path, CPU, Silent()), first)


def test_gray_enters_as_three_equal_scaled_channels(backbone):
    gray = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    shown = backbone.to_input(gray)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(shown[0, :, 0, 0], (0 - mean) / std)
    assert torch.allclose(shown[1, :, 0, 0], (1 - mean) / std)


def test_images_are_fitted_to_the_input_without_aliasing():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), 32)[None, None, None].repeat(64, axis=2)
    small = fit_to_input(stripes, 16)
    assert small.shape == (1, 1, 16, 16)
    assert int(small.float().std()) < 20
    assert torch.equal(fit_to_input(stripes, 64), torch.from_numpy(stripes))


def blobs(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count) % 3
    features = rng.normal(size=(count, 20)).astype(np.float32)
    features[np.arange(count), labels] += 3
    return features * 100 + 7, labels


def test_head_is_the_best_of_the_grid_on_the_validation_images():
    rng = np.random.default_rng(0)
    train, val, test = blobs(45, rng), blobs(15, rng), blobs(60, rng)
    output = fit_head(train, val, test[0])
    mean, sd = train[0].mean(0), train[0].std(0)
    ranks = {}
    for c in C_GRID:
        model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit((train[0] - mean) / sd, train[1])
        p = model.predict_proba((val[0] - mean) / sd)
        ranks[c] = ((p.argmax(1) == val[1]).mean(), np.log(p[np.arange(15), val[1]]).mean())
        if c == output.c:
            assert np.allclose(output.val, p, atol=1e-3)
            assert np.allclose(output.test, model.predict_proba((test[0] - mean) / sd), atol=1e-3)
    assert output.c == max(ranks, key=ranks.__getitem__)
    assert (output.test.argmax(1) == test[1]).mean() > 0.8


def test_test_images_have_no_influence():
    rng = np.random.default_rng(0)
    train, val, test = blobs(45, rng), blobs(15, rng), blobs(60, rng)
    whole = fit_head(train, val, test[0])
    half = fit_head(train, val, test[0][:30] * 1)
    assert np.allclose(whole.test[:30], half.test, atol=1e-12)
    assert np.array_equal(whole.val, half.val)
