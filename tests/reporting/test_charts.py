"""Charts of trainings mark what the trainings recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from study_records import write_data, write_gan

from usgan_cli.core.store.workspace import GanKey, Workspace
from usgan_cli.reporting import charts
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.training_charts import training_chart


def test_targets_and_p_are_those_of_the_trainings_that_adapted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, figure = Workspace(tmp_path), Figure(layout="constrained")
    data = write_data(workspace)
    for aug in ("none", "ada", "diffaug"):
        write_gan(workspace, data, aug, 40, 0)
    gans = collect(workspace).gans
    diffaug = replace(gans[GanKey("diffaug", 40, 0)], settings={"ada_target": 0.8, "diffaug_p": "adaptive"})
    ada = replace(gans[GanKey("ada", 40, 0)], settings={"ada_target": 0.45})
    plain = replace(gans[GanKey("none", 40, 0)], settings={"ada_target": 0.7})
    monkeypatch.setattr(charts, "draw", lambda *arguments: arguments[-1](figure))
    training_chart([plain, ada, diffaug], {}, ada.key.subset, [ada.key.subset])
    (axes,) = (axes for axes in figure.axes if axes.get_title().startswith("r_t"))
    assert axes.get_title().endswith("(target of adaptive p: 0.45 and 0.8)")
    levels = [list(line.get_ydata()) for line in axes.lines]
    assert [0.45, 0.45] in levels and [0.8, 0.8] in levels and [0.7, 0.7] not in levels
    (axes,) = (axes for axes in figure.axes if axes.get_title().startswith("Adaptive p"))
    assert len(axes.lines) == 3, "ADA's, DiffAug's, and the level above which ADA leaks"
