"""`usgan study`: all steps of a study, in order, in one process; what is done is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import console
from usgan_cli.commands import generate, phantom, prepare, report, score, subsample, train_cls, train_gan, ttest
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.study.plan import PlannedStep

STEPS: Mapping[str, Callable[..., Outcome | list[Outcome]]] = {
    "phantom": phantom.phantom,
    "prepare": prepare.prepare,
    "subsample": subsample.subsample,
    "train-gan": train_gan.train_gan,
    "generate": generate.generate,
    "score": score.score,
    "train-cls": train_cls.train_cls,
    "ttest": ttest.ttest,
    "report": report.report,
}


def study(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="paper|demo|smoke|FILE.toml", help="A shipped study, or a TOML file of your own.")
    ],
    source: Annotated[
        str | None, typer.Option(help="Folder of images to use instead of the study's own (or 'phantom').")
    ] = None,
    print_: Annotated[
        bool,
        typer.Option("--print", help="Print the study's TOML file, to begin one of your own, and do nothing else."),
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="After a failure go on with what does not depend on it.")
    ] = False,
) -> list[Outcome]:
    """Run a whole study: sizes x GANs x seeds x ratios, from images to report. It can be interrupted and run again."""
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.study.config import load_study, study_text
    from usgan_cli.study.driver import run_plan
    from usgan_cli.study.plan import plan_study

    config = load_study(name)
    if print_:
        console.emit_text(study_text(name))
        return []
    if source is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    steps = plan_study(config, session.workspace)
    if session.dry_run:
        _show_plan(session, steps)
        plan = {"steps": [step.line(session.workspace) for step in steps]}
        return [Outcome(session.workspace.report / "index.html", "planned", plan)]
    runners = {command: _bound(function, session) for command, function in STEPS.items()}
    run_plan(steps, runners, session.workspace, session.progress, keep_going=keep_going)
    result = {"name": config.name, "steps": len(steps)}
    return [Outcome(session.workspace.report / "index.html", "done", result)]


def _bound(function: Callable[..., Any], session: Session) -> Callable[..., Any]:
    return lambda **settings: function(session, **settings)


def _show_plan(session: Session, steps: list[PlannedStep]) -> None:
    from usgan_cli.core.artefact import find_step

    def state(step: PlannedStep) -> str:
        found = find_step(step.writes)
        return "missing" if found is None else "done" if found[1] else "unfinished"

    rows = [(step.line(session.workspace), state(step)) for step in steps]
    session.table(f"{len(steps)} steps", ("command", "now"), rows)
