"""EfficientNet-B2, the study's network: built, loaded from a file of the published layout, trained, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from configs import classifier_config
from safetensors.torch import save_file

from usgan_cli.classify import finetune
from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.models import open_backbone
from usgan_cli.core.errors import WeightsError
from usgan_cli.core.progress import Silent

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the hub has it: timm's names, a classifier of 1000 classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model("efficientnet_b2").state_dict(), path)
    return path


def config(weights: str) -> ClassifierConfig:
    return classifier_config(weights=weights, size=64, batch=4)


def test_weights_of_the_published_layout_are_loaded_and_train_a_step(published: Path) -> None:
    backbone = open_backbone(config(str(published)), 3, Silent())
    assert backbone.weights.startswith("efficientnet_b2@")
    assert backbone.model.get_classifier().out_features == 3
    torch.manual_seed(0)
    theirs = timm.create_model("efficientnet_b2").state_dict()
    assert torch.equal(backbone.model.state_dict()["conv_stem.weight"], theirs["conv_stem.weight"])
    assert backbone.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])

    network = finetune.FoldTrainer(backbone, config(str(published)), 0, CPU, "float32")
    images = torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = network.model.conv_stem.weight.detach().clone()
    with Silent().task("", 1, "") as task:
        network.train_epoch(finetune.LabelledImages(images, torch.tensor([0, 1, 2, 0])), 1, task)
    assert not torch.equal(network.model.conv_stem.weight, before)
    probability = network.predict(images)
    assert probability.shape == (4, 3)
    assert probability.sum(1) == pytest.approx(1, abs=1e-5)
    assert probability == pytest.approx(network.predict(images.flip(-1)), abs=1e-5)  # the mean of both ways round


def test_offline_without_weights_it_is_refused_with_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USGAN_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"efficientnet_b2 are not on this machine.*offline") as caught:
        open_backbone(config("auto"), 3, Silent())
    assert "efficientnet_b2.ra_in1k" in (caught.value.hint or "")
    assert "--weights" in (caught.value.hint or "")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), path)
    with pytest.raises(WeightsError, match=r"other\.safetensors.*tensor"):
        open_backbone(config(str(path)), 3, Silent())
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        open_backbone(config(str(broken)), 3, Silent())
