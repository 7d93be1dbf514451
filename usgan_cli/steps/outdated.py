"""Which artefacts of a workspace were made from inputs that have since been replaced, or are gone."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import SeedsRecord, SplitsRecord, TTestRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest, used_digest
from usgan_cli.core.store.document import Document
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import GanKey, SubsetKey, Workspace, gan_name
from usgan_cli.reporting.records import collect
from usgan_cli.steps.inputs import EXTERNAL
from usgan_cli.steps.inventory import Artefact, Finding
from usgan_cli.steps.report import NOT_RECORDS

_Found = dict[tuple[str, str], Artefact]
"""Artefacts by folder and name."""


def find_outdated(artefacts: list[Artefact]) -> list[Finding]:
    """Return the artefacts whose inputs have changed or are gone since they were made, or are themselves out of date.

    Inputs from outside the workspace are not looked at.
    """
    found: _Found = {(one.folder, one.name): one for one in artefacts}
    findings: list[Finding] = []
    stale: set[Path] = set()
    for artefact in artefacts:
        if artefact.run is None or artefact.document is None:
            continue
        finding = _finding(artefact, found, stale)
        if finding is not None:
            findings.append(finding)
            if finding.state == "out of date":
                stale.add(artefact.path)
    return findings


def find_report_inputs_changed(workspace: Workspace, artefacts: list[Artefact]) -> list[Finding]:
    """Return what the report was made from and is gone, or the report where one of its records has changed."""
    report = next((one for one in artefacts if one.folder == "report" and one.run is not None), None)
    if report is None or report.run is None:
        return []
    try:
        now = collect(workspace).digests
    except UsganError:  # a damaged record is listed for itself
        return []
    then = {place: digest for place, digest in report.run.inputs.items() if place not in NOT_RECORDS}
    gone = [workspace.root / place for place in then if place not in now and not (workspace.root / place).exists()]
    findings = [Finding("missing", path, f"{path} was in the report, and is gone.", remedy(path)) for path in gone]
    if any(now.get(place) != digest for place, digest in then.items()):
        findings.append(_out_of_date(report, "its records have changed"))
    return findings


def _finding(artefact: Artefact, found: _Found, stale: set[Path]) -> Finding | None:
    assert artefact.run is not None
    for role, digest in artefact.run.inputs.items():
        place = _place_of(artefact, role)
        if place is None:
            continue
        source = found.get(place)
        if source is None:
            why = f"{artefact.path} was made from {'/'.join(place)}, which is gone."
            return Finding("orphaned", artefact.path, why, _mend_of(artefact, place))
        if source.path in stale:
            return _out_of_date(artefact, f"{source.path} is out of date")
        if source.document is not None and _digest(artefact, role, source.document, found) not in {None, digest}:
            return _out_of_date(artefact, f"{source.path} has changed since")
    return None


def _out_of_date(artefact: Artefact, why: str) -> Finding:
    mend = remedy(artefact.path).replace("--force", "--refresh")
    return Finding("out of date", artefact.path, f"{artefact.path} is out of date: {why}.", mend)


def _mend_of(artefact: Artefact, place: tuple[str, str]) -> str:
    """Return how to make an input again that is gone."""
    folder, name = place
    root = artefact.path.parents[2 if artefact.folder == "classifiers" else 1]
    if folder == "data":
        return remedy(root / "data" / DataManifest.FILE)
    return remedy(root / folder / (f"{name}.json" if folder == "subsets" else name))


def _place_of(artefact: Artefact, role: str) -> tuple[str, str] | None:
    """Return which artefact of the workspace an input is; None if it is not one of it, or cannot be told."""
    document = artefact.document
    place: tuple[str, str] | None = None
    if role == "data":
        place = ("data", "data")
    elif role.startswith(EXTERNAL):
        place = ("external", role.removeprefix(EXTERNAL))
    elif role == "subset":
        key = _subset_of(artefact)
        place = key and ("subsets", key.name)
    elif role == "gan" and isinstance(document, SyntheticManifest):
        place = ("gans", document.gan_name)
    elif role == "synthetic" and isinstance(document, ScoreRecord):
        place = ("synthetic", document.name)
    elif role == "synthetic" and isinstance(document, ClassifierRecord) and document.aug is not None:
        key = _subset_of(artefact)
        place = key and ("synthetic", gan_name(document.aug, *key))
    elif isinstance(document, TTestRecord):
        place = ("classifiers", f"n{document.n}-s{document.seed}/{role}")
    elif isinstance(document, SeedsRecord | SplitsRecord):
        own = role.removeprefix(f"split {document.splits[0]} ") if isinstance(document, SplitsRecord) else role
        place = ("classifiers", own) if SubsetKey.parse(own.partition("/")[0]) else None
    return place


def _subset_of(artefact: Artefact) -> SubsetKey | None:
    """Return which subset an artefact was made from."""
    assert artefact.run is not None
    document, settings = artefact.document, artefact.run.settings
    if artefact.folder == "classifiers":
        return SubsetKey.parse(artefact.path.parent.name)
    if isinstance(document, ScoreRecord | SnapshotsRecord):
        key = GanKey.parse(document.gan_name if isinstance(document, ScoreRecord) else document.name)
        return key and key.subset
    n, seed = settings.get("n"), settings.get("seed")
    return SubsetKey(n, seed) if isinstance(n, int) and isinstance(seed, int) else None


def _digest(artefact: Artefact, role: str, source: Document, found: _Found) -> str | None:
    """Return the digest that an input would have now; None if that cannot be told."""
    document = artefact.document
    if role == "synthetic" and isinstance(source, SyntheticManifest):
        if isinstance(document, ScoreRecord):
            source = source.model_copy(update={"images": source.images[: document.settings.count]})
        elif isinstance(document, ClassifierRecord) and document.select is None:
            return _digest_of_used(artefact, document, source, found)
    return source.content_digest()


def _digest_of_used(artefact: Artefact, record: ClassifierRecord, made: SyntheticManifest, found: _Found) -> str | None:
    """Return the digest of the generated images that a classifier would be trained on now."""
    key = _subset_of(artefact)
    data, subset = found.get(("data", "data")), None if key is None else found.get(("subsets", key.name))
    if data is None or subset is None:
        return None
    manifest, drawn = data.document, subset.document
    if not isinstance(manifest, DataManifest) or not isinstance(drawn, Subset):
        return None
    if drawn.data != manifest.content_digest():
        return None
    return used_digest(made, drawn.class_counts(manifest), round(record.ratio * record.n))
