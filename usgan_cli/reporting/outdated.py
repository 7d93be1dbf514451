"""Which records were made from inputs that have since been replaced, and which scores are of what is there now.

A record says where in the workspace its inputs lie; an older one does not, so there they are looked for by name. What
lies elsewhere is not looked at, nor are other programs' images.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import BEST_FOLDER, SNAPSHOT_FOLDER
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest, used_digest
from usgan_cli.core.store.document import RunRecord
from usgan_cli.core.store.workspace import GanKey, SubsetKey
from usgan_cli.reporting.records import StudyRecords, fold_gans


def current_scores(records: StudyRecords) -> dict[GanKey, ScoreRecord]:
    """Return the scores but those whose images, dataset or subset have since been replaced, or their images' GAN."""
    sets = _sets_by_place(records)
    replaced = {
        records.workspace.place_of(records.workspace.named_synthetic(key.name)) for key in outdated_images(records)
    }
    return {
        key: score
        for key, score in records.scores.items()
        if not _is_outdated_score(records, key, score, sets, replaced)
    }


def current_snapshots(records: StudyRecords) -> dict[GanKey, SnapshotsRecord]:
    """Return the scores of saved generators but those of generators, a dataset or a subset that have been replaced."""
    return {key: one for key, one in records.snapshots.items() if not _is_outdated_snapshots(records, key, one)}


def outdated_subsets(records: StudyRecords) -> list[SubsetKey]:
    """Return the subsets that were drawn from another version of the dataset."""
    if records.data is None:
        return []
    digest = records.data.content_digest()
    return [key for key, subset in records.subsets.items() if subset.data != digest]


def outdated_images(records: StudyRecords) -> list[GanKey]:
    """Return the GANs whose images an earlier version of them, or of the best of their saved generators, made."""
    work, outdated = records.workspace, []
    for key, manifest in records.synthetic.items():
        gan, run = records.gans.get(key), records.made_by.get(work.named_synthetic(key.name))
        if gan is None or gan.document is None:
            continue
        place = work.place_of(work.named_gan(key.name))
        now = {place: gan.document.content_digest(), f"{place}/{BEST_FOLDER}": gan.best}
        if run is None or run.places is None:  # which of the two it was is not on record
            is_other = manifest.gan not in now.values()
        else:  # another generator may have made them
            is_other = now.get(run.places.get("gan")) not in {None, manifest.gan}
        outdated += [key] * is_other
    return outdated


def outdated_classifiers(records: StudyRecords) -> tuple[list[str], list[str]]:
    """Return the classifiers of another version of their subset, and those of other images than there are now."""
    drawn = {key: subset.content_digest() for key, subset in records.subsets.items()}
    work, sets = records.workspace, _sets_by_place(records)
    other_subset, other_images = [], []
    for subset, record in records.all_classifiers():
        name = f"{subset.name}/{record.name}"
        if subset in drawn and record.settings.subset != drawn[subset]:
            other_subset.append(name)
        if record.aug is None:
            continue
        folder, named = work.classifiers(*subset) / record.name, work.synthetic(record.aug, *subset)
        added = sets.get(records.place_of_input(folder, "synthetic", named))
        if _has_other_images(records, subset, record, added):
            other_images.append(name)
    return other_subset, other_images


def _sets_by_place(records: StudyRecords) -> dict[str | None, SyntheticManifest]:
    work = records.workspace
    return {work.place_of(work.named_synthetic(key.name)): manifest for key, manifest in records.synthetic.items()}


def _has_other_images(
    records: StudyRecords, key: SubsetKey, record: ClassifierRecord, manifest: SyntheticManifest | None
) -> bool:
    """Return whether a classifier was trained on other images than its GAN's folder, or that of a fold's, has now."""
    if record.protocol == "strict":
        there = [records.fold_images.get(name) for name in fold_gans(key, record)]
        then = [fold.synthetic for fold in record.folds]
        return any(made is not None and made.content_digest() != one for made, one in zip(there, then, strict=True))
    subset = records.subsets.get(key)
    if manifest is None:
        return False
    if record.select is not None:
        return record.synthetic != manifest.content_digest()
    if records.data is None or subset is None or subset.data != records.data.content_digest():
        return False
    counts = subset.class_counts(records.data)
    return record.synthetic != used_digest(manifest, counts, round(record.ratio * record.n))


def _is_outdated_score(
    records: StudyRecords,
    key: GanKey,
    score: ScoreRecord,
    sets: dict[str | None, SyntheticManifest],
    replaced: set[str | None],
) -> bool:
    run = score.run
    if run is None:
        return False
    digest = run.inputs.get("synthetic")
    place = _place(records, run, "synthetic", records.workspace.named_synthetic(key.name))
    if digest is not None and place in sets:
        made = sets[place]
        used = made.model_copy(update={"images": made.images[: score.settings.count]})
        if place in replaced or used.content_digest() != digest:
            return True
    return _has_other_real_images(records, key, run)


def _is_outdated_snapshots(records: StudyRecords, key: GanKey, scored: SnapshotsRecord) -> bool:
    if scored.run is None:
        return False
    gan_folder, gan = records.workspace.named_gan(key.name), records.gans.get(key)
    own = _place(records, scored.run, "snapshots", gan_folder) == records.workspace.place_of(gan_folder)
    if own and gan is not None and gan.files:
        saved = {Path(name).name: sha256 for name, sha256 in gan.files.items() if _is_snapshot(name)}
        if any(saved.get(Path(one.file).name) != one.sha256 for one in scored.snapshots):
            return True
    return _has_other_real_images(records, key, scored.run)


def _is_snapshot(name: str) -> bool:
    return PurePosixPath(name).parts[0] == SNAPSHOT_FOLDER


def _has_other_real_images(records: StudyRecords, key: GanKey, run: RunRecord) -> bool:
    """Return whether the dataset or the subset that a score was measured with is another one now."""
    work = records.workspace
    there: list[tuple[str, Path, DataManifest | Subset | None]] = [
        ("data", work.data, records.data),
        ("subset", work.subset(*key.subset), records.subsets.get(key.subset)),
    ]
    return any(
        now is not None
        and _place(records, run, role, path) == work.place_of(path)
        and run.inputs.get(role) not in {None, now.content_digest()}
        for role, path, now in there
    )


def _place(records: StudyRecords, run: RunRecord, role: str, by_name: Path) -> str | None:
    """Return where in the workspace an input of a score lies; by its name, where an older record does not say."""
    return records.workspace.place_of(by_name) if run.places is None else run.places.get(role)
