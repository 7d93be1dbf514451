"""`usgan prepare`: from images in almost any arrangement to a dataset with a split that can be trusted."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from usgan_cli.commands.prepare import Prepare
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.dataset import Phantoms, read_manifest
from usgan_cli.core.options import settings_for
from usgan_cli.core.store import files
from usgan_cli.core.store.document import check_digest
from usgan_cli.core.store.lifecycle import find_existing, making_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.data.audit import Audit
from usgan_cli.data.prepare import PrepareConfig, prepare
from usgan_cli.data.source.contents import ImageSource, SourceOptions
from usgan_cli.data.source.scan import scan
from usgan_cli.steps.external import check_alone, parse_sets, prepare_sets
from usgan_cli.terminal.session import Session

REVISION = 3
FOLDERS_REVISION = 4
"""Of datasets whose patients are folders: before, one with images of two classes was two patients."""
DEFAULT_TEST = Prepare().test


def run(options: Prepare, session: Session) -> Outcome:
    """Write the dataset, and the external test sets."""
    sets = parse_sets(options)
    if options.source is None:
        if not sets:
            raise SettingsError("There is nothing to prepare.", "Give SOURCE, or --external NAME=DIR.")
        check_alone(options)
        return prepare_sets(options, session)[-1]
    if sets and options.out is not None:
        raise SettingsError("External test sets belong to a workspace's dataset.", "Give --work in place of --out.")
    outcome = _prepare_data(options, options.source, session)
    if sets and outcome.status == "planned" and not session.workspace.data.is_dir():
        session.progress.note("The external test sets follow once the dataset is there.")
    elif sets:
        prepare_sets(options, session)
    return outcome


def _prepare_data(options: Prepare, place: Path, session: Session) -> Outcome:
    """Write the dataset, and show the audit of its source."""
    target = options.out or session.workspace.data
    config = _config(options)
    reading = config.reading
    check_phantoms(place)
    source = scan(place, reading, exclude=[target, session.workspace.root])
    _check_split(options, source)
    inputs = {"source": source.digest()}
    if isinstance(reading.groups, Path):
        inputs["groups"] = files.sha256_file(reading.groups)
    revision = FOLDERS_REVISION if source.groups_from == "folder" else REVISION
    own_split = source.has_split and config.split != "new"
    settings = _settings(options, config, source.groups_from, source.format, own_split=own_split)
    step = Step("prepare", revision, settings, inputs)
    audits: list[Audit] = []
    with making_folder(target, step, _summary, session.request) as making:
        if making.needed:
            making.document = prepare(config, source, making.place, session.progress, audited=audits.append)
    for audit in audits:
        session.table(f"Audit of {audit.source}", ("", ""), audit.rows())
    return making.outcome


def check_phantoms(place: Path) -> None:
    """Raise a `DamagedError` or `MissingError` where a folder of simulated images is not as it was made."""
    if (place / Phantoms.FILE).is_file():
        for name, sha256 in Phantoms.read(place / Phantoms.FILE).images.items():
            check_digest(place / name, sha256)


def _config(options: Prepare) -> PrepareConfig:
    chosen = settings_for(options, PrepareConfig)
    return PrepareConfig(**{**chosen, "split": options.split or "own", "reading": _reading(options)})


def _reading(options: Prepare) -> SourceOptions:
    names = next(csv.reader([options.classes], skipinitialspace=True)) if options.classes else []
    classes = tuple(name.strip() for name in names)
    if any(not name for name in classes):
        raise SettingsError(f"--classes has an empty name: {options.classes!r}.")
    words: dict[str | None, Literal["folder", "none"] | None] = {"folder": "folder", "none": "none", None: None}
    groups = words[options.groups] if options.groups in words else Path(options.groups or "")
    return SourceOptions(options.format, classes, options.class_level, options.frames, options.bits, groups)


def _check_split(options: Prepare, source: ImageSource) -> None:
    if source.has_split and options.test != DEFAULT_TEST and options.split is None:
        raise SettingsError(
            f"{options.source} comes with its own split, and --test asks for another.",
            "Choose: --split new draws one of --test images; without --test its own is kept.",
        )
    if options.split == "own" and not source.has_split:
        raise SettingsError(
            f"--split own: {options.source} comes with no split.", "Leave the option out to have one drawn."
        )


def _settings(
    options: Prepare, config: PrepareConfig, groups_from: str, source_format: str, *, own_split: bool
) -> dict[str, Any]:
    """Return the settings that decide the dataset; a split that the source brings needs neither count nor seed."""
    settings = options.recorded(config.reading, asdict(config.reading)) | asdict(config)
    settings |= settings.pop("reading") | {"groups": groups_from, "format": source_format}
    if own_split:
        return settings | {"test": None, "seed": None}
    return settings | {"split": "new"}


def is_made_as_asked(options: Prepare, target: Path) -> bool:
    """Return whether a finished dataset has these settings, as far as they can be compared without its source."""
    existing = find_existing(target)
    if existing is None or not existing.finished:
        return False
    made, config = existing.step.settings, _config(options)
    groups, own_split = config.reading.groups, "test" in made and made["test"] is None
    possible = {"none", "column", "PatientID"} if groups is None else {"csv" if isinstance(groups, Path) else groups}
    fits = made.get("groups") in possible and options.format in {None, made.get("format")}
    if own_split and (options.split == "new" or options.test != DEFAULT_TEST):
        return False
    if not own_split and options.split == "own":
        return False
    settings = _settings(options, config, str(made.get("groups")), str(made.get("format")), own_split=own_split)
    revision = FOLDERS_REVISION if made.get("groups") == "folder" else REVISION
    inputs = dict(existing.step.inputs)
    if isinstance(groups, Path) and groups.is_file():
        inputs["groups"] = files.sha256_file(groups)
    return fits and not Step("prepare", revision, settings, inputs).differences(existing.step)


def _summary(path: Path) -> dict[str, Any]:
    manifest = read_manifest(path)
    return {
        "classes": manifest.classes,
        "train": manifest.class_counts("train"),
        "test": manifest.class_counts("test"),
        "left_out": len(manifest.left_out),
        "duplicate_groups": len(manifest.duplicates),
        "conflicts": manifest.conflicts,
    }
