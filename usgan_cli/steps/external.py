"""External test sets: prepared for a dataset that is there, and found by the classifiers that are tested on them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from usgan_cli.classify.external import External
from usgan_cli.commands.prepare import Prepare
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.external import ExternalManifest, read_external
from usgan_cli.core.images.sets import load_external
from usgan_cli.core.names import is_device, shortened
from usgan_cli.core.options import options_of
from usgan_cli.core.store.lifecycle import making_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.data.external import ExternalConfig, prepare_external
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.scan import scan
from usgan_cli.steps.inputs import EXTERNAL, Dataset, find_data, quoted
from usgan_cli.terminal.session import Session

REVISION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TAKEN = frozenset({"val", "test"})
ALONE = ("frames", "bits", "format", "class_level")
"""Options of prepare that apply to external test sets where they are prepared without a dataset."""


def parse_sets(options: Prepare) -> dict[str, tuple[Path, dict[str, str]]]:
    """Return the folder and the mapped classes of each external test set, by name."""
    sets: dict[str, tuple[Path, dict[str, str]]] = {}
    for text in options.external:
        name, sign, folder = text.partition("=")
        if not sign or not folder:
            raise SettingsError(f"--external is {shortened(text)!r}; it must be NAME=DIR.")
        if not _NAME.fullmatch(name) or name.endswith(".") or is_device(name) or name.casefold() in _TAKEN:
            raise SettingsError(
                f"An external test set cannot be called {shortened(name)!r}.",
                "Use at most 40 letters, digits and _.- (and neither val nor test).",
            )
        if name.casefold() in {one.casefold() for one in sets}:
            raise SettingsError(f"--external names {name} twice.")
        sets[name] = (Path(folder), {})
    for text in options.external_classes:
        name, sign, pair = text.partition(":")
        theirs, equals, ours = pair.rpartition("=")
        if not sign or not equals or not theirs:
            raise SettingsError(f"--external-classes is {shortened(text)!r}; it must be NAME:THEIRS=OURS.")
        if name not in sets:
            raise SettingsError(f"--external-classes is for {shortened(name)!r}, which --external does not name.")
        if theirs in sets[name][1]:
            raise SettingsError(f"--external-classes maps {shortened(theirs)!r} of {name} twice.")
        sets[name][1][theirs] = ours
    return sets


def check_alone(options: Prepare) -> None:
    """Refuse options of the dataset where external test sets are prepared for the one that is there."""
    for one in options_of(Prepare):
        if one.traits.recorded and one.name not in ALONE and getattr(options, one.name) != one.default:
            raise SettingsError(f"{one.flag} is for a dataset, and no SOURCE is given; external test sets follow it.")
    if options.out is not None:
        raise SettingsError("--out is where a dataset is written, and no SOURCE is given.")


def prepare_sets(options: Prepare, session: Session) -> list[Outcome]:
    """Prepare every external test set for the workspace's dataset."""
    data = find_data(session, None)
    alone = options.source is None
    reading = SourceOptions()
    if alone:
        reading = SourceOptions(options.format, (), options.class_level, options.frames, options.bits)
    return [
        _prepare_set(name, folder, mapped, reading, data, session)
        for name, (folder, mapped) in parse_sets(options).items()
    ]


def _prepare_set(
    name: str, folder: Path, mapped: Mapping[str, str], reading: SourceOptions, data: Dataset, session: Session
) -> Outcome:
    source = scan(folder, reading, exclude=[session.workspace.root])
    config = ExternalConfig(name, mapped, reading.bits)
    settings: dict[str, Any] = {"external": name, "classes": dict(sorted(mapped.items())), "frames": reading.frames}
    settings |= {"bits": reading.bits, "class_level": reading.class_level, "format": source.format}
    target, inputs = session.workspace.external(name), {"data": data.digest, "source": source.digest()}
    step = Step("prepare", REVISION, settings, inputs, session.workspace.places(target, {"data": data.folder}))
    with making_folder(target, step, _summary, session.request) as making:
        if making.needed:
            training = data.training_images()
            making.document = prepare_external(config, source, data.manifest, training, making.place, session.progress)
    return making.outcome


def find_external(session: Session, data: Dataset) -> list[External]:
    """Load the workspace's external test sets, which must have been prepared for this dataset."""
    found: list[External] = []
    for folder in session.workspace.externals():
        manifest = read_external(folder)
        if manifest.data != data.digest:
            raise DataError(
                f"The external test set {folder} was prepared for another dataset than {data.folder}.",
                f"Prepare it for this one: usgan prepare --external {manifest.name}=DIR --refresh; or move it away: "
                f"mv {quoted(folder)} ELSEWHERE",
            )
        found.append(External(load_external(folder), manifest.content_digest(), manifest.near_training))
    return found


def external_paths(sets: Sequence[External], session: Session) -> dict[str, Path]:
    """Return where external test sets lie, by the same roles as `external_inputs`."""
    return {f"{EXTERNAL}{one.images.name}": session.workspace.external(one.images.name) for one in sets}


def external_inputs(sets: Sequence[External]) -> dict[str, str]:
    """Return the digests of external test sets, as inputs of the step that tests on them."""
    return {f"{EXTERNAL}{one.images.name}": one.digest for one in sets}


def _summary(path: Path) -> dict[str, Any]:
    manifest: ExternalManifest = read_external(path)
    return {
        "name": manifest.name,
        "images": manifest.class_counts(),
        "missing": manifest.missing,
        "near_training": manifest.near_training,
        "left_out": len(manifest.left_out),
    }
