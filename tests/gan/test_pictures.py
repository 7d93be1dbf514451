"""Pictures of a generator: rows by class, and a way between two images that begins and ends at them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from tiny_gan import tiny_generator

from usgan_cli.core.images.codec import Pixels
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.pictures import encode_gif, grid, interpolate, there_and_back
from usgan_cli.gan.sample import Sampling, make_images

SIZE = 16


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator()


def cells(sheet: Pixels) -> list[list[Pixels]]:
    """Take a sheet apart again: its gaps are 2 pixels."""
    step = SIZE + 2
    rows, columns = ((length + 2) // step for length in sheet.shape[1:])
    return [
        [sheet[:, r * step : r * step + SIZE, c * step : c * step + SIZE] for c in range(columns)] for r in range(rows)
    ]


def one(generator: Generator, seed: int, label: int, **settings: float | str) -> Pixels:
    return next(make_images(generator, [seed], [label], **settings))  # type: ignore[arg-type]


def test_a_grid_shows_every_class_the_same_seeds(generator: Generator) -> None:
    sampling = Sampling(truncation_psi=0.7, noise="const")
    found = cells(grid(generator, [0, 2], 3, 4, list(range(20, 26)), sampling))
    assert (len(found), len(found[0])) == (4, 3)
    seeds = [20, 21, 22, 23, 24, 25] * 2
    expected = list(make_images(generator, seeds, [0] * 6 + [2] * 6, truncation_psi=0.7, noise="const"))
    assert np.array_equal([cell for row in found for cell in row], expected)


def test_rows_that_do_not_go_evenly_are_given_to_the_first_classes(generator: Generator) -> None:
    found = cells(grid(generator, [0, 1, 2], 2, 4, [1, 2, 3, 4], Sampling()))
    expected = list(make_images(generator, [1, 3, 1, 1], [0, 0, 1, 2]))
    assert np.array_equal([row[0] for row in found], expected)


def test_the_way_begins_and_ends_at_the_images_of_its_seeds(generator: Generator) -> None:
    rows = interpolate(generator, [0, 1, 2], (3, 9), 5, Sampling(noise="const"))
    assert [len(row) for row in rows] == [5, 5, 5]
    expected = list(make_images(generator, [3, 9] * 3, [0, 0, 1, 1, 2, 2], noise="const"))
    assert np.array_equal([image for row in rows for image in (row[0], row[-1])], expected)


def test_noise_stays_that_of_the_first_seed(generator: Generator) -> None:
    (row,) = interpolate(generator, [1], (3, 9), 3, Sampling())
    assert np.array_equal(row[0], one(generator, 3, 1))
    assert not np.array_equal(row[-1], one(generator, 9, 1))
    # From a seed to itself nothing changes: noise drawn for every frame would flicker.
    (still,) = interpolate(generator, [1], (3, 3), 4, Sampling())
    assert all(np.array_equal(frame, still[0]) for frame in still)


def test_the_way_is_straight_in_w(generator: Generator) -> None:
    (row,) = interpolate(generator, [1], (3, 9), 3, Sampling(noise="none"))
    z = torch.stack([torch.randn(8, generator=g) for g in _latent_draws(3, 9)])
    with torch.no_grad():
        ws = generator.mapping(z, torch.eye(3)[[1, 1]])
        middle = generator.synthesis(ws.mean(dim=0, keepdim=True), "none")
    expected = (middle[0] * 127.5 + 128).round().clamp(0, 255).numpy()
    assert np.abs(row[1].astype(float) - expected).max() <= 1


def _latent_draws(*seeds: int) -> list[torch.Generator]:
    from usgan_cli.core.machine.seeds import torch_generator

    return [torch_generator("latent", seed) for seed in seeds]


def test_there_and_back_has_no_jump_and_shows_no_end_twice() -> None:
    frames = [np.full((1, 2, 2), level, dtype=np.uint8) for level in range(4)]
    assert [int(frame[0, 0, 0]) for frame in there_and_back(frames)] == [0, 1, 2, 3, 2, 1]
    assert [int(frame[0, 0, 0]) for frame in there_and_back(frames[:2])] == [0, 1]


def test_a_gray_gif_keeps_every_level() -> None:
    draws = np.random.default_rng(0)
    frames = [draws.integers(0, 256, (1, 20, 30), dtype=np.uint8) for _ in range(3)]
    data = encode_gif(frames, 40)
    assert data == encode_gif(frames, 40)
    with Image.open(io.BytesIO(data)) as gif:
        assert (gif.format, gif.info["loop"], gif.info["duration"]) == ("GIF", 0, 40)
        shown = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(gif)]
    assert np.array_equal(shown, [frame[0] for frame in frames])


def test_a_colour_gif_shows_its_colours() -> None:
    frames = [np.zeros((3, 8, 8), dtype=np.uint8) for _ in range(2)]
    frames[0][0], frames[1][2] = 200, 100
    with Image.open(io.BytesIO(encode_gif(frames))) as gif:
        shown = [frame.convert("RGB").getpixel((0, 0)) for frame in ImageSequence.Iterator(gif)]
    assert np.abs(np.array(shown) - [[200, 0, 0], [0, 0, 100]]).max() <= 2
