"""`usgan study`: all steps of a study, in order, in one process; what is done is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import console
from usgan_cli.commands import generate, phantom, prepare, report, score, subsample, train_cls, train_gan, ttest
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.study.config import StudyConfig
    from usgan_cli.study.estimate import Estimator
    from usgan_cli.study.plan import PlannedStep
    from usgan_cli.study.state import Check, StepState

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
ENGINES = ("local", "snakemake")
PART, CLUSTER = "A part of the study", "On a cluster"


def study(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="paper|demo|smoke|FILE.toml", help="A shipped study, or a TOML file of your own.")
    ],
    engine_options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION...]", help="Options for Snakemake, behind --: -- --profile slurm."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Folder of images to use instead of the study's own (or 'phantom').")
    ] = None,
    print_: Annotated[
        bool,
        typer.Option("--print", help="Print the study's TOML file, to begin one of your own, and do nothing else."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP|NAME|PATTERN",
            help="Carry out these steps alone: a command (score), an artefact (ada-n100-s0) or a pattern ('*n50*'); "
            "may be given several times.",
            rich_help_panel=PART,
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STEP", help="Begin with this command; those before it stay.", rich_help_panel=PART
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="After a failure go on with what does not depend on it.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="With --dry-run: measure a few training steps (up to minutes) where no earlier step says how long "
            "the study will take.",
        ),
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            help="local: one step after another, in this process. snakemake: the same steps as jobs, on this machine "
            "or a cluster (needs the extra 'cluster').",
            rich_help_panel=CLUSTER,
        ),
    ] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="With snakemake: jobs at once (default: as many as cores allow).", rich_help_panel=CLUSTER
        ),
    ] = None,
) -> list[Outcome]:
    """Run a whole study: sizes x GANs x seeds x ratios, from images to report. It can be interrupted and run again.

    Steps that are up to date are skipped; those that a changed setting or input has put out of date are made again.
    """
    from usgan_cli.study.config import load_study, study_text

    if engine not in ENGINES:
        raise SettingsError(f"There is no engine called {engine!r}.", f"Use --engine {' or '.join(ENGINES)}.")
    if engine == "local" and (engine_options or jobs is not None):
        option = engine_options[0] if engine_options else "--jobs"
        raise SettingsError(f"{option!r} is an option for Snakemake.", "Add --engine snakemake.")
    if calibrate and not session.dry_run:
        raise SettingsError("--calibrate tells how long a study would take.", "Add --dry-run.")
    if print_:
        console.emit_text(study_text(name))
        return []
    config = load_study(name)
    if source is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    planned = _Planned.make(session, config, only or (), begin)
    if session.dry_run:
        return [planned.shown(calibrate)]
    if engine == "snakemake":
        return planned.run_on_cluster(jobs, engine_options or [], keep_going=keep_going)
    return planned.run_here(keep_going=keep_going)


class _Planned:
    """A study's steps, where they stand, and which of them are asked for."""

    def __init__(self, session: Session, config: StudyConfig, steps: list[PlannedStep], chosen: set[int]) -> None:
        from usgan_cli.core.machine import device
        from usgan_cli.study.estimate import Estimator, learn_from_records

        self.session, self.config, self.steps, self.chosen = session, config, steps, chosen
        if config.run.threads is not None:
            device.limit_threads(config.run.threads)
        self.states = find_states_of(session, steps)
        self.estimator = Estimator()
        learn_from_records(self.estimator, steps)

    @classmethod
    def make(cls, session: Session, config: StudyConfig, only: list[str] | tuple[()], begin: str | None) -> _Planned:
        from usgan_cli.study.driver import select_steps
        from usgan_cli.study.plan import plan_study

        steps = plan_study(config, session.workspace)
        return cls(session, config, steps, select_steps(steps, session.workspace, only, begin))

    @property
    def todo(self) -> list[int]:
        """Places in the plan of the steps to carry out."""
        return [i for i in sorted(self.chosen) if not self.states[i].done]

    def shown(self, calibrate: bool) -> Outcome:
        """Show the plan with what is done, out of date and missing, and about how long it will take."""
        from usgan_cli.core.store.lifecycle import Outcome
        from usgan_cli.core.text import duration
        from usgan_cli.study.grid import MARKS, WORDS

        session, estimator = self.session, self.estimator
        if calibrate:
            from usgan_cli.commands.calibration import calibration

            estimator.calibrate = calibration(session, self.config)
        width = len(str(len(self.steps)))
        plan = []
        for i, step in enumerate(self.steps):
            state = self.states[i]
            name, why = (state.name, state.why) if i in self.chosen else ("left out", "")
            seconds = None if state.done or i not in self.chosen else estimator.seconds(step)
            line = step.line(session.workspace)
            told = "" if seconds is None else f"  # about {duration(seconds)}"
            session.progress.note(f"{i + 1:{width}} {MARKS[name]} {line}{told}")
            if why:
                session.progress.note(f"{'':{width}}   {WORDS[name]}: {why}")
            plan.append({"command": line, "state": name, "why": why, "seconds": seconds})
        states = dict.fromkeys(entry["state"] for entry in plan)
        session.progress.note("   ".join(f"{MARKS[name]} {WORDS[name]}" for name in MARKS if name in states))
        session.progress.note(self._summary(estimator))
        total, unknown = estimator.total(self.steps[i] for i in self.todo)
        result = {"name": self.config.name, "steps": plan, "seconds": total, "of_unknown_length": unknown}
        return Outcome(session.workspace.report / "index.html", "planned", result)

    def run_here(self, *, keep_going: bool) -> list[Outcome]:
        """Carry the steps out one after another, in this process."""
        from usgan_cli.commands.live import StudyTerminal
        from usgan_cli.study.driver import run_plan

        session, todo = self.session, self.todo
        session.progress.note(self._summary(self.estimator))
        self._refuse_the_impossible(keep_going)
        with _held(self.session, self.config):
            if not todo:
                return [self._outcome("skipped")]
            terminal = StudyTerminal(
                self.config.name, self.steps, self.states, self.estimator, self.chosen, quiet=session.quiet
            )
            inner = replace(session, progress=terminal, refresh=True, table=Session.table)
            runners = {command: _bound(function, inner) for command, function in STEPS.items()}
            # The one table that a study is made for; the others are in the report.
            runners["ttest"] = _bound(ttest.ttest, replace(inner, table=terminal.table))
            with terminal.shown():
                run_plan(
                    self.steps,
                    self.states,
                    runners,
                    session.workspace,
                    terminal,
                    chosen=self.chosen,
                    keep_going=keep_going,
                )
        return [self._outcome("done")]

    def run_on_cluster(self, jobs: int | None, engine_options: list[str], *, keep_going: bool) -> list[Outcome]:
        """Hand the steps to Snakemake."""
        from usgan_cli.study.cluster import run_snakemake

        session, todo = self.session, self.todo
        session.progress.note(self._summary(self.estimator))
        self._refuse_the_impossible(keep_going)
        with _held(self.session, self.config):
            if not todo:
                return [self._outcome("skipped")]
            run_snakemake(
                self.config,
                self.steps,
                todo,
                session.workspace,
                jobs=jobs,
                force=session.force,
                keep_going=keep_going,
                engine_options=engine_options,
            )
        return [self._outcome("done")]

    def _refuse_the_impossible(self, keep_going: bool) -> None:
        """Raise at once for a step that cannot be carried out, rather than hours later."""
        from usgan_cli.study.driver import StepFailedError

        for i in self.todo:
            if self.states[i].name == "impossible" and not keep_going:
                line = self.steps[i].line(self.session.workspace)
                raise StepFailedError(f"This step cannot be carried out: {line}\n{self.states[i].why}")

    def _summary(self, estimator: Estimator) -> str:
        from usgan_cli.core.text import duration
        from usgan_cli.study.grid import WORDS
        from usgan_cli.study.state import to_do

        counts = to_do([self.states[i] for i in sorted(self.chosen)])
        parts = [f"{count} {WORDS[name]}" for name, count in counts.items()]
        text = f"{self.config.name}: {len(self.chosen)} of {len(self.steps)} steps: {', '.join(parts)}."
        seconds, unknown = estimator.total(self.steps[i] for i in self.todo)
        if seconds:
            text += f" About {duration(seconds)}" + (f", and {unknown} of unknown length." if unknown else ".")
        elif self.todo:
            text += " How long it takes is not known yet (--dry-run --calibrate measures it)."
        return text

    def _outcome(self, status: Any) -> Outcome:
        from usgan_cli.core.store.lifecycle import Outcome

        path = self.session.workspace.report / "index.html"
        shown = path if path.is_file() else self.session.workspace.root
        return Outcome(
            shown, status, {"name": self.config.name, "steps": len(self.steps), "carried_out": len(self.todo)}
        )


@contextmanager
def _held(session: Session, config: StudyConfig) -> Iterator[None]:
    """Hold the only right to work on the workspace's study, which is this one."""
    from usgan_cli.core.store import files
    from usgan_cli.study.document import claim_workspace, study_file

    with files.locked(study_file(session.workspace)):
        claim_workspace(session.workspace, config, force=session.force)
        yield


def find_states_of(session: Session, steps: list[PlannedStep]) -> list[StepState]:
    """Return where each step of a plan stands in the session's workspace."""
    from usgan_cli.study.state import find_states

    return find_states(steps, _check(session))


def _check(session: Session) -> Check:
    """Return what asks a step's command what it would do."""
    from usgan_cli.core.progress import Silent

    asking = Session(session.workspace, Silent(), force=session.force, refresh=True, dry_run=True)

    def check(step: PlannedStep) -> Outcome:
        settings = {name: value for name, value in step.options.items() if value is not None}
        found = STEPS[step.command](asking, **settings)
        outcomes = found if isinstance(found, list) else [found]
        pending = [outcome for outcome in outcomes if outcome.status == "planned"]
        return (pending or outcomes)[0]

    return check


def _bound(function: Callable[..., Any], session: Session) -> Callable[..., Any]:
    return lambda **settings: function(session, **settings)
