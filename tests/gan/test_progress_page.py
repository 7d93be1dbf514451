"""The page of a running training shows samples, curves, time left and warnings, and loads nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import tiny_gan

from usgan_cli.core.formats.generator import SAMPLES_FOLDER, LogRow
from usgan_cli.core.images import codec
from usgan_cli.gan.progress_page import FILE, real_sheet, state, write_page


def row(kimg: float, **changes: float) -> LogRow:
    values = dict.fromkeys(LogRow.model_fields, 0.5) | {"fd_extractor": None, "copied": None, "fd": 50 - kimg}
    return LogRow.model_validate(values | {"kimg": kimg, "seconds": 10 * kimg, "s_per_kimg": 10.0} | changes)


def written(folder: Path, *, name: str = "ada-n12-s0", ended: bool = False, **changes: float) -> str:
    data = tiny_gan.images()
    codec.write_png(folder / SAMPLES_FOLDER / "kimg00001.000.png", real_sheet(data))
    config = dataclasses.replace(tiny_gan.config(), kimg=4.0)
    write_page(folder, name, config, data, [row(1), row(2, **changes)], ended=ended)
    return (folder / FILE).read_text()


def test_a_running_training_s_page_reads_itself_again_and_a_finished_one_s_does_not(tmp_path: Path) -> None:
    running = written(tmp_path)
    assert 'http-equiv="refresh"' in running
    assert "2 of 4 kimg, 10.0 s per kimg, about 20 s left." in running
    finished = written(tmp_path, ended=True)
    assert 'http-equiv="refresh"' not in finished
    assert "Finished: 2 kimg in 20 s." in finished


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert re.findall(r"(?:src|href)=['\"](?!data:)", page) == []
    assert page.count("<img") == 2
    assert str(tmp_path) not in page


def test_warnings_and_names_are_shown_as_text(tmp_path: Path) -> None:
    page = written(tmp_path, name="<b>", p=0.9)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "ADA&#x27;s p is 0.90" in page


def test_a_curve_needs_two_values(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert "Distance to the training images: 48.000" in page
    assert page.count("<polyline") == 6
    data = tiny_gan.images()
    write_page(tmp_path, "x", tiny_gan.config(), data, [row(1)], ended=False)
    assert "<polyline" not in (tmp_path / FILE).read_text()


def test_minutes_end_before_kimg_where_they_are_fewer() -> None:
    config = dataclasses.replace(tiny_gan.config(), kimg=100.0, minutes=1.0)
    assert state(config, row(3), ended=False).endswith("about 30 s left.")


def test_real_images_stand_in_a_row_for_each_class() -> None:
    data = tiny_gan.images()
    sheet = real_sheet(data, columns=2)
    side = data.pixels.shape[-1]
    assert np.array_equal(sheet[:, :side, :side], data.pixels[np.flatnonzero(data.labels == 0)[0]])
    assert sheet.shape[1] == len(data.classes) * (side + 2) - 2


def test_the_page_warns_of_what_is_a_problem_for_this_training(tmp_path: Path) -> None:
    pages = []
    for name, settings in (("own", tiny_gan.config()), ("projected", tiny_gan.projected())):
        write_page(tmp_path / name, name, settings, tiny_gan.images(), [row(1), row(2, r_t=0.99, p=0.9)], ended=False)
        pages.append((tmp_path / name / FILE).read_text())
    assert "overfits" in pages[0] and "begin to show" in pages[0]
    assert 'class="warning"' not in pages[1]


def test_a_training_leaves_the_page(tmp_path: Path) -> None:
    tiny_gan.run(tmp_path / "gan", tiny_gan.config())
    assert "Finished" in (tmp_path / "gan" / FILE).read_text()
