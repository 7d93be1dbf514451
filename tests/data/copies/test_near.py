"""Near-duplicates: copies are found after any of the usual changes; other images of the same class are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.progress import Silent
from usgan_cli.data.copies.descriptors import THUMBNAIL, find_candidates, sampling_matrices, thumbnail
from usgan_cli.data.copies.groups import find_duplicates
from usgan_cli.data.copies.near import NearPair, find_near_pairs
from usgan_cli.data.copies.registration import agreement
from usgan_cli.data.phantom import simulate


def look(image: Image.Image) -> Pixels:
    return thumbnail(np.asarray(image.convert("L"), dtype=np.uint8)[None])


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Six simulated images of one class."""
    return [Image.fromarray(simulate("benign", seed)[0]) for seed in range(6)]


@pytest.fixture(scope="module")
def thumbnails(pictures: list[Image.Image]) -> list[Pixels]:
    return [look(picture) for picture in pictures]


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


def annotated(image: Image.Image) -> Image.Image:
    marked = image.copy()
    pen = ImageDraw.Draw(marked)
    pen.line((80, 90, 150, 120), fill=255)
    pen.text((30, 200), "LEFT BREAST 2.1 cm", fill=255, font_size=18)
    return marked


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((128, 128), Image.Resampling.BICUBIC),
    "larger": lambda image: image.resize((512, 490), Image.Resampling.BICUBIC),
    "cropped": lambda image: image.crop((3, 10, 246, 256)),
    "cropped by a tenth": lambda image: image.crop((24, 0, 254, 232)),
    "shifted": lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, 7, 0, 1, -6)),
    "brighter": lambda image: image.point([min(255, round(1.15 * v)) for v in range(256)]),
    "darker": lambda image: image.point([round(0.85 * v) for v in range(256)]),
    "gamma": lambda image: image.point([round(255 * (v / 255) ** 0.75) for v in range(256)]),
    "compressed": compressed,
    "annotated": annotated,
    "all": lambda image: compressed(annotated(image.crop((3, 10, 246, 250)).resize((340, 300)))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(
    change: str, pictures: list[Image.Image], thumbnails: list[Pixels]
) -> None:
    copies = [look(CHANGES[change](picture)) for picture in pictures]
    pairs = find_near_pairs([*thumbnails, *copies], Silent(), workers=2)
    assert [(pair.first, pair.second, pair.mirrored) for pair in pairs] == [(i, i + 6, False) for i in range(6)]
    assert min(pair.score for pair in pairs) > 0.8


def test_mirrored_copies_are_found(pictures: list[Image.Image], thumbnails: list[Pixels]) -> None:
    both = [*thumbnails, look(ImageOps.mirror(pictures[2].crop((10, 0, 256, 250))))]
    (pair,) = find_near_pairs(both, Silent(), workers=1)
    assert (pair.first, pair.second, pair.mirrored) == (2, 6, True)


def test_the_same_anatomy_with_other_speckle_is_not_a_copy(pictures: list[Image.Image]) -> None:
    """The trap of comparing small pictures: they agree, the speckle does not."""
    structure = np.asarray(pictures[0].resize((16, 16)).resize((256, 256), Image.Resampling.BICUBIC), dtype=np.float32)
    generator = np.random.default_rng(0)
    frames = []
    for _ in range(2):
        grain = np.abs(generator.normal(size=(128, 128)) + 1j * generator.normal(size=(128, 128)))
        large = Image.fromarray(grain.astype(np.float32)).resize((256, 256), Image.Resampling.BILINEAR)
        speckle = 20 * np.log10(np.asarray(large) + 0.05)
        frames.append(look(Image.fromarray(np.clip(structure + 4 * speckle, 0, 255).astype(np.uint8))))
    small = [frame.reshape(16, 8, 16, 8).mean(axis=(1, 3)).ravel() for frame in frames]
    assert np.corrcoef(small)[0, 1] > 0.9
    assert len(find_candidates(frames).first) == 1  # the first stage cannot tell
    assert find_near_pairs(frames, Silent()) == []


def test_equal_thumbnails_are_paired_with_the_first(thumbnails: list[Pixels]) -> None:
    blank = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    pairs = find_near_pairs([blank, thumbnails[0], blank, thumbnails[0], blank], Silent())
    expected = [(0, 2), (0, 4), (1, 3)]
    assert pairs == [NearPair(a, b, 1.0, mirrored=False) for a, b in expected]


def test_nothing_is_said_of_images_without_texture() -> None:
    ramps = [np.tile(np.linspace(0, top, THUMBNAIL).astype(np.uint8), (THUMBNAIL, 1)) for top in (180, 200, 220)]
    assert find_near_pairs(ramps, Silent()) == []
    assert find_near_pairs([], Silent()) == []
    assert find_near_pairs(ramps[:1], Silent()) == []


def test_pairs_and_scores_depend_neither_on_order_nor_on_threads(
    pictures: list[Image.Image], thumbnails: list[Pixels]
) -> None:
    both = [*thumbnails, *(look(CHANGES["cropped"](picture)) for picture in pictures)]
    pairs = find_near_pairs(both, Silent(), workers=1)
    assert find_near_pairs(both, Silent(), workers=3) == pairs
    order = np.random.default_rng(1).permutation(len(both))
    shuffled = find_near_pairs([both[i] for i in order], Silent(), workers=2)
    restored = {(*sorted((int(order[p.first]), int(order[p.second]))), p.score) for p in shuffled}
    assert restored == {(p.first, p.second, p.score) for p in pairs}


def test_registration_undoes_a_known_crop(thumbnails: list[Pixels], pictures: list[Image.Image]) -> None:
    crop = look(pictures[0].crop((8, 4, 240, 250)))
    start, share = np.array([[4, 8]], np.float32) / 256, np.array([(246 + 232) / 512], np.float32)
    aware = agreement(thumbnails[0][None], crop[None], start, share)
    unaware = agreement(thumbnails[0][None], crop[None], np.zeros((1, 2), np.float32), np.ones(1, np.float32))
    assert aware > 0.9
    np.testing.assert_allclose(unaware, aware, atol=0.03)


def test_sampling_is_linear_interpolation() -> None:
    line = np.random.default_rng(0).normal(size=9)
    matrix = sampling_matrices(np.array([0.8]), np.array([1.3]), 9)[0]
    wanted = 0.8 * (np.arange(9) - 4) + 1.3 + 4
    inside = wanted <= 8
    np.testing.assert_allclose((matrix @ line)[inside], np.interp(wanted, np.arange(9), line)[inside], atol=1e-6)


def test_thumbnails_of_colour_and_gray_agree() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (1, 300, 200), dtype=np.uint8)
    colour = np.repeat(gray, 3, axis=0)
    assert thumbnail(gray).shape == (THUMBNAIL, THUMBNAIL)
    assert (thumbnail(gray) == thumbnail(colour)).all()


def test_busi(busi_dir: Path) -> None:
    """The copies under two labels, each looked at; numbers are those of the benchmark, with room for rounding."""
    paths = sorted(busi_dir.glob("*/*.png"))
    names = [path.stem for path in paths]
    pairs = find_near_pairs([thumbnail(codec.decode(path)) for path in paths], Silent())
    found = find_duplicates(range(len(paths)), [path.parent.name for path in paths], pairs)
    assert {frozenset(names[i] for i in group) for group in found.conflicts} == {
        frozenset(group)
        for group in (
            ("benign (131)", "benign (42)", "malignant (51)"),
            ("benign (164)", "benign (85)", "malignant (52)"),
            ("benign (333)", "malignant (77)", "malignant (78)"),
            ("benign (399)", "malignant (93)"),
            ("benign (406)", "malignant (94)"),
            ("benign (433)", "malignant (145)"),
            ("benign (269)", "normal (1)"),
            ("benign (437)", "normal (34)"),
        )
    }
    assert 215 <= sum(pair.score > 0.9 for pair in pairs) <= 225
    assert 340 <= sum(len(group) for group in found.repeated) <= 348
