"""`usgan verify`: every file of a workspace against the digests that were recorded when it was made."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from usgan_cli.commands.verify import Verify
from usgan_cli.core.errors import DamagedError, MissingError, UsganError
from usgan_cli.core.store.leftovers import find_leftovers
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import Workspace, work_option
from usgan_cli.core.text import joined, plural
from usgan_cli.steps.inventory import Artefact, Finding, State, damaged_caches, further_splits, state_of, take_inventory
from usgan_cli.steps.outdated import find_outdated, find_report_inputs_changed
from usgan_cli.study.document import read_study, study_file
from usgan_cli.study.plan import plan_study
from usgan_cli.terminal import console
from usgan_cli.terminal.session import Session

UNREADABLE: tuple[State, ...] = ("damaged", "missing", "older version", "newer version")
"""States of what cannot be used, nor checked; the version is that of the program that made it."""
PHRASES = {"older version": "made by an older usgan", "newer version": "made by a newer usgan"}
ORDER = (*UNREADABLE, "out of date", "orphaned", "leftover")


def run(options: Verify, session: Session) -> list[Outcome]:
    """List what is not as it should be; raise if something is damaged, missing or of another version."""
    workspace = Workspace(options.folder) if options.folder is not None else session.workspace
    if not workspace.root.is_dir():
        raise MissingError(f"There is no workspace {workspace.root}.", "Name another one: usgan verify WORK")
    splits = further_splits(workspace)
    in_splits = [artefact for split in splits for artefact in take_inventory(split)]
    artefacts = [*take_inventory(workspace), *in_splits]
    count = plural(len(artefacts), "artefact")
    if splits:
        count += f" ({len(in_splits)} in {plural(len(splits), 'further split')})"
    findings = sorted(examine(workspace, artefacts), key=lambda one: (ORDER.index(one.state), str(one.path)))
    counts = Counter(one.state for one in findings)
    if options.json:
        rows = [asdict(one) | {"path": str(one.path)} for one in findings]
        console.emit_json({"workspace": str(workspace.root), "artefacts": len(artefacts), "findings": rows})
    elif findings:
        session.table(
            f"{workspace.root}: {count} checked",
            ("state", "what", "what mends it"),
            [(one.state, one.why, one.mend) for one in findings],
        )
    bad = [f"{counts[name]} {PHRASES.get(name, name)}" for name in UNREADABLE if counts[name]]
    if bad:
        words = joined(bad)
        raise DamagedError(f"{workspace.root}: {words} of {count}.", findings[0].mend)
    session.progress.note(f"{workspace.root}: {count}, nothing damaged or missing.")
    return [] if options.json else [Outcome(workspace.root, "done", {})]


def examine(workspace: Workspace, artefacts: list[Artefact]) -> list[Finding]:
    """Return all that is not as it should be, with the study's own commands where a study made it.

    Among the `artefacts` may be those of further splits.
    """
    findings = [finding for artefact in artefacts for finding in artefact.findings]
    findings += find_outdated(artefacts)
    for one in (workspace, *further_splits(workspace)):
        own = [artefact for artefact in artefacts if artefact.path in {one.report, one.cards}]
        findings += find_report_inputs_changed(one, own)
    findings += damaged_caches(workspace)
    clear = f"usgan clean --only leftovers --yes{work_option(workspace.root)}"
    findings += [
        Finding("leftover", one.path, f"{one.path}: {one.why}.", clear) for one in find_leftovers(workspace.root)
    ]
    lines, problem = _study_lines(workspace)
    return [*([] if problem is None else [problem]), *(_with_line(one, lines) for one in findings)]


def _study_lines(workspace: Workspace) -> tuple[dict[Path, str], Finding | None]:
    """Return the command of every artefact of the workspace's study, and what is wrong with the study's record."""
    path = study_file(workspace)
    if not path.is_file():
        return {}, None
    try:
        return {step.writes: step.line for step in plan_study(read_study(workspace), workspace)}, None
    except UsganError as error:
        return {}, Finding(state_of(error), path, error.message, error.hint or "Move it away.")


def _with_line(finding: Finding, lines: dict[Path, str]) -> Finding:
    """Return a finding with the exact command of the study's step that made the artefact."""
    if finding.state in {"orphaned", "leftover"}:
        return finding
    option = "--refresh" if finding.state == "out of date" else "--force"
    beside = finding.path.with_suffix(".json")
    for place in (finding.path, beside, *finding.path.parents):
        line = lines.get(place)
        if line is not None:
            return replace(finding, mend=f"Make it again: {line} {option}")
    return finding
