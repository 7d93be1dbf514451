"""Which artefacts of a workspace were made from inputs that have since been replaced, or are gone.

A record says where in the workspace its inputs lie. What lies elsewhere is not looked at, nor are the sources of a
dataset, other programs' images and pretrained weights. Older records do not say it: there an input is looked for by
the name that it would have in the workspace, and is gone only if it can have been nowhere else. Which GAN an older
training started from is not known.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import SeedsRecord, SplitsRecord, TTestRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    GeneratorDocument,
    latest_state,
    networks_digest,
    saved_digests,
)
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest, used_digest
from usgan_cli.core.store import files
from usgan_cli.core.store.recorded_file import FileRecord
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import ARTEFACTS, SPLITS, GanKey, SubsetKey, Workspace
from usgan_cli.core.text import GAN_NAMES
from usgan_cli.reporting.reading import collect
from usgan_cli.steps.card import PLANNED
from usgan_cli.steps.inputs import EXTERNAL, SYNTHETIC_OF_FOLD, compared_folder
from usgan_cli.steps.inventory import Artefact, Finding, check_artefact
from usgan_cli.steps.report import NOT_RECORDS


def find_outdated(artefacts: list[Artefact]) -> list[Finding]:
    """Return the artefacts whose inputs have changed or are gone since they were made, or are themselves out of date.

    Inputs from outside the workspace are not looked at.
    """
    lineage = _Lineage(artefacts)
    findings = [lineage.finding(artefact) for artefact in artefacts]
    return [finding for finding in findings if finding is not None]


def find_report_inputs_changed(workspace: Workspace, artefacts: list[Artefact]) -> list[Finding]:
    """Return what the report or the cards were made from and is gone, and which of the two is out of date."""
    made = [one for one in artefacts if one.folder in {"report", "cards"} and one.run is not None]
    if not made:
        return []
    try:
        now = collect(workspace).digests
    except UsganError:  # a damaged record is listed for itself
        return []
    gone: dict[Path, Finding] = {}
    changed = []
    for artefact in made:
        assert artefact.run is not None
        then = {place: digest for place, digest in artefact.run.inputs.items() if place not in {*NOT_RECORDS, PLANNED}}
        for path in (workspace.root / place for place in then if place not in now):
            if not path.exists():
                text = f"{path} was in the {artefact.folder}, and is gone."
                gone.setdefault(path, Finding("missing", path, text, remedy(path)))
        if any(now.get(place) != digest for place, digest in then.items()):
            changed.append(_out_of_date(artefact, "its records have changed"))
    return [*gone.values(), *changed]


class _Lineage:
    """The artefacts of a workspace, and what has become of the inputs of each."""

    def __init__(self, artefacts: list[Artefact]) -> None:
        self._there = {one.path: one for one in artefacts}
        self._findings: dict[Path, Finding | None] = {}

    def finding(self, artefact: Artefact) -> Finding | None:
        """Return what is wrong with an artefact's inputs."""
        if artefact.path not in self._findings:
            self._findings[artefact.path] = None  # while it is looked at: two trainings may have begun from each other
            self._findings[artefact.path] = self._examine(artefact)
        return self._findings[artefact.path]

    def _examine(self, artefact: Artefact) -> Finding | None:
        if artefact.run is None or artefact.document is None:
            return None
        root = _root_of(artefact)
        for role, digest in artefact.run.inputs.items():
            place, must_be_there = _place_of(artefact, role)
            if place is None:
                continue
            path, source = root / place, self._source(root, place)
            if source is None or not path.exists():
                if must_be_there:
                    why = f"{artefact.path} was made from {place}, which is gone."
                    return Finding("orphaned", artefact.path, why, remedy(path))
                continue
            earlier = self.finding(source)
            if earlier is not None and earlier.state == "out of date":
                return _out_of_date(artefact, f"{source.path} is out of date")
            if self._digest(artefact, role, path, source) not in {None, digest}:
                return _out_of_date(artefact, f"{path} has changed since")
        return None

    def _source(self, root: Path, place: str) -> Artefact | None:
        """Return the artefact that a place of the workspace is, or is in; it may be one of a further split."""
        if (owner := _artefact_at(root, place)) is None:
            return None
        folder, path = owner
        if path not in self._there and place.startswith(f"{SPLITS}/") and path.exists():
            self._there[path] = check_artefact(folder, path)
            self._findings[path] = None  # its own inputs are a matter of that split's workspace
        return self._there.get(path)

    def _digest(self, artefact: Artefact, role: str, path: Path, source: Artefact) -> str | None:
        """Return the digest that an input would have now; None if that cannot be told."""
        document, made = artefact.document, source.document
        if made is None:  # it is damaged, or its work goes on
            return None
        if source.folder == "gans":
            return _digest_in_gan(artefact, role, path)
        if role == "synthetic" and isinstance(made, SyntheticManifest):
            if isinstance(document, ScoreRecord):
                made = made.model_copy(update={"images": made.images[: document.settings.count]})
            elif isinstance(document, ClassifierRecord) and document.select is None:
                return self._digest_of_used(artefact, document, made)
        return made.content_digest()

    def _digest_of_used(self, artefact: Artefact, record: ClassifierRecord, made: SyntheticManifest) -> str | None:
        """Return the digest of the generated images that a classifier would be trained on now."""
        places = [_place_of(artefact, role)[0] for role in ("data", "subset")]
        sources = [None if place is None else self._source(_root_of(artefact), place) for place in places]
        manifest, drawn = [None if source is None else source.document for source in sources]
        if not isinstance(manifest, DataManifest) or not isinstance(drawn, Subset):
            return None
        if drawn.data != manifest.content_digest():
            return None
        return used_digest(made, drawn.class_counts(manifest), round(record.ratio * record.n))


def _out_of_date(artefact: Artefact, why: str) -> Finding:
    mend = remedy(artefact.path).replace("--force", "--refresh")
    return Finding("out of date", artefact.path, f"{artefact.path} is out of date: {why}.", mend)


def _root_of(artefact: Artefact) -> Path:
    """Return the root of an artefact's workspace."""
    return artefact.path.parents[len(Path(ARTEFACTS[artefact.folder]).parts)]


def _artefact_at(root: Path, place: str) -> tuple[str, Path] | None:
    """Return the artefact that a place of a workspace is, or is in, as `Workspace.artefacts` does; None: it is none."""
    parts = PurePosixPath(place).parts
    if parts[0] == SPLITS:
        root, parts = root.joinpath(*parts[:2]), parts[2:]
    if not parts or parts[0] not in ARTEFACTS:
        return None
    depth = 1 + len(Path(ARTEFACTS[parts[0]]).parts)
    return (parts[0], root.joinpath(*parts[:depth])) if len(parts) >= depth else None


def _place_of(artefact: Artefact, role: str) -> tuple[str | None, bool]:
    """Return where in the workspace an input lies, and whether it can have been nowhere else.

    The place is None where the input is no artefact of the workspace, or this cannot be told.
    """
    assert artefact.run is not None
    root, run = _root_of(artefact), artefact.run
    if run.places is not None:
        place, must_be_there = run.places.get(role), True
    else:
        path, must_be_there = _path_by_name(artefact, role)
        place = None if path is None else path.relative_to(root).as_posix()
        must_be_there = must_be_there or run.study is not None  # a study names nothing outright
    if place is None or _artefact_at(root, place) is None:
        return None, False
    return place, must_be_there


def _path_by_name(artefact: Artefact, role: str) -> tuple[Path | None, bool]:
    """Return where an input of an older artefact lies if it lies in the workspace, and whether it always does."""
    document, work = artefact.document, Workspace(_root_of(artefact))
    path: Path | None = None
    if isinstance(document, TTestRecord):
        # Without effects its classifiers were named outright.
        return (work.classifiers(document.n, document.seed) / role if document.effects else None), True
    if isinstance(document, SeedsRecord | SplitsRecord):
        own = document.splits[0] if isinstance(document, SplitsRecord) else None
        return compared_folder(work, role, own), True
    if role == "data":
        return work.data, artefact.folder == "external"
    if role.startswith(EXTERNAL):
        return work.external(role.removeprefix(EXTERNAL)), True
    if role == "subset" or isinstance(document, ClassifierRecord):
        return _selected_by_name(artefact, role, work), True
    if role == "gan":
        path = _gan_by_name(artefact, work)
    elif role == "snapshots" and isinstance(document, SnapshotsRecord):
        path = work.named_gan(document.name)
    elif role == "synthetic" and isinstance(document, ScoreRecord):
        path = work.named_synthetic(document.name)
    return path, False


def _selected_by_name(artefact: Artefact, role: str, work: Workspace) -> Path | None:
    """Return where the subset of an older artefact lies, or the images that a classifier was trained on."""
    document, key = artefact.document, _subset_of(artefact)
    if key is None:
        return None
    if role == "subset":
        return work.subset(*key)
    # Images that were named outright have their GAN's whole name, which does not say in which folder they lie.
    if isinstance(document, ClassifierRecord) and document.aug in GAN_NAMES:
        if role.startswith(SYNTHETIC_OF_FOLD):
            fold = int(role.removeprefix(SYNTHETIC_OF_FOLD))
            return work.synthetic(document.aug, *key, (fold, len(document.folds)))
        if role == "synthetic":
            return work.synthetic(document.aug, *key)
    return None


def _gan_by_name(artefact: Artefact, work: Workspace) -> Path | None:
    """Return the folder of the GAN, or of the best generator in it, that made images or a picture."""
    assert artefact.run is not None
    document = artefact.document
    name = document.about.get("gan") if isinstance(document, FileRecord) else getattr(document, "gan_name", None)
    if not isinstance(name, str):
        return None
    gan = work.named_gan(name)
    try:
        best = GeneratorDocument.read(gan / BEST_FOLDER / GeneratorDocument.FILE).content_digest()
    except UsganError:
        best = None
    return gan / BEST_FOLDER if best == artefact.run.inputs["gan"] else gan


def _subset_of(artefact: Artefact) -> SubsetKey | None:
    """Return which subset an artefact was made from, by its name and its settings."""
    assert artefact.run is not None
    document, settings = artefact.document, artefact.run.settings
    if artefact.folder == "classifiers":
        return SubsetKey.parse(artefact.path.parent.name)
    if isinstance(document, ScoreRecord | SnapshotsRecord):
        key = GanKey.parse_with_folds(document.gan_name if isinstance(document, ScoreRecord) else document.name)
        return key and key.subset
    n, seed = settings.get("n"), settings.get("seed")
    return SubsetKey(n, seed) if isinstance(n, int) and isinstance(seed, int) else None


def _digest_in_gan(artefact: Artefact, role: str, path: Path) -> str | None:
    """Return the digest of what was taken from a finished GAN's folder, or from a file in it; None if it is damaged."""
    try:
        if path.is_file():
            return files.sha256_file(path)
        if role == "snapshots":
            return files.digest_json(saved_digests(path))
        document = GeneratorDocument.read(path / GeneratorDocument.FILE)
        if artefact.folder == "gans":  # a training that starts from it takes the state of its training as well
            return networks_digest(latest_state(path / CHECKPOINT_FOLDER), document)
        return document.content_digest()
    except UsganError:
        return None
