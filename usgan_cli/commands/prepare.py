"""`usgan prepare`: from images in almost any arrangement to a dataset with a split that can be trusted."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from usgan_cli import options
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.formats.dataset import DataManifest
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.data.audit import Audit
    from usgan_cli.data.source.contents import SourceOptions

REVISION = 2

READING = "How the source is read"

DEFAULT_TEST = "0.359"


def prepare(
    session: Session,
    source: Annotated[
        Path,
        typer.Argument(
            parser=options.path_or_stdin,
            metavar="SOURCE|-",
            help="Folder or .zip with a folder of images (or DICOM files) per class, as BUSI's release; "
            "CSV file with columns path and label; or MedMNIST .npz.",
        ),
    ],
    size: Annotated[int, typer.Option(help="Height and width of the prepared images, pixels: 16, 32 ... 1024.")] = 256,
    channels: Annotated[int, typer.Option(help="1 for gray (ITU-R 601 luma), 3 to keep colour.")] = 1,
    fit: Annotated[
        str,
        typer.Option(
            help="How an image becomes a square: stretch (the study's way), pad (with black) or crop (the middle)."
        ),
    ] = "stretch",
    test: Annotated[
        str, typer.Option(help="Test images: a count (280) or a share of all images (0.36). The study's is 280 of 780.")
    ] = DEFAULT_TEST,
    split: Annotated[
        str | None,
        typer.Option(
            help="own keeps the split that a source comes with (MedMNIST, a column split, folders train and test; "
            "validation images go to training); new draws one (default: own, where there is one)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    duplicates: Annotated[
        str,
        typer.Option(
            help="Copies and near-copies: group keeps them on one side of every split and fold, drop keeps the largest "
            "original alone, ignore does as if there were none (the study's way)."
        ),
    ] = "group",
    conflicts: Annotated[
        str,
        typer.Option(help="The same picture under two classes: keep, drop (every image of it) or error."),
    ] = "keep",
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="CSV|folder|none",
            help="What stays together as one patient: a CSV file with columns path and group, the folder of each file, "
            "or nothing (default: a CSV source's column group, or DICOM's PatientID).",
            rich_help_panel=READING,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Classes to take, in this order, with commas between (default: all, sorted by name).",
            rich_help_panel=READING,
        ),
    ] = None,
    class_level: Annotated[
        int | None,
        typer.Option(
            help="Which folder of an image's path is its class: 1 the outermost, 2 the next, -1 the innermost "
            "(default: the outermost).",
            rich_help_panel=READING,
        ),
    ] = None,
    frames: Annotated[
        str,
        typer.Option(
            help="Frames of a multi-frame DICOM or TIFF file to take: first, middle or all (which stay together).",
            rich_help_panel=READING,
        ),
    ] = "first",
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Insist on a format: folders, zip, dicom, csv or medmnist (default: recognised by looking).",
            rich_help_panel=READING,
        ),
    ] = None,
    out: options.Out = None,
) -> Outcome:
    """Decode, resize and split images by class; copies and patients are kept on one side of the split."""
    from usgan_cli.core.formats.dataset import read_manifest
    from usgan_cli.core.store import files, lifecycle
    from usgan_cli.data.prepare import PrepareConfig
    from usgan_cli.data.prepare import prepare as make
    from usgan_cli.data.source.scan import scan

    if channels not in {1, 3}:
        raise SettingsError(f"--channels is 1 or 3, not {channels}.")
    reading = _reading(format, classes, class_level, frames, groups)
    config = PrepareConfig(
        size=size,
        channels=1 if channels == 1 else 3,
        test=_parse_test(test),
        seed=seed,
        fit=cast(Any, fit),
        split=cast(Any, split or "own"),
        reading=reading,
        duplicates=cast(Any, duplicates),
        conflicts=cast(Any, conflicts),
    )
    target = out or session.workspace.data
    found = scan(source, reading, exclude=[target, session.workspace.root])
    if found.has_split and test != DEFAULT_TEST and split is None:
        raise SettingsError(
            f"{source} comes with its own split, and --test asks for another.",
            "Say which: --split new draws one of --test images; without --test its own is kept.",
        )
    if split == "own" and not found.has_split:
        raise SettingsError(f"--split own: {source} comes with no split.", "Leave the option out to have one drawn.")

    audits: list[Audit] = []

    def work(folder: Path) -> DataManifest:
        return make(config, found, folder, session.progress, audited=audits.append)

    def summary(path: Path) -> dict[str, Any]:
        manifest = read_manifest(path)
        return {
            "classes": manifest.classes,
            "train": manifest.class_counts("train"),
            "test": manifest.class_counts("test"),
            "left_out": len(manifest.left_out),
            "duplicate_groups": len(manifest.duplicates),
            "conflicts": manifest.conflicts,
        }

    settings = asdict(config)
    if config.split == "new" or not found.has_split:
        settings["split"] = "new"
    else:  # neither decides anything
        settings |= {"test": None, "seed": None}
    settings |= settings.pop("reading") | {"groups": found.groups_from, "format": found.format}
    inputs = {"source": found.digest()}
    if isinstance(reading.groups, Path):
        inputs["groups"] = files.sha256_file(reading.groups)
    outcome = lifecycle.make_folder(
        target, lifecycle.Step("prepare", REVISION, settings, inputs), work, summary, session.request
    )
    for audit in audits:
        session.table(f"Audit of {audit.source}", ("", ""), audit.rows())
    return outcome


def _reading(
    format_: str | None, classes: str | None, class_level: int | None, frames: str, groups: str | None
) -> SourceOptions:
    from usgan_cli.data.source.contents import GROUPS_FROM_FOLDER, NO_GROUPS, SourceOptions

    names = next(csv.reader([classes], skipinitialspace=True)) if classes else []
    chosen = tuple(name.strip() for name in names)
    if any(not name for name in chosen):
        raise SettingsError(f"--classes has an empty name: {classes!r}.")
    named: Any = Path(groups) if groups is not None and groups not in {GROUPS_FROM_FOLDER, NO_GROUPS} else groups
    return SourceOptions(cast(Any, format_), chosen, class_level, cast(Any, frames), named)


def _parse_test(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"--test is a count or a share between 0 and 1, not {text!r}.") from None
