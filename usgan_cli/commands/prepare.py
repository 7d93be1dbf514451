"""`usgan prepare`: from a folder of images to a dataset with a split that can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.core.manifest import DataManifest

REVISION = 1


def prepare(
    session: Session,
    source: Annotated[
        Path,
        typer.Argument(
            parser=options.path_or_stdin,
            metavar="SOURCE|-",
            help="Folder with one subfolder of images a class, or BUSI's release with its masks.",
        ),
    ],
    size: Annotated[int, typer.Option(help="Height and width to stretch images to, pixels: 16, 32 ... 1024.")] = 256,
    channels: Annotated[int, typer.Option(help="1 for gray (ITU-R 601 luma), 3 to keep colour.")] = 1,
    test: Annotated[
        str, typer.Option(help="Test images: a count (280) or a share of all images (0.36). The study's is 280 of 780.")
    ] = "0.359",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    out: options.Out = None,
) -> Outcome:
    """Decode, resize and split a folder of images; exact copies are found, reported and kept on one side."""
    from usgan_cli.core import artefact, datasets, files
    from usgan_cli.data import sources
    from usgan_cli.data.prepare import PrepareConfig
    from usgan_cli.data.prepare import prepare as make

    if channels not in {1, 3}:
        raise SettingsError(f"--channels is 1 or 3, not {channels}.")
    config = PrepareConfig(size=size, channels=1 if channels == 1 else 3, test=_parse_test(test), seed=seed)
    target = out or session.workspace.data
    found = sources.scan(source, exclude=target)
    content = files.digest_json([(image.relative, files.sha256_file(image.path)) for image in found.images])

    def work(folder: Path) -> DataManifest:
        return make(config, source, folder, session.progress)

    def summary(path: Path) -> dict[str, Any]:
        manifest = datasets.read_manifest(path)
        return {
            "classes": manifest.classes,
            "train": manifest.class_counts("train"),
            "test": manifest.class_counts("test"),
            "left_out": len(manifest.left_out),
            "duplicate_groups": len(manifest.duplicates),
            "conflicts": manifest.conflicts,
        }

    settings = {"size": size, "channels": channels, "test": config.test, "seed": seed}
    step = artefact.Step("prepare", REVISION, settings, {"source": content})
    outcome = artefact.make_folder(target, step, work, summary, session.request)
    if outcome.status == "done":
        _show(session, outcome.result)
    return outcome


def _parse_test(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"--test is a count or a share between 0 and 1, not {text!r}.") from None


def _show(session: Session, result: dict[str, Any]) -> None:
    rows = [(name, str(result["train"][name]), str(result["test"][name])) for name in result["classes"]]
    rows.append(("all", str(sum(result["train"].values())), str(sum(result["test"].values()))))
    session.table("Prepared images", ("class", "train", "test"), rows)
