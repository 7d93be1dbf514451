"""Sampling: an image depends on its generator and its own seed alone, and lists of classes start alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core import checkpoint, datasets
from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.progress import Silent
from usgan_cli.gan.networks import Generator, GeneratorConfig
from usgan_cli.gan.sample import build_generator, class_grid, class_order, generate, make_images

SHAPE = {"resolution": 16, "img_channels": 1, "c_dim": 3, "z_dim": 8, "w_dim": 8}
SHAPE |= {"mapping_layers": 2, "channel_base": 128, "channel_max": 16}


def make_generator() -> Generator:
    generator = Generator(GeneratorConfig(**SHAPE), init=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return generator.requires_grad_(False)


def save(folder: Path, generator: Generator) -> None:
    digest = checkpoint.write_tensors(folder / "generator.safetensors", generator.state_dict())
    checkpoint.GeneratorDocument(
        name="toy-n12-s0",
        architecture=checkpoint.Architecture(**SHAPE),
        classes=["a", "b", "c"],
        class_counts={"a": 6, "b": 4, "c": 2},
        aug="none",
        n=12,
        seed=0,
        kimg=1,
        preset="tiny",
        tensors=digest,
    ).write(folder / "generator.json")


def test_an_image_depends_on_its_seed_alone() -> None:
    generator = make_generator()
    many = list(make_images(generator, range(20), [i % 3 for i in range(20)]))
    for i in (0, 7, 8, 19):
        (alone,) = make_images(generator, [i], [i % 3])
        assert np.array_equal(alone, many[i])
    assert not np.array_equal(many[0], many[3])


def test_the_class_matters() -> None:
    a, b = make_images(make_generator(), [5, 5], [0, 1])
    assert not np.array_equal(a, b)


def test_no_truncation_strays_further_than_much() -> None:
    generator = make_generator()
    seeds, labels = list(range(32)), [0] * 32
    whole = np.stack(list(make_images(generator, seeds, labels, noise="none"))).astype(float)
    safe = np.stack(list(make_images(generator, seeds, labels, truncation_psi=0.2, noise="none"))).astype(float)
    assert safe.std(axis=0).mean() < 0.6 * whole.std(axis=0).mean()


def test_grid_rows_share_their_latents() -> None:
    grid = class_grid(make_generator(), 3, 4, seed=0)
    assert grid.shape == (1, 3 * 16 + 2 * 2, 4 * 16 + 3 * 2)
    assert np.array_equal(grid, class_grid(make_generator(), 3, 4, seed=0))


@given(
    shares=st.lists(st.integers(1, 50), min_size=2, max_size=5),
    count=st.integers(0, 300),
    shorter=st.integers(0, 300),
)
def test_every_start_has_the_shares(shares: list[int], count: int, shorter: int) -> None:
    order = class_order(shares, count)
    start = order[: min(shorter, count)]
    assert start == class_order(shares, len(start))
    for label, share in enumerate(shares):
        assert abs(start.count(label) - len(start) * share / sum(shares)) < len(shares) - 0.5


def test_generate_writes_what_its_manifest_says(tmp_path: Path) -> None:
    gan, few, many = tmp_path / "gan", tmp_path / "few", tmp_path / "many"
    gan.mkdir()
    save(gan, make_generator())
    settings = {"truncation_psi": 1.0, "noise": "random", "precision": "float32", "seed": 0}
    for folder, count in ((few, 6), (many, 12)):
        folder.mkdir()
        generate(gan, folder, torch.device("cpu"), Silent(), count=count, **settings)
    small, large = datasets.load_synthetic(few), datasets.load_synthetic(many)
    assert large.class_counts() == {"a": 6, "b": 4, "c": 2}
    assert large.files[:6] == small.files
    assert np.array_equal(large.pixels[:6], small.pixels)
    with pytest.raises(DataError, match="12 generated images; 13 are needed"):
        datasets.load_synthetic(many, 13)
    (many / large.files[0]).write_bytes((many / large.files[1]).read_bytes())
    with pytest.raises(DataError, match="has changed"):
        datasets.load_synthetic(many)


def test_an_unfinished_generator_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no generator"):
        checkpoint.read_generator(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingError, match="has not finished"):
        checkpoint.read_generator(tmp_path)


def test_build_generator_takes_published_names() -> None:
    generator = make_generator()
    built = build_generator(checkpoint.Architecture(**SHAPE), generator.state_dict(), torch.device("cpu"))
    a, b = (next(make_images(network, [1], [2])) for network in (generator, built))
    assert np.array_equal(a, b)
