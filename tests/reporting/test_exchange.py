"""What generated images are worth in real ones, as the report says and shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_page import Page, read_table
from study_records import write_study

from usgan_cli.core.formats.comparison import ArmExchange, CurvePoint, Exchange, RealImages, SeedsRecord
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.exchange import exchanges, plate, sentences, table
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, judge_study

SEEDS, SIZES = (0, 1), (100, 60, 40)
ADA, REST = RealImages(low=72.4, high=72.4), RealImages(low=100, high=100, above=True)
INTERVAL = RealImages(low=40, high=90.2, below=True)


def write_rates(work: Workspace, *, lacking: str = "") -> None:
    """Put exchange rates beside the comparisons over seeds; those of ADA differ from the others'."""
    paths = {n: work.ttest(n, *SEEDS) for n in sorted(SIZES)}
    records = {n: SeedsRecord.read(path) for n, path in paths.items()}
    baselines = {n: record.comparisons[0].baseline_by_seed for n, record in records.items()}
    curve = [CurvePoint(n=n, by_repeat=values, fitted=sum(values) / 2 + 0.01) for n, values in baselines.items()]
    for n, record in records.items():
        arms = [
            ArmExchange(
                **{name: getattr(one, name) for name in ("name", "aug", "ratio", "control", "variant")},
                accuracy=one.f1.mean,
                real=ADA if one.aug == "ada" else REST,
                interval=INTERVAL if one.aug == "ada" else REST,
            )
            for one in record.comparisons
        ]
        exchange = Exchange(curve=curve, arms=[] if lacking else arms, lacking=lacking)
        record.model_copy(update={"exchange": exchange}).write(paths[n])


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = write_study(tmp_path_factory.mktemp("rated"), seeds=SEEDS, sizes=SIZES, ratios=(1.0,))
    write_rates(work)
    return work


def said(work: Workspace, primary: str | None = None) -> str:
    study = Study.of(collect(work))
    return " ".join(sentences(study, judge_study(study, Analysis(primary=primary))))


def test_the_table_and_its_file_have_the_numbers_and_leave_open_ends_empty(rated: Workspace, undrawn: None) -> None:
    build_report(rated, rated.report, Silent())
    page = Page(rated.report)
    row = page.row("exchange", "n = 60", "+ 100 % ADA")
    assert row[2:] == ["72 [less than 40 to 90]", "+12 [less than −20 to +30]"]
    assert page.row("exchange", "n = 60", "+ 100 % StyleGAN2")[2:] == [
        "more than 100 [more than 100]",
        "more than +40 [more than +40]",
    ]
    rows = {(one["n"], one["name"]): one for one in read_table(rated.report, "exchange")}
    assert len(rows) == 9
    ends = ("real_low", "real_high", "real_interval_low", "real_interval_high")
    assert [rows["60", "ada-x1"][end] for end in ends] == ["72.4", "72.4", "", "90.2"]
    assert [rows["60", "none-x1"][end] for end in ends] == ["100.0", "", "100.0", ""]
    assert (rated.report / "figures" / "exchange.svg").is_file()


def test_the_curve_is_in_words_under_the_table_and_in_one_figure(rated: Workspace) -> None:
    study = Study.of(collect(rated))
    (curve,) = [note for note in table(study).notes if note.startswith("The curve")]
    point = exchanges(study)[40].curve[0]
    measured = f"{100 * sum(point.by_repeat) / 2:.1f}"
    assert f"{100 * point.fitted:.1f} % at n = 40 (measured {measured} %)" in curve
    drawn = plate(study)
    assert drawn is not None and len(drawn.charts) == 1 and "n = 60, + 100 % ADA: 72" in drawn.charts[0].alt


def test_a_sentence_says_it_of_the_primary_comparison_or_else_of_every_size(rated: Workspace) -> None:
    expected = "60 real images + 100 % ADA do as well as 72 real images alone (95 % interval: less than 40 to 90)."
    assert said(rated, "ada-x1 n60") == expected
    every = said(rated)
    assert every.count("real images with generated ones do as well as 72 to more than 100 real images alone") == 3


def test_what_cannot_be_told_is_said_with_what_to_add(rated: Workspace, tmp_path: Path) -> None:
    one = write_study(tmp_path / "one", sizes=(40,), ratios=(1.0,))
    assert "from one repeat" in said(one) and table(Study.of(collect(one))).groups == []
    # Comparisons of an earlier version have no exchange rate, and nothing is said of it.
    few = write_study(tmp_path / "few", seeds=SEEDS, sizes=SIZES, ratios=(1.0,))
    assert said(few) == ""
    write_rates(few, lacking="The curve needs 3 sizes.")
    assert said(few) == "The curve needs 3 sizes." and plate(Study.of(collect(few))) is None


def test_a_curve_of_baselines_that_were_trained_again_is_left_out(tmp_path: Path) -> None:
    work = write_study(tmp_path, seeds=SEEDS, sizes=SIZES, ratios=(1.0,))
    write_rates(work)
    path = work.ttest(40, *SEEDS)
    record = SeedsRecord.read(path)
    assert record.exchange is not None
    other = record.exchange.curve[2].model_copy(update={"by_repeat": [0.5, 0.6]})
    curve = [*record.exchange.curve[:2], other]
    record.model_copy(update={"exchange": record.exchange.model_copy(update={"curve": curve})}).write(path)
    study = Study.of(collect(work))
    assert any("usgan ttest --n 40 --seeds 0 --seeds 1 --force" in text for text in study.rejected)
