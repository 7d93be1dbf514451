"""The bench of image quality: judged on the right images, by features that see what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contrastive import contrastive_loss, train, view
from quality import COLUMNS, Judged, Run, Variant, difference, parse_variant, scored, split_off, table
from scipy import ndimage, stats
from textures import Textures, textures

from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.data.phantom import simulate
from usgan_cli.metrics.frechet import frechet_distance


@pytest.fixture(scope="module")
def phantoms() -> Pixels:
    return np.stack([simulate("normal", seed, 64) for seed in range(24)])


def test_development_images_are_neither_test_images_nor_copies_of_the_subset() -> None:
    groups = {"a.png": 0, "b.png": 0, "c.png": 1, "d.png": 2, "e.png": 3}
    images = [
        {
            "file": file,
            "class": "x",
            "split": "test" if file == "e.png" else "train",
            "group": group,
            "sha256": "0" * 64,
        }
        | {"source": file}
        for file, group in groups.items()
    ]
    fields = {"classes": ["x"], "size": 64, "channels": 1, "layout": "class folders", "resampling": "lanczos"}
    fields |= {"fit": "stretch", "test_share": 0.2, "seed": 0, "left_out": [], "duplicates": [], "conflicts": []}
    manifest = DataManifest.model_validate(fields | {"images": images})
    subset = Subset(n=1, seed=0, data=manifest.content_digest(), classes=["x"], images=["a.png"])
    own, development = split_off(manifest, subset)
    assert [image.file for image in own] == ["a.png"]
    assert [image.file for image in development] == ["c.png", "d.png"]


def test_textures_see_blur_contrast_and_noise(phantoms: Pixels) -> None:
    own, others = phantoms[::2], phantoms[1::2]
    extractor = Textures(own)

    def distance(images: Pixels) -> float:
        return frechet_distance(extractor(own), extractor(images))

    floor = distance(others)
    blurred = np.stack([ndimage.gaussian_filter(image, (0, 1, 1)) for image in others])
    noise = np.random.default_rng(0).integers(0, 256, others.shape).astype(np.uint8)
    assert distance(own) < 1e-3 * floor
    assert distance(blurred) > 2 * floor
    assert distance((others * 0.6).astype(np.uint8)) > 1.5 * floor
    assert distance(noise) > 10 * floor


def test_textures_of_an_empty_image_are_finite() -> None:
    assert np.isfinite(textures(np.zeros((64, 64), dtype=np.uint8))).all()
    assert np.isfinite(textures(np.full((128, 128), 255, dtype=np.uint8))).all()


def test_mirroring_changes_textures_by_their_map_alone(phantoms: Pixels) -> None:
    one, mirrored = textures(phantoms[0, 0]), textures(phantoms[0, 0, :, ::-1])
    assert np.abs(one[:-16] - mirrored[:-16]).max() < 0.02
    np.testing.assert_allclose(mirrored[-16:].reshape(4, 4), one[-16:].reshape(4, 4)[:, ::-1])


def test_the_contrastive_loss_is_equation_1() -> None:
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit = z / z.norm(dim=1, keepdim=True)
    similar = torch.exp(unit @ unit.T / 0.2)
    partner = [3, 4, 5, 0, 1, 2]
    terms = [-torch.log(similar[i, partner[i]] / (similar[i].sum() - similar[i, i])) for i in range(6)]
    assert float(contrastive_loss(z)) == pytest.approx(float(torch.stack(terms).mean()))


def test_the_network_is_trained_the_same_way_every_time_and_kept(phantoms: Pixels) -> None:
    images = phantoms[:6]
    state = torch.random.get_rng_state()
    one, two = (train(images, steps=2).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), state)
    views = view(torch.zeros(3, 1, 64, 64), torch.Generator().manual_seed(0))
    assert views.shape == (3, 1, 64, 64) and float(views.abs().max()) <= 1


def test_scores_say_which_images_are_real(phantoms: Pixels) -> None:
    def images(name: str, pixels: Pixels) -> ImageSet:
        count = len(pixels)
        names = tuple(f"{name}{i}.png" for i in range(count))
        return ImageSet(name, pixels, np.zeros(count, dtype=np.int64), ("normal",), names, np.arange(count))

    own, development, fresh = (images(name, phantoms[i::3]) for i, name in enumerate(("own", "development", "fresh")))
    noise = images("noise", np.random.default_rng(0).integers(0, 256, fresh.pixels.shape).astype(np.uint8))
    extractor = Textures(development.pixels)
    real, fake = (scored("x", extractor, one, own, development, None) for one in (fresh, noise))
    for value in (COLUMNS["FD"], COLUMNS["KD x 1000"], COLUMNS["JS"]):
        near, far = value(real.fake), value(fake.fake)
        assert near is not None and far is not None and near < far
    rows = [
        Judged(Run(Variant(name, ()), "kimg", 1, 0), {"textures": one}, []) for name, one in (("a", real), ("b", fake))
    ]
    lines = table(rows, "textures").splitlines()
    assert lines[2].startswith("| a, 1 kimg | ") and lines[3].startswith("| b, 1 kimg | ")
    assert "(+" in lines[3] and lines[2].endswith("| none |")


def test_differences_are_of_pairs() -> None:
    ours, base = [3.0, 5.0, 9.0], [1.0, 4.0, 6.0]
    mean, reach = (float(part) for part in difference(ours, base).split(" ± "))
    low, high = stats.ttest_rel(ours, base).confidence_interval(0.95)
    assert (mean, reach) == (pytest.approx(2), pytest.approx((high - low) / 2, rel=0.05))
    assert difference([3.0], [1.0]) == "+2"


def test_a_variant_is_a_name_and_options() -> None:
    variant = parse_variant("slow: --aug best --lr-d 0.0005")
    assert (variant.name, variant.options) == ("slow", ("--aug", "best", "--lr-d", "0.0005"))
