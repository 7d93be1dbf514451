"""Equal updates: every classifier is trained as much as every other, no matter how many images were added."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classifier_sets import REAL, TUNED, toy, train, treated

from usgan_cli.classify import finetune
from usgan_cli.classify.config import check_config, settings_of
from usgan_cli.classify.fold_images import Treatment
from usgan_cli.classify.head import LinearHead
from usgan_cli.classify.models import open_backbone
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.stats.compare import check_budgets

EQUAL = dataclasses.replace(TUNED, budget="updates", updates=14, epochs=3, patience=1)
FROZEN = dataclasses.replace(TUNED, budget="updates", updates=None, freeze=True)
ARMS = {
    "real": Treatment(),
    "ada": treated(2),
    "shuffled": treated(2, control="shuffled"),
    "copies": Treatment(ratio=1, control="copies"),
    "classical": Treatment(ratio=1, control="classical"),
}


def test_every_arm_takes_the_same_optimiser_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the optimiser; patience, which would have ended the arms at different times, shortens none."""
    steps: Counter[str] = Counter()
    arm = ""
    whole = torch.optim.AdamW.step

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps[arm] += 1
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    for arm, treatment in ARMS.items():
        record = train(tmp_path / arm, EQUAL, treatment=treatment)
        assert (record.settings.budget, record.settings.updates, record.settings.epochs) == ("updates", 14, 3)
        for fold in record.folds:
            assert (fold.updates, fold.images_seen) == (14, 14 * TUNED.batch)
            assert fold.kept_updates == 14 * fold.epoch // 3
    assert steps == dict.fromkeys(ARMS, 14 * TUNED.folds)


def test_epochs_record_the_updates_that_they_took(tmp_path: Path) -> None:
    config = dataclasses.replace(TUNED, epochs=2, folds=3)
    few, many = train(tmp_path / "real", config), train(tmp_path / "ada", config, 1)
    assert {fold.updates for fold in few.folds} == {2 * 4}  # 30 images in batches of 8
    assert {fold.updates for fold in many.folds} == {2 * 10}  # 75 images
    assert [fold.images_seen for fold in many.folds] == [2 * 75] * 3
    more = train(
        tmp_path / "more", dataclasses.replace(config, updates=20), treatment=Treatment(ratio=1, control="real")
    )
    assert {fold.updates for fold in more.folds} == {20}
    assert {fold.train_synthetic for fold in more.folds} == {0}
    assert more.settings == few.settings == many.settings, "the published protocol compares them"


@pytest.mark.parametrize("count", [5, 8, 30, 100])
def test_images_are_drawn_uniformly(count: int) -> None:
    config = dataclasses.replace(EQUAL, updates=60, epochs=7)
    trainer = finetune.FoldTrainer(open_backbone(config, 3, Silent()), config, 0, torch.device("cpu"), "float32")
    batches = [batch for epoch in range(1, 8) for batch in trainer._batches(count, epoch)]
    assert [len(batch) for batch in batches] == [config.batch] * 60
    drawn = torch.bincount(torch.cat(batches), minlength=count)
    assert drawn.max() - drawn.min() <= 1
    first = torch.cat(batches)[:count]
    assert sorted(first.tolist()) == list(range(count)), "a pass holds every image once"
    assert first.tolist() != list(range(count))


def test_an_interrupted_training_goes_on_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of updates and images included."""
    train(tmp_path / "whole", EQUAL, treatment=ARMS["classical"])
    monkeypatch.setattr(finetune, "SAVE_SECONDS", 0.0)
    whole = finetune.FoldTrainer.train_epoch

    def stopped(self: Any, images: Any, epoch: int, task: Any) -> None:
        if (self.fold, epoch) == (1, 3):
            raise KeyboardInterrupt
        whole(self, images, epoch, task)

    with monkeypatch.context() as patch:
        patch.setattr(finetune.FoldTrainer, "train_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", EQUAL, treatment=ARMS["classical"])
    assert (tmp_path / "stopped" / "folds" / "fold1.state.safetensors").is_file()
    train(tmp_path / "stopped", EQUAL, treatment=ARMS["classical"])
    for name in ("result.json", "predictions.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_gain_from_updates_alone_is_gone_at_equal_updates(tmp_path: Path) -> None:
    """Trap: "generated" images that are the fold's own real ones teach nothing, yet win at equal epochs."""
    real, test = toy("real", 30, 1), toy("test", 60, 2)

    def gain(name: str, **changes: Any) -> float:
        config = dataclasses.replace(TUNED, epochs=4, patience=4, lr=1e-3, head_lr=3e-3, **changes)
        sets: dict[str, Any] = {"real": real, "test": test, "n": 30}
        plain = train(tmp_path / name / "real", config, **sets)
        copied = train(tmp_path / name / "copies", config, treatment=Treatment(ratio=3, control="copies"), **sets)
        return copied.test_micro_f1.mean - plain.test_micro_f1.mean

    updates = 4 * 14  # as many as the 15 real images and 90 copies of a fold take in four epochs
    by_epochs, by_updates = gain("epochs", budget="epochs"), gain("updates", budget="updates", updates=updates)
    assert by_epochs > 0.3
    assert abs(by_updates) < 0.1


def test_more_images_do_not_weigh_more_in_a_linear_head(tmp_path: Path) -> None:
    for name, treatment in ARMS.items():
        equal = train(tmp_path / name, FROZEN, treatment=treatment)
        side = [len(REAL) - fold.train_real for fold in equal.folds]
        assert [fold.data_weight for fold in equal.folds] == [45 - held_out for held_out in side]
        assert {(fold.updates, fold.images_seen) for fold in equal.folds} == {(0, 0)}
    epochs = train(tmp_path / "epochs", dataclasses.replace(FROZEN, budget="epochs"), 2)
    assert [fold.data_weight for fold in epochs.folds] == [fold.train_real + 90 for fold in epochs.folds]


def test_copies_of_everything_leave_a_linear_head_as_it_is() -> None:
    """Trap: unweighted copies weaken the penalty, which is more training under another name."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(30, 1, 8)).astype(np.float32), np.arange(30) % 3
    twice = np.concatenate([features] * 4), np.concatenate([labels] * 4)
    plain = LinearHead(features, labels, "none").probability(features, 0.01)
    weighted = LinearHead(*twice, "none", 30).probability(features, 0.01)
    np.testing.assert_allclose(weighted, plain, atol=1e-4)
    assert np.abs(LinearHead(*twice, "none").probability(features, 0.01) - plain).max() > 0.01


def test_unequal_updates_are_not_compared(tmp_path: Path) -> None:
    real = train(tmp_path / "real", EQUAL)
    longer = train(tmp_path / "longer", dataclasses.replace(EQUAL, updates=28), treatment=treated())
    with pytest.raises(SettingsError, match="took 14 and 28 optimiser updates") as caught:
        check_budgets(real, longer)
    assert "--updates 14 --refresh" in (caught.value.hint or "")
    by_epochs = train(tmp_path / "epochs", dataclasses.replace(EQUAL, budget="epochs", updates=None), 1)
    with pytest.raises(SettingsError, match="one has equal updates, the other equal epochs"):
        check_budgets(real, by_epochs)
    plain = train(tmp_path / "plain", dataclasses.replace(EQUAL, budget="epochs", updates=None))
    check_budgets(plain, by_epochs)


def test_impossible_budgets_are_refused_and_patience_is_not_recorded() -> None:
    with pytest.raises(SettingsError, match="updates must be at least epochs"):
        check_config(dataclasses.replace(EQUAL, updates=2))
    with pytest.raises(SettingsError, match="needs their number"):
        check_config(dataclasses.replace(EQUAL, updates=None))
    assert "patience" not in settings_of(EQUAL)
    assert "patience" in settings_of(TUNED)
