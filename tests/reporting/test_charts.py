"""Charts of trainings mark what the trainings recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from study_records import write_data, write_gan

from usgan_cli.core.store.workspace import GanKey, Workspace
from usgan_cli.reporting import charts
from usgan_cli.reporting.records import collect
from usgan_cli.reporting.training_charts import training_chart


def test_the_target_of_r_t_is_the_one_that_ada_was_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, figure = Workspace(tmp_path), Figure(layout="constrained")
    data = write_data(workspace)
    for aug in ("none", "ada"):
        write_gan(workspace, data, aug, 40, 0)
    gans = collect(workspace).gans
    ada = replace(gans[GanKey("ada", 40, 0)], settings={"ada_target": 0.45})
    plain = replace(gans[GanKey("none", 40, 0)], settings={"ada_target": 0.7})
    monkeypatch.setattr(charts, "draw", lambda *arguments: arguments[-1](figure))
    training_chart([plain, ada], {}, ada.key.subset, [ada.key.subset])
    (axes,) = (axes for axes in figure.axes if axes.get_title().startswith("r_t"))
    assert axes.get_title().endswith("(target of adaptive p: 0.45)")
    assert [0.45, 0.45] in [list(line.get_ydata()) for line in axes.lines]
