"""Interrupted trainings: what is finished is kept, and what comes of it is the same as without the interruption."""

from __future__ import annotations

import copy
import dataclasses
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import classifier_config
from processes import Forked, wait_until

from usgan_cli.classify import finetune, fold_files
from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.fold_images import Treatment
from usgan_cli.classify.models import open_backbone
from usgan_cli.classify.train import Origin, train_classifier
from usgan_cli.core.errors import FormatError
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent

CLASSES = ("benign", "malignant", "normal")
CONFIG = classifier_config(
    backbone="test_efficientnet", weights="none", size=32, folds=2, epochs=4, batch=8, lr=3e-3, head_lr=1e-2
)
CPU = torch.device("cpu")


class StoppedError(Exception):
    pass


def toy(name: str, count: int, seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = (rng.normal(60, 15, (count, 1, 32, 32)) + 60 * labels[:, None, None, None]).clip(0, 255).astype(np.uint8)
    files = tuple(f"images/{CLASSES[label]}/{name}{i:03}.png" for i, label in enumerate(labels))
    return ImageSet(name, pixels, labels, CLASSES, files, np.arange(count) + 1000 * seed)


REAL, TEST = toy("real", 24, 1), toy("test", 12, 2)


def train(target: Path, config: ClassifierConfig = CONFIG, **how: Any) -> None:
    target.mkdir(exist_ok=True)
    train_classifier(
        config,
        origin=Origin("real", 24, "a", "b"),
        treatment=Treatment(),
        real=REAL,
        test=TEST,
        target=target,
        progress=Silent(),
        cache_dir=target.parent / "cache",
        **how,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "real"
    train(folder)
    return contents(folder)


def test_a_finished_training_holds_its_folds_and_no_state(undisturbed: dict[str, bytes]) -> None:
    folds = {f"folds/fold{i}.{ending}" for i in range(2) for ending in ("json", "csv")}
    assert undisturbed.keys() == folds | {"predictions.csv", "result.json"}


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5, 7])
def test_stopped_after_any_epoch_it_comes_to_the_same(
    stop_at: int, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "SAVE_SECONDS", 0.0)
    epochs: list[tuple[int, int]] = []
    whole = finetune.FoldTrainer.train_epoch

    def counted(self: Any, train: Any, epoch: int, task: Any) -> None:
        if len(epochs) == stop_at:
            raise StoppedError
        epochs.append((self.fold, epoch))
        whole(self, train, epoch, task)

    with monkeypatch.context() as patch:
        patch.setattr(finetune.FoldTrainer, "train_epoch", counted)
        with pytest.raises(StoppedError):
            train(tmp_path / "real")
    assert not (tmp_path / "real" / "result.json").exists()

    def listed(self: Any, train: Any, epoch: int, task: Any) -> None:
        epochs.append((self.fold, epoch))
        whole(self, train, epoch, task)

    monkeypatch.setattr(finetune.FoldTrainer, "train_epoch", listed)
    train(tmp_path / "real")
    # No epoch is trained twice, none is left out.
    assert epochs == [(fold, epoch) for fold in range(2) for epoch in range(1, 5)]
    assert contents(tmp_path / "real") == undisturbed


def hangs(target: Path) -> int:
    """Train, and hang in the third epoch of the second fold."""
    whole = finetune.FoldTrainer.train_epoch

    def stuck(self: Any, train: Any, epoch: int, task: Any) -> None:
        if (self.fold, epoch) == (1, 3):
            target.with_name("stuck").touch()
            time.sleep(600)
        whole(self, train, epoch, task)

    finetune.SAVE_SECONDS = 0.0  # type: ignore[misc]
    finetune.FoldTrainer.train_epoch = stuck  # type: ignore[method-assign]
    train(target)
    return 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_killed_process_is_continued_to_the_same_bytes(
    how: signal.Signals, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "real"
    process = Forked(lambda: hangs(target))
    wait_until((tmp_path / "stuck").exists, process)
    process.send_signal(how)
    process.wait()
    assert process.returncode != 0
    assert {"folds/fold0.json", "folds/fold1.state.safetensors"} <= contents(target).keys()
    epochs: list[tuple[int, int]] = []
    whole = finetune.FoldTrainer.train_epoch

    def listed(self: Any, train: Any, epoch: int, task: Any) -> None:
        epochs.append((self.fold, epoch))
        whole(self, train, epoch, task)

    monkeypatch.setattr(finetune.FoldTrainer, "train_epoch", listed)
    train(target)
    assert epochs == [(1, 3), (1, 4)]
    assert contents(target) == undisturbed


def test_stopped_between_a_folds_two_files_it_is_done_again(
    undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(fold_files, "_scores", stop)
        with pytest.raises(StoppedError):
            train(tmp_path / "real")
    assert (tmp_path / "real" / "folds" / "fold0.csv").is_file()
    train(tmp_path / "real")
    assert contents(tmp_path / "real") == undisturbed


def test_a_frozen_training_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = dataclasses.replace(CONFIG, freeze=True)
    train(tmp_path / "whole", frozen)
    write, written = fold_files.write_fold, []

    def once(*given: Any) -> None:
        if written:
            raise StoppedError
        written.append(given)
        write(*given)

    with monkeypatch.context() as patch:
        patch.setattr("usgan_cli.classify.train.write_fold", once)
        with pytest.raises(StoppedError):
            train(tmp_path / "stopped", frozen)
    first = tmp_path / "stopped" / "folds" / "fold0.json"
    before = first.stat().st_mtime_ns
    train(tmp_path / "stopped", frozen)
    assert first.stat().st_mtime_ns == before
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_finished_folds_are_not_trained_again(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    train(tmp_path / "real")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "real" / "folds").iterdir()}
    (tmp_path / "real" / "result.json").unlink()
    train(tmp_path / "real")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "real" / "folds").iterdir()} == times
    assert contents(tmp_path / "real") == undisturbed


def test_a_fold_whose_predictions_were_changed_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "real")
    table = tmp_path / "real" / "folds" / "fold1.csv"
    table.write_text(table.read_text().replace(",benign,", ",normal,", 1))
    with pytest.raises(FormatError, match=r"fold1\.csv has changed"):
        train(tmp_path / "real")


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core runs one process at a time")
def test_folds_in_processes_of_their_own_come_to_the_same(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    train(tmp_path / "real", jobs=2)
    assert contents(tmp_path / "real") == undisturbed


@pytest.mark.parametrize("change", [{}, {"head_epochs": 2}, {"layer_decay": 0.7}], ids=str)
def test_a_state_holds_everything(change: dict[str, Any], tmp_path: Path) -> None:
    """Trap: a state without Adam's moments, or in another memory order, goes on differently."""
    config = dataclasses.replace(CONFIG, **change)
    backbone = open_backbone(config, 3, Silent())
    data = finetune.LabelledImages(torch.from_numpy(REAL.pixels), torch.from_numpy(REAL.labels))

    def course(network: Any, epochs: list[int], start: finetune.FoldHistory) -> finetune.FoldHistory:
        for epoch in epochs:
            with finetune.seeded(0, "classifier", 0, epoch, device=CPU), Silent().task("", 1, "") as task:
                network.train_epoch(data, epoch, task)
            start.epoch = epoch
            kept = copy.deepcopy(network.model.state_dict())
            assert start.picks(0.5, len(data.labels))
            start.picked = finetune.PickedEpoch(epoch, network.updates, network.predict(data.images), kept)
        return start

    one = finetune.FoldTrainer(backbone, config, 0, CPU, "float32")
    middle = course(one, [1, 2], finetune.FoldHistory())
    finetune.write_tensors(tmp_path / "state.safetensors", one.state(middle))
    course(one, [3, 4], middle)

    other = finetune.FoldTrainer(backbone, config, 0, CPU, "float32")
    restored = other.restore(finetune.read_tensors(tmp_path / "state.safetensors"))
    assert (restored.epoch, restored.picked.epoch, restored.best, restored.best_epoch) == (2, 2, 0.5, 1)
    course(other, [3, 4], restored)
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert all(torch.equal(one.optimizer.state[a][key], other.optimizer.state[b][key]) for key in ("exp_avg",))
        assert a.stride() == b.stride() == one.optimizer.state[a]["exp_avg"].stride()
        assert other.optimizer.state[b]["exp_avg"].stride() == b.stride()
