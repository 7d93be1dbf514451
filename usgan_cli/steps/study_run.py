"""Carrying out a planned study: one step after another in this process, or as Snakemake's jobs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from usgan_cli.commands.report import Report
from usgan_cli.commands.study import Study as StudyOptions
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.commands.ttest import Ttest
from usgan_cli.core.errors import MissingWeightsError, SettingsError
from usgan_cli.core.machine.weights import source_of
from usgan_cli.core.methods import TIMM
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import headline, judge_study
from usgan_cli.steps.report import declared_analysis
from usgan_cli.steps.study import Planned
from usgan_cli.study.config import StudyConfig
from usgan_cli.study.plan import PlannedStep
from usgan_cli.study.run import run_plan
from usgan_cli.study.snakemake import run_snakemake
from usgan_cli.terminal.live import StudyTerminal
from usgan_cli.terminal.session import Session, as_list, step_of

F1 = "test_micro_f1"
TABLE_OF = {"extractor": "score", "backbone": "classifier"}
"""The table of a study's file in which each network is chosen."""


def carry_out(planned: Planned, options: StudyOptions) -> None:
    """Carry out the steps that are not done."""
    session = planned.session
    check_networks(planned.config)
    if options.engine == "snakemake":
        run_snakemake(options, planned.config, planned.steps, planned.todo, session.workspace)
        return
    terminal = StudyTerminal(
        planned.config.name, planned.steps, planned.states, planned.estimator, planned.chosen, quiet=session.quiet
    )
    session = replace(session, progress=terminal, refresh=True, table=Session.table, explain=Session.explain)
    with terminal.shown():
        run_plan(
            planned.steps,
            planned.states,
            partial(_run_step, session, terminal),
            terminal,
            chosen=planned.chosen,
            keep_going=options.keep_going,
        )


def check_networks(config: StudyConfig) -> None:
    """Raise a `SettingsError` for the first network of a study's file that timm does not have."""
    named = {"classifier.backbone": config.classifier.backbone, "score.extractor": config.score.extractor}
    for aug in config.grid.gans:
        own, gan = config.gans.get(aug, {}), config.gan_of(aug)
        for key in ("feature_network", "extractor"):
            named[f"gan.{aug}.{key}" if key in own else f"gan.{key}"] = getattr(gan, key)
    for place, name in named.items():
        if place == "classifier.backbone" or name.startswith(TIMM):
            try:
                source_of(name.removeprefix(TIMM))
            except SettingsError as error:
                raise SettingsError(f"{place}: {error.message}", error.hint) from None


def _run_step(session: Session, terminal: StudyTerminal, step: PlannedStep) -> None:
    session = replace(session, workspace=Workspace(step.options.work))
    if step.command == Ttest.COMMAND:  # the one table that a study is made for; the others are in the report
        session = replace(session, table=terminal.table, explain=terminal.explain)
    if step.command == TrainGan.COMMAND:
        session = replace(session, explain=terminal.explain)
    try:
        outcomes = as_list(step_of(step.options)(step.options, session))
    except MissingWeightsError as error:
        if error.alternative is not None:
            name, value = error.alternative
            error.hint = f'Set {TABLE_OF[name]}.{name} = "{value}" in the study\'s file, or: {error.fetch}'
        raise
    if any(outcome.status == "skipped" for outcome in outcomes):
        terminal.kept(step)
    for outcome in outcomes:
        if step.command == TrainClassifier.COMMAND and F1 in outcome.result:
            f1 = outcome.result[F1]
            terminal.note(f"{step.place}: F1 {100 * f1['mean']:.1f} ± {100 * f1['sd']:.1f} %")
    if step.command == Report.COMMAND and not (records := collect(session.workspace)).is_empty():
        analysis = declared_analysis(session.workspace)
        terminal.note(f"Verdict: {headline(judge_study(Study.of(records), analysis))}")
