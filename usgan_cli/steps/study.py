"""`usgan study`: all steps of a study, in order, in one process or as Snakemake's jobs; what is done is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.study import Study as StudyOptions
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.dataset import DataManifest, read_manifest
from usgan_cli.core.machine.threads import limit_threads
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.step import Outcome, Status
from usgan_cli.core.store.workspace import PAGE, Workspace
from usgan_cli.core.text import duration
from usgan_cli.data.copies.groups import clusters_of
from usgan_cli.stats.prospect import Prospect, prospects
from usgan_cli.steps.estimates import Estimates, table_for
from usgan_cli.steps.planning import absent_file, check_study
from usgan_cli.steps.prepare import is_made_as_asked
from usgan_cli.study.config import PHANTOM, StudyConfig, load_study, study_text
from usgan_cli.study.document import claim_workspace, study_file
from usgan_cli.study.estimate import Estimator, learn_from_records
from usgan_cli.study.grid import MARKS, WORDS
from usgan_cli.study.plan import PlannedStep, plan_study, planned_comparisons
from usgan_cli.study.run import StepFailedError, select_steps
from usgan_cli.study.state import StepState, find_states, to_do
from usgan_cli.terminal import console
from usgan_cli.terminal.session import Session, as_list, step_of

SOURCE_HINT = " A study's images are named by --source, or by source under [data] in its file."
"""What to do where a study's images are not there."""


def run(options: StudyOptions, session: Session) -> list[Outcome]:
    """Plan a study, and show or carry out what is not done."""
    if options.engine == "local" and (options.engine_options or options.jobs is not None):
        option = options.engine_options[0] if options.engine_options else "--jobs"
        raise SettingsError(f"{option!r} is an option for Snakemake.", "Add --engine snakemake.")
    if options.calibrate and not options.dry_run:
        raise SettingsError("--calibrate estimates how long a study would take.", "Add --dry-run.")
    if options.print_:
        console.emit_text(study_text(options.name))
        return []
    config = load_study(options.name)
    if options.source is not None:
        config = replace(config, data=config.data.replace(source=Path(options.source)))
    if config.run.threads is not None:
        limit_threads(config.run.threads)
    planned = Planned.of(options, session, config)
    if options.dry_run:
        return [planned.show(calibrate=options.calibrate)]
    return [planned.carry_out(options)]


@dataclass(frozen=True)
class Planned:
    """A study's steps, their states, and which of them are asked for."""

    session: Session
    config: StudyConfig
    steps: list[PlannedStep]
    chosen: set[int]
    states: list[StepState]
    estimator: Estimator

    @classmethod
    def of(cls, options: StudyOptions, session: Session, config: StudyConfig) -> Planned:
        """Plan a study in the session's workspace."""
        session = replace(session, study=config.name, adopt=options.adopt)
        steps = plan_study(config, session.workspace)
        try:
            check_study(config, steps, elsewhere=options.engine != "local")
        except SettingsError as error:
            raise SettingsError(f"{options.name}: {error.message}", error.hint) from None
        chosen = select_steps(steps, options.only, options.begin)
        estimator = Estimator()
        learn_from_records(estimator, steps)
        if options.dry_run:
            estimator.table = table_for(config, session.workspace)
        return cls(session, config, steps, chosen, states_of(session, steps), estimator)

    @property
    def todo(self) -> list[int]:
        """Places in the plan of the steps to carry out."""
        return [i for i in sorted(self.chosen) if not self.states[i].done]

    def show(self, *, calibrate: bool) -> Outcome:
        """Show the plan with the state of each step, and about how long it will take."""
        note, estimator = self.session.progress.note, self.estimator
        if calibrate:
            from usgan_cli.steps.timing import Timing  # loads torch

            estimator.calibrate = Timing(self.config, self.session)
        width = len(str(len(self.steps)))
        plan = []
        for i, step in enumerate(self.steps):
            state = self.states[i]
            name, why = (state.name, state.why) if i in self.chosen else ("left out", "")
            about = None if state.done or i not in self.chosen else estimator.estimate(step)
            seconds, basis = (None, None) if about is None else (about.seconds, about.basis)
            note(f"{i + 1:{width}} {MARKS[name]} {step.line}" + (f"  # about {duration(seconds)}" if seconds else ""))
            if why:
                note(f"{'':{width}}   {WORDS[name]}: {why}")
            plan.append({"command": step.line, "state": name, "why": why, "seconds": seconds, "from": basis})
        shown = {entry["state"] for entry in plan}
        note("   ".join(f"{MARKS[name]} {WORDS[name]}" for name in MARKS if name in shown))
        note(self._summary())
        if (refused := self._impossible()) is not None:
            note(f"Impossible as set: {refused}")
        estimates = Estimates(self.config, estimator, [self.steps[i] for i in self.todo])
        changes = estimates.changes(self.session.workspace)
        for line in [*estimates.lines(calibrated=calibrate), *estimates.night_lines(changes)]:
            note(line)
        foreseen = foresee(self.config, self.steps)
        for prospect in foreseen:
            note(prospect.sentence())
        total, unknown = estimator.total(self.steps[i] for i in self.todo)
        result = {"name": self.config.name, "steps": plan, "seconds": total, "of_unknown_length": unknown}
        result["fits_a_night"] = [{"change": change.text, "seconds": change.seconds} for change in changes]
        result["can_show"] = [asdict(prospect) for prospect in foreseen]
        return Outcome(self.session.workspace.report / PAGE, "planned", result)

    def carry_out(self, options: StudyOptions) -> Outcome:
        """Carry out what is not done, while no other process works on this workspace's study."""
        self.session.progress.note(self._summary())
        if not options.keep_going and (refused := self._impossible()) is not None:
            raise StepFailedError(f"This step cannot be carried out: {refused}")  # at once, rather than hours later
        with files.locked(study_file(self.session.workspace)):
            claim_workspace(self.session.workspace, self.config, force=self.session.force)
            if not self.todo:
                return self._outcome("skipped")
            from usgan_cli.steps.study_run import carry_out  # loads torch

            carry_out(self, options)
        return self._outcome("done")

    def _impossible(self) -> str | None:
        """Return the first step that cannot be carried out, with the reason, or None."""
        for i in self.todo:
            if self.states[i].name == "impossible":
                options = self.steps[i].options
                absent = isinstance(options, Prepare) and _is_absent(options.source)
                return f"{self.steps[i].line}\n{self.states[i].why}{SOURCE_HINT if absent else ''}"
            if (file := absent_file(self.steps[i], self.steps)) is not None:
                return f"{self.steps[i].line}\n{file}"
        return None

    def _summary(self) -> str:
        counts = to_do([self.states[i] for i in sorted(self.chosen)])
        parts = [f"{count} {WORDS[name]}" for name, count in counts.items()]
        text = f"{self.config.name}: {len(self.chosen)} of {len(self.steps)} steps: {', '.join(parts)}."
        if length := self.estimator.in_words([self.steps[i] for i in self.todo]):
            text += f" A{length.removeprefix('a')}."
        elif self.todo:
            text += " About how long it takes: --dry-run; measured here: --dry-run --calibrate."
        return text

    def _outcome(self, status: Status) -> Outcome:
        page, root = self.session.workspace.report / PAGE, self.session.workspace.root
        result = {"name": self.config.name, "steps": len(self.steps), "carried_out": len(self.todo)}
        return Outcome(page if page.is_file() else root, status, result)


def foresee(config: StudyConfig, steps: Sequence[PlannedStep]) -> list[Prospect]:
    """Return what the study's comparisons will be able to show; nothing where the number of test images is unknown."""
    comparisons = len(planned_comparisons(steps))
    found = _test_images(config, next(step.writes for step in steps if step.command == Prepare.COMMAND))
    if not comparisons or found is None:
        return []
    images, copies = found
    repeats, unit = len(config.grid.seeds), "repeat"
    if len(config.splits) > 1:
        repeats, unit = len(config.splits), "split"
    primary = config.analysis.primary is not None
    return prospects(repeats, images, comparisons, primary=primary, copies=copies, unit=unit)


def _test_images(config: StudyConfig, data: Path) -> tuple[int, bool] | None:
    """Return the number of test images, or else that which the settings ask for, and whether that leaves copies out."""
    if (data / DataManifest.FILE).is_file():
        manifest = read_manifest(data)
        files = manifest.files("test")
        clusters = {group for file, group in clusters_of(manifest).items() if file in files}
        return len(clusters), len(clusters) < len(files)
    test = config.data.test
    if isinstance(test, int):
        return test, False
    return (round(test * config.data.phantom_count), False) if config.data.source == PHANTOM else None


def _is_absent(source: Path | None) -> bool:
    return source is not None and not source.exists()


def states_of(session: Session, steps: list[PlannedStep]) -> list[StepState]:
    """Return the state of each step of a plan in the session's workspace."""
    whose: dict[str, Any] = {"study": session.study, "adopt": session.adopt}
    dry = Session(session.workspace, Silent(), force=session.force, refresh=True, dry_run=True, **whose)
    return find_states(steps, partial(_check, dry))


def _check(session: Session, step: PlannedStep) -> Outcome | StepState:
    """Return what a step's command would do, by a dry run: its first part that is not done, if there is one.

    A finished dataset stays done where its source is no longer there: the other steps need the dataset alone.
    """
    options = step.options
    if (
        isinstance(options, Prepare)
        and _is_absent(options.source)
        and not session.force
        and is_made_as_asked(options, step.writes)
    ):
        return StepState("done", f"its source {options.source} is not there, so it is kept as it is")
    session = replace(session, workspace=Workspace(step.options.work))
    outcomes = as_list(step_of(step.options)(step.options, session))
    return next((outcome for outcome in outcomes if outcome.status == "planned"), outcomes[0])
