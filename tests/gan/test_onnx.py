"""A generator as an ONNX model: the plain arithmetic is the network's, and onnxruntime makes the same images."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_gan import tiny_document

from usgan_cli.core.errors import MissingError
from usgan_cli.core.formats.generator import Architecture, GeneratorDocument
from usgan_cli.gan import onnx as exporting
from usgan_cli.gan.kernels import activation, conv, filters
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.onnx import TOLERANCE, DisagreementError, TruncatedGenerator, export_onnx
from usgan_cli.gan.sample import latents

SHAPE = {"resolution": 16, "img_channels": 1, "c_dim": 3, "z_dim": 8, "w_dim": 12}
SHAPE |= {"mapping_layers": 2, "channel_base": 128, "channel_max": 16}
ABSENT = [name for name in exporting.PACKAGES if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} absent: pip install 'usgan[onnx]'")


def make_generator(clamp: float = 256, **changes: Any) -> Generator:
    """Return a generator in which nothing is at its neutral first value."""
    network = Generator(Architecture(**{**SHAPE, **changes}), init=torch.Generator().manual_seed(0), clamp=clamp)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith(("bias", "noise_strength", "w_avg")):
                value.add_(torch.randn(value.shape, generator=draws) * 0.3)
    return network.requires_grad_(False)


def document() -> GeneratorDocument:
    return tiny_document(name="toy-n12-s0", architecture=Architecture(**SHAPE), classes=["a", "b", "ç"], aug="none")


@pytest.mark.parametrize("noise", ["const", "none"])
@pytest.mark.parametrize("changes", [{}, {"resolution": 32, "img_channels": 3}, {"c_dim": 0}, {"clamp": 0.5}])
def test_what_an_exporter_sees_is_what_the_networks_compute(
    changes: dict[str, Any], noise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_generator(**changes).double()
    z = latents(range(4), 8).double()
    c = F.one_hot(torch.arange(4) % 3, 3)[:, : network.architecture.c_dim].double()
    theirs = {psi: network(z, c, truncation_psi=psi, noise=noise) for psi in (1.0, 0.3)}  # type: ignore[arg-type]
    for module in (activation, conv, filters):
        monkeypatch.setattr(module, "is_traced", lambda: True)
    monkeypatch.setattr(torch.autograd.Function, "apply", None)  # no exporter follows these
    exported = TruncatedGenerator(network, noise).double()
    for psi, images in theirs.items():
        ours = exported(z, c, torch.tensor(psi, dtype=torch.float64))
        assert torch.allclose(ours, images, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("onnx") / "toy.onnx"
    return path, export_onnx(document(), make_generator(), path)


@pytest.mark.slow
@needs_onnx
def test_onnxruntime_makes_the_generators_images(exported: tuple[Path, dict[str, Any]]) -> None:
    import onnxruntime

    path, told = exported
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shapes = {one.name: one.shape for one in [*session.get_inputs(), *session.get_outputs()]}
    assert shapes == {"z": ["batch", 8], "c": ["batch", 3], "truncation": [], "image": ["batch", 1, 16, 16]}
    network = make_generator()
    # Seeds, classes, truncation and numbers of images that the export itself has not tried.
    for count, psi in ((1, 0.9), (3, 0.0), (7, 1.0)):
        z, c = latents(range(50, 50 + count), 8), torch.eye(3)[torch.arange(count) % 2 + 1]
        given = {"z": z.numpy(), "c": c.numpy(), "truncation": np.float32(psi)}
        (made,) = session.run(["image"], {name: np.asarray(value) for name, value in given.items()})
        expected = network(z, c, truncation_psi=psi, noise="const").numpy()
        assert np.abs(made - expected).max() < 1e-4
    assert 0 <= told["max_difference"] < 1e-4 < told["tolerance"] == TOLERANCE
    # The images differ, so that agreement means something.
    assert expected.std(axis=0).mean() > 0.05


@needs_onnx
def test_the_model_says_what_it_is_and_nothing_of_where_it_was_made(exported: tuple[Path, dict[str, Any]]) -> None:
    import onnx

    path, told = exported
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(props["classes"]) == ["a", "b", "ç"]
    assert props["generator"] == told["generator"] == document().content_digest()
    assert (props["resolution"], props["noise"]) == ("16", "const")
    assert "one-hot" in props["usage"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", told["opset"])]
    assert model.producer_name == "usgan"
    assert str(Path(exporting.__file__).parent.parent).encode() not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()


@pytest.mark.slow
@needs_onnx
def test_the_same_generator_gives_the_same_bytes(exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, told = exported
    assert export_onnx(document(), make_generator(), tmp_path / "again.onnx") == told
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


@needs_onnx
@pytest.mark.parametrize("bias", [0.5, torch.nan])
def test_a_model_that_disagrees_is_not_written(
    exported: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bias: float
) -> None:
    import onnx

    other = make_generator()
    other.synthesis.get_submodule("b16").torgb.bias.fill_(bias)  # type: ignore[operator,union-attr]
    monkeypatch.setattr(exporting, "_exported", lambda *_: onnx.load(str(exported[0])))
    with pytest.raises(DisagreementError, match="differ from the generator's by up to"):
        export_onnx(document(), other, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", exporting.PACKAGES)
def test_an_absent_package_is_named_with_its_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exporting.importlib.import_module

    def without(wanted: str) -> Any:
        if wanted == name:
            raise ModuleNotFoundError(name)
        return whole(wanted) if find_spec(wanted) else None

    monkeypatch.setattr(exporting.importlib, "import_module", without)
    with pytest.raises(MissingError, match=f"the package {name}") as caught:
        exporting.require_packages()
    assert "pip install 'usgan[onnx]'" in str(caught.value)
