"""The linear head and the cache of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from configs import classifier_config
from sklearn.linear_model import LogisticRegression

from usgan_cli.classify import head
from usgan_cli.classify.config import C_GRID
from usgan_cli.classify.head import LinearHead, fit_heads, pooled_features
from usgan_cli.classify.models import Backbone, fit_to_input, open_backbone
from usgan_cli.core.progress import Silent

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    config = classifier_config(backbone="test_efficientnet", weights="none", freeze=True, size=32)
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
    computed: list[int] = []
    compute = head._compute
    monkeypatch.setattr(head, "_compute", lambda b, i, d, p: (computed.append(len(i)), compute(b, i, d, p))[1])
    again = pooled_features(backbone, images[[3, 3, 0, 11]], tmp_path, CPU, Silent())
    assert computed == []
    assert np.array_equal(again, first[[3, 3, 0, 11]])
    more = torch.cat([noise(2, seed=5), images[4:6], noise(2, seed=5)])
    features = pooled_features(backbone, more, tmp_path, CPU, Silent())
    assert computed == [2]
    assert np.array_equal(features[2:4], first[4:6])
    assert np.array_equal(features[:2], features[4:])


def test_another_network_has_other_features(backbone, tmp_path):
    """Trap: a cache that is keyed by the images or the network's name alone gives the first network's features."""
    config = classifier_config(backbone="test_efficientnet", weights="none", freeze=True, size=32, seed=1)
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
    return (features * 100 + 7)[:, None], labels


def compressed(features: np.ndarray) -> np.ndarray:
    return np.sign(features[:, 0]) * np.sqrt(np.abs(features[:, 0].astype(float)))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_the_head_is_scikit_learns(classes, class_weights):
    rng = np.random.default_rng(0)
    x, y = blobs(45, rng)
    x, y = x[y < classes][5:], y[y < classes][5:]
    other = blobs(30, rng)[0]
    head = LinearHead(x, y, class_weights)
    mean, sd = compressed(x).mean(0), compressed(x).std(0)
    for c in C_GRID:
        weight = None if class_weights == "none" else "balanced"
        model = LogisticRegression(C=c, tol=1e-9, max_iter=9000, class_weight=weight)
        model.fit((compressed(x) - mean) / sd, y)
        expected = model.predict_proba((compressed(other) - mean) / sd)
        assert np.allclose(head.probability(other, c), expected, atol=1e-3)


def test_one_penalty_is_chosen_on_all_folds_validation_images_together():
    rng = np.random.default_rng(3)
    train, val = [blobs(24, rng) for _ in range(3)], [blobs(12, rng) for _ in range(3)]
    # By the third fold alone, whose labels are wrong, the weakest head is best; all together say otherwise.
    val[2] = (val[2][0], (val[2][1] + 1) % 3)
    heads, c = fit_heads(train, val, "none", [len(labels) for _, labels in train])

    def best(folds: list[int]) -> float:
        ranks = {}
        for one in C_GRID:
            p = np.concatenate([heads[i].probability(val[i][0], one) for i in folds])
            y = np.concatenate([val[i][1] for i in folds])
            ranks[one] = ((p.argmax(1) == y).mean(), np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())
        return max(ranks, key=ranks.__getitem__)

    assert c == best([0, 1, 2])
    assert len({best([i]) for i in range(3)}) > 1
    assert (heads[0].probability(blobs(60, rng)[0], c).argmax(1) == np.arange(60) % 3).mean() > 0.6


def test_every_view_is_an_example_and_the_answer_is_their_mean():
    rng = np.random.default_rng(5)
    (x, y), (mirrored, _) = blobs(30, rng), blobs(30, rng)
    other = np.concatenate([blobs(9, rng)[0], blobs(9, rng)[0]], axis=1)
    head = LinearHead(np.concatenate([x, mirrored], axis=1), y, "none")
    apart = LinearHead(np.concatenate([x, mirrored]), np.concatenate([y, y]), "none")
    both = [apart.probability(other[:, [view]], 0.1) for view in (0, 1)]
    assert np.allclose(head.probability(other, 0.1), np.mean(both, axis=0), atol=1e-4)


def test_other_images_have_no_influence_on_a_probability():
    rng = np.random.default_rng(0)
    head = LinearHead(*blobs(45, rng), "none")
    other = blobs(60, rng)[0]
    assert np.allclose(head.probability(other, 0.1)[:30], head.probability(other[:30], 0.1), atol=1e-12)
