"""Sampling: an image depends on its generator and its own seed alone; a shorter list of classes starts a longer one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretend_gpu import CUDA, pretend_gpu
from tiny_gan import tiny_architecture, tiny_generator, write_generator

from usgan_cli.core.errors import DataError, MissingError, SettingsError
from usgan_cli.core.formats.generator import read_generator
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.images.sets import load_synthetic
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.core.progress import Silent
from usgan_cli.gan import sample
from usgan_cli.gan.sample import (
    BLOCK,
    Sampling,
    build_generator,
    class_samples,
    generate,
    in_blocks,
    make_images,
    noise_of,
    row_of_seeds,
)


def write(gan: Path, folder: Path, count: int, **settings: Any) -> SyntheticManifest:
    settings = {"seeds": row_of_seeds(0, count), "sampling": Sampling(), **settings}
    return generate(gan, folder, torch.device("cpu"), Silent(), **settings)


def test_an_image_depends_on_its_seed_alone() -> None:
    generator = tiny_generator()
    many = list(make_images(generator, range(20), [i % 3 for i in range(20)]))
    for i in (0, 7, 8, 19):
        (alone,) = make_images(generator, [i], [i % 3])
        assert np.array_equal(alone, many[i])
    assert not np.array_equal(many[0], many[3])


def test_the_class_matters() -> None:
    a, b = make_images(tiny_generator(), [5, 5], [0, 1])
    assert not np.array_equal(a, b)


def test_no_truncation_strays_further_than_much() -> None:
    generator = tiny_generator()
    seeds, labels = list(range(32)), [0] * 32
    whole = np.stack(list(make_images(generator, seeds, labels, noise="none"))).astype(float)
    safe = np.stack(list(make_images(generator, seeds, labels, truncation_psi=0.2, noise="none"))).astype(float)
    assert safe.std(axis=0).mean() < 0.6 * whole.std(axis=0).mean()


def test_samples_come_by_class_and_belong_to_the_seed() -> None:
    rows = np.array(class_samples(tiny_generator(), 3, 4, seed=0))
    assert rows.shape == (3, 4, 1, 16, 16)
    assert np.array_equal(rows, class_samples(tiny_generator(), 3, 4, seed=0))
    assert not np.array_equal(rows, class_samples(tiny_generator(), 3, 4, seed=1))


def test_generate_writes_what_its_manifest_says(tmp_path: Path) -> None:
    gan, few, many = tmp_path / "gan", tmp_path / "few", tmp_path / "many"
    gan.mkdir()
    write_generator(gan, tiny_generator())
    for folder, count in ((few, 6), (many, 12)):
        folder.mkdir()
        write(gan, folder, count)
    small, large = load_synthetic(few), load_synthetic(many)
    assert large.class_counts() == {"a": 6, "b": 4, "c": 2}
    assert large.files[:6] == small.files
    assert np.array_equal(large.pixels[:6], small.pixels)
    with pytest.raises(DataError, match="12 generated images; 13 are needed"):
        load_synthetic(many, 13)
    (many / large.files[0]).write_bytes((many / large.files[1]).read_bytes())
    with pytest.raises(DataError, match="has changed"):
        load_synthetic(many)


@pytest.mark.parametrize("form", ["zip", "npz"])
def test_every_format_holds_the_same_images(tmp_path: Path, form: str) -> None:
    gan, plain, packed = tmp_path / "gan", tmp_path / "plain", tmp_path / "packed"
    for folder in (gan, plain, packed):
        folder.mkdir()
    write_generator(gan, tiny_generator())
    write(gan, plain, 9)
    assert write(gan, packed, 9, form=form).form == form
    a, b = load_synthetic(plain), load_synthetic(packed)
    assert np.array_equal(a.pixels, b.pixels)
    assert np.array_equal(a.labels, b.labels)
    assert np.array_equal(load_synthetic(packed, 4).pixels, a.pixels[:4])


def test_only_some_classes_come_in_their_own_proportions(tmp_path: Path) -> None:
    gan, made = tmp_path / "gan", tmp_path / "made"
    for folder in (gan, made):
        folder.mkdir()
    write_generator(gan, tiny_generator())
    manifest = write(gan, made, 9, classes=["c", "b"])
    images = load_synthetic(made)
    assert images.class_counts() == {"a": 0, "b": 6, "c": 3}
    assert manifest.class_shares == {"a": 0, "b": pytest.approx(2 / 3), "c": pytest.approx(1 / 3)}
    # Image i is that of its own seed and class, independent of the others.
    expected = list(make_images(tiny_generator(), range(9), images.labels.tolist()))
    assert np.array_equal(images.pixels, expected)
    for classes, words in ((["d"], "no class 'd'"), (["a", "a"], "named twice")):
        with pytest.raises(SettingsError, match=words):
            write(gan, made, 9, classes=classes)
    with pytest.raises(SettingsError, match="1 or more"):
        write(gan, made, 0)


def test_where_memory_is_short_blocks_are_halved_and_nothing_is_lost() -> None:
    sizes: list[int] = []

    def compute(places: list[int]) -> torch.Tensor:
        sizes.append(len(places))
        if len(places) > 5:
            raise torch.cuda.OutOfMemoryError
        return (torch.tensor(places).reshape(-1, 1, 1, 1) - 128) / 127.5

    assert [int(pixels.item()) for pixels in in_blocks(compute, 11, 16)] == list(range(11))
    assert sizes == [16, 8, 4, 4, 4]

    def never(places: list[int]) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(SettingsError, match="too small to make one image"):
        list(in_blocks(never, 3, 4))


def test_a_processor_computes_blocks_of_one_size_whatever_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_generator()
    sizes: list[int] = []
    forward = generator.synthesis.forward

    def count(ws: torch.Tensor, noise: Any) -> torch.Tensor:
        sizes.append(len(ws))
        return forward(ws, noise)

    monkeypatch.setattr(generator.synthesis, "forward", count)
    list(make_images(generator, range(BLOCK + 3), [0] * (BLOCK + 3)))
    assert sizes == [BLOCK, BLOCK]
    assert sample.block_size(generator) == BLOCK


def test_kinds_of_noise() -> None:
    generator = tiny_generator()
    by_kind = {kind: next(make_images(generator, [4], [0], noise=kind)) for kind in ("random", "const", "none")}
    assert len({pixels.tobytes() for pixels in by_kind.values()}) == 3
    with pytest.raises(ValueError, match="'random', 'const' or 'none'"):
        next(make_images(generator, [4], [0], noise="pink"))


def test_the_noise_of_an_image_is_that_of_its_own_seed_layer_by_layer() -> None:
    generator = tiny_generator()
    drawn = noise_of(generator, [7, 8], "random")
    own = generator.synthesis.draw_noise(1, torch_generator("noise", 8))
    assert [plane.shape for plane in drawn] == [(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    assert all(torch.equal(both[1:], one) for both, one in zip(drawn, own, strict=True))
    assert {plane.dtype for plane in noise_of(generator.double(), [7], "random")} == {torch.float64}


def test_a_gpu_makes_the_same_images_and_the_host_waits_for_whole_blocks_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, "block_size", lambda _: 4)
    labels = [i % 3 for i in range(10)]
    expected = list(make_images(tiny_generator(), range(10), labels))
    with pretend_gpu() as gpu:
        generator = tiny_generator().to(CUDA)
        list(make_images(generator, [0], [0]))  # makes the filters, once for a device
        gpu.waits.clear()
        made = list(make_images(generator, range(10), labels))
        assert gpu.waits == []
    assert np.array_equal(made, expected)


def test_a_block_is_begun_before_the_one_ahead_of_it_is_waited_for() -> None:
    begun: list[int] = []

    def compute(places: list[int]) -> torch.Tensor:
        begun.append(places[0])
        return torch.zeros(len(places), 1, 1, 1)

    images = in_blocks(compute, 6, 2)
    next(images)
    assert begun == [0, 2]
    assert len(list(images)) == 5
    assert begun == [0, 2, 4]


def test_an_unfinished_generator_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no generator"):
        read_generator(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingError, match="has not finished"):
        read_generator(tmp_path)


def test_build_generator_takes_published_names() -> None:
    generator = tiny_generator()
    built = build_generator(tiny_architecture(), generator.state_dict(), torch.device("cpu"))
    a, b = (next(make_images(network, [1], [2])) for network in (generator, built))
    assert np.array_equal(a, b)
