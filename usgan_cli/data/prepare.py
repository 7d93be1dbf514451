"""From a source of images to the prepared dataset: one size, one number of channels, a split that can be trusted.

The split of the study this toolkit implements is 280 test images of BUSI's 780, stratified by class (Maack, Holstein,
Schlaefer, Current Directions in Biomedical Engineering 8(1), 2022, doi 10.1515/cdbme-2022-0005).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.apportion import largest_remainder
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataImage, DataManifest, LeftOut, NearCopy
from usgan_cli.core.images.codec import Fit
from usgan_cli.core.machine.device import available_cores
from usgan_cli.core.progress import Progress
from usgan_cli.data import layout, sources, trees
from usgan_cli.data.audit import Audit, AuditImage, Side, write_audit
from usgan_cli.data.decoding import UNDECODABLE, Decoded, decode_all
from usgan_cli.data.duplicates import Duplicates, connected_groups, divided, find_duplicates
from usgan_cli.data.names import on_one_line, stem, unique_names
from usgan_cli.data.near_duplicates import find_near_pairs
from usgan_cli.data.policy import ConflictPolicy, DuplicatePolicy, Settled, settle
from usgan_cli.data.sources import Source, SourceOptions
from usgan_cli.data.split import stratified_group_split

_NAMED_AT_MOST = 10


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of the prepared dataset.

    Attributes
    ----------
    size : int
        Height and width, pixels: a power of two from 16 to 1024, as StyleGAN2 needs.
    channels : 1 or 3
    test : int or float
        Test images: a whole number is a count, a fraction between 0 and 1 is a share of all images.
    seed : int
        Seed of the split, at least 0.
    fit : "stretch", "pad" or "crop"
        How an image becomes a square (see `images.fit`).
    split : "own" or "new"
        Whether a split that the source comes with is kept; `test` and `seed` then have no effect.
    reading : SourceOptions
    duplicates : "group", "drop" or "ignore"
        Keep copies on one side; keep the largest of them alone; or draw the split as if there were none.
    conflicts : "keep", "drop" or "error"
        What is done with the same picture under more than one class.
    """

    size: int = 256
    channels: Literal[1, 3] = 1
    test: int | float = 280 / 780
    seed: int = 0
    fit: Fit = "stretch"
    split: Literal["own", "new"] = "own"
    reading: SourceOptions = field(default_factory=SourceOptions)
    duplicates: DuplicatePolicy = "group"
    conflicts: ConflictPolicy = "keep"

    def __post_init__(self) -> None:
        if self.size not in {16, 32, 64, 128, 256, 512, 1024}:
            raise SettingsError(f"The size {self.size} is not a power of two from 16 to 1024.")
        if self.channels not in {1, 3}:
            raise SettingsError(f"The number of channels is 1 or 3, not {self.channels}.")
        if isinstance(self.test, int) and self.test < 1:
            raise SettingsError(f"The test side needs at least one image, not {self.test}.")
        if isinstance(self.test, float) and not 0 < self.test < 1:
            raise SettingsError(
                f"A share of test images lies between 0 and 1, not {self.test}; a count is a whole number."
            )
        if self.seed < 0:
            raise SettingsError(f"A seed is at least 0, not {self.seed}.")
        if self.fit not in get_args(Fit):
            raise SettingsError(f"An image becomes a square by {', '.join(get_args(Fit))}, not {self.fit!r}.")
        if self.split not in {"own", "new"}:
            raise SettingsError(f"The split is own or new, not {self.split!r}.")
        if self.duplicates not in get_args(DuplicatePolicy):
            raise SettingsError(f"Duplicates: {', '.join(get_args(DuplicatePolicy))}, not {self.duplicates!r}.")
        if self.conflicts not in get_args(ConflictPolicy):
            raise SettingsError(f"Conflicts: {', '.join(get_args(ConflictPolicy))}, not {self.conflicts!r}.")

    def test_count(self, total: int) -> int:
        """Return the number of test images among `total`."""
        return self.test if isinstance(self.test, int) else round(self.test * total)


def prepare(
    config: PrepareConfig,
    source: Path | Source,
    target: Path,
    progress: Progress,
    workers: int | None = None,
    audited: Callable[[Audit], None] | None = None,
) -> DataManifest:
    """Write `target/images/<class>/*.png`, `manifest.json` and `audit.html` from a source of images by class.

    Images are decoded, made gray (or RGB) and brought to a square with Lanczos' filter. Copies are found before
    resizing; copies, images of one patient and frames of one file are kept on one side of the split.

    Parameters
    ----------
    config : PrepareConfig
    source : Path or Source
        What `sources.scan` understands, or has found.
    target : Path
        An empty folder, or one to be made.
    progress : Progress
        Hears what was left out and which duplicates were found.
    workers : int, optional
        Threads; the result does not depend on it. Default: one per core, up to 32.
    audited : callable, optional
        Is given the audit once it is written.

    Returns
    -------
    DataManifest

    Raises
    ------
    DataError
        The source can't be used (see `sources.scan`), no image of a class can be decoded, a side of the split
        would lack a class, or there are conflicts and they are to be an error.
    """
    found = source if isinstance(source, Source) else sources.scan(source, config.reading, exclude=[target])
    looked = _look(config, found, target, progress, workers)
    for i in looked.settled.reasons:
        (target / looked.images[i].file).unlink()
    chosen = _split(config, found, looked, progress)
    manifest = _manifest(config, found, looked, chosen)
    manifest.write(target / "manifest.json")
    audit = _audit(config, found, looked, manifest)
    write_audit(target / "audit.html", audit)
    if audited is not None:
        audited(audit)
    return manifest


@dataclass(frozen=True)
class _Looked:
    """All images of a source, and what was found of copies among them."""

    images: list[Decoded]
    undecodable: list[LeftOut]
    duplicates: Duplicates
    settled: Settled

    @property
    def kept(self) -> list[Decoded]:
        """The images of the dataset."""
        return [self.images[i] for i in np.flatnonzero(self.settled.kept)]


@dataclass(frozen=True)
class _Chosen:
    """The images of the dataset: which stay together, and which are for testing."""

    groups: NDArray[np.int64]
    in_test: NDArray[np.bool_]
    share: float
    """Of test images, as asked for."""
    own: bool
    """Whether the split is the source's own."""


def _look(config: PrepareConfig, found: Source, target: Path, progress: Progress, workers: int | None) -> _Looked:
    """Decode and write all images, and find the copies among them."""
    results = decode_all(
        found,
        _target_files(found),
        target,
        channels=config.channels,
        size=config.size,
        fit=config.fit,
        progress=progress,
        workers=workers,
    )
    decoded = [result for result in results if isinstance(result, Decoded)]
    undecodable = [result for result in results if isinstance(result, LeftOut)]
    _check_classes(found, decoded, undecodable)
    _tell_found(found, decoded, undecodable, config.size, progress)
    near = find_near_pairs([item.thumbnail for item in decoded], progress, workers=workers or available_cores())
    duplicates = find_duplicates([item.pixels for item in decoded], [item.source.class_ for item in decoded], near)
    names = [item.source.relative for item in decoded]
    areas = [item.height * item.width for item in decoded]
    settled = settle(duplicates, names, areas, config.duplicates, config.conflicts)
    _tell_duplicates(duplicates, names, config, progress)
    return _Looked(decoded, undecodable, duplicates, settled)


def _split(config: PrepareConfig, found: Source, looked: _Looked, progress: Progress) -> _Chosen:
    """Draw the split, or take the source's own."""
    images = looked.kept
    labels = np.array([found.classes.index(item.source.class_) for item in images], dtype=np.int64)
    groups = join_groups(
        looked.settled.groups[looked.settled.kept],
        [(item.source.group,) if item.source.group is not None else ("alone", i) for i, item in enumerate(images)],
        [item.source.name for item in images],
    )
    own = config.split == "own" and found.has_split
    if own:
        in_test = np.array([item.source.side == "test" for item in images])
        wanted = int(in_test.sum())
        _check_own_split(labels, in_test, groups, found.classes, progress)
    else:
        wanted = config.test_count(len(images))
        in_test = stratified_group_split(labels, groups, wanted, config.seed)
        _check_split(labels, in_test, wanted, found.classes, progress)
    if config.duplicates == "ignore":
        _tell_divided(looked.duplicates.groups[looked.settled.kept], in_test, progress)
    return _Chosen(groups, in_test, wanted / len(images), own)


def _manifest(config: PrepareConfig, found: Source, looked: _Looked, chosen: _Chosen) -> DataManifest:
    images, duplicates, settled = looked.images, looked.duplicates, looked.settled
    return DataManifest(
        classes=list(found.classes),
        size=config.size,
        channels=config.channels,
        layout=found.layout,
        source_format=found.format,
        split_from="source" if chosen.own else "usgan",
        groups_from=found.groups_from,
        frames=config.reading.frames,
        resampling="lanczos",
        fit=config.fit,
        test_share=chosen.share,
        seed=config.seed,
        images=[
            DataImage(
                file=item.file,
                class_=item.source.class_,
                split="test" if test else "train",
                group=int(group),
                sha256=item.sha256,
                source=item.source.relative,
            )
            for item, test, group in zip(looked.kept, chosen.in_test, chosen.groups, strict=True)
        ],
        left_out=[
            *found.left_out,
            *looked.undecodable,
            *(LeftOut(source=images[i].source.relative, reason=why) for i, why in sorted(settled.reasons.items())),
        ],
        duplicates=_files_of(duplicates.repeated, images, settled.kept),
        near_copies=[
            NearCopy(
                first=images[pair.first].file,
                second=images[pair.second].file,
                score=round(pair.score, 3),
                mirrored=pair.mirrored,
            )
            for pair in duplicates.near
            if settled.kept[[pair.first, pair.second]].all()
        ],
        duplicate_policy=config.duplicates,
        conflict_policy=config.conflicts,
        conflicts=_files_of(duplicates.conflicts, images, settled.kept),
    )


def _audit(config: PrepareConfig, found: Source, looked: _Looked, manifest: DataManifest) -> Audit:
    sides: dict[str, Side] = {image.file: image.split for image in manifest.images}
    images = [
        AuditImage(
            item.source.relative,
            item.source.class_,
            sides.get(item.file, "dropped"),
            item.height,
            item.width,
            item.coloured,
            item.thumbnail,
        )
        for item in looked.images
    ]
    left_out = [*found.left_out, *looked.undecodable]
    return Audit(
        found.root.name, found.classes, images, left_out, looked.duplicates, config.duplicates, config.conflicts
    )


def _files_of(groups: Sequence[Sequence[int]], decoded: Sequence[Decoded], kept: NDArray[np.bool_]) -> list[list[str]]:
    """Return the files of the groups of which more than one is kept."""
    files = ([decoded[i].file for i in group if kept[i]] for group in groups)
    return [group for group in files if len(group) > 1]


def join_groups(*labellings: Sequence[Hashable] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Join images that are of one group by any of several labellings.

    Parameters
    ----------
    *labellings : sequences of N hashables
        Images with equal labels belong together.

    Returns
    -------
    int64 array [N]
        Group of each image, numbered from 0 by first appearance.
    """
    pairs: list[tuple[int, int]] = []
    for labels in labellings:
        first_with: dict[Hashable, int] = {}
        plain = labels.tolist() if isinstance(labels, np.ndarray) else labels
        pairs += [(first, i) for i, label in enumerate(plain) if (first := first_with.setdefault(label, i)) != i]
    return connected_groups(len(labellings[0]), pairs)


def _target_files(found: Source) -> list[str]:
    """Return where each image of the source goes, relative to the dataset's folder."""
    folders = dict(zip(found.classes, unique_names(found.classes), strict=True))
    stems: dict[str, list[str]] = {name: [] for name in found.classes}
    for image in found.images:
        path = image.relative if image.frame is None else image.relative.rpartition("#")[0]
        stems[image.class_].append(stem(path) + ("" if image.frame is None else f"-f{image.frame + 1}"))
    return [f"images/{folders[name]}/{unique}.png" for name in found.classes for unique in unique_names(stems[name])]


def _check_classes(found: Source, decoded: Sequence[Decoded], undecodable: Sequence[LeftOut]) -> None:
    left = {item.source.class_ for item in decoded}
    broken = {item.source for item in undecodable}
    for name in found.classes:
        if name in left:
            continue
        files = [image.relative for image in found.images if image.class_ == name and image.relative in broken]
        files += [item.source for item in found.left_out if item.source.startswith(f"{name}/") and _is_loss(item)]
        first = f" (the first: {on_one_line(files[0])})" if files else ""
        raise DataError(
            f"No image of the class {name!r} in {found.root} can be decoded{first}.",
            "Check that the files are whole images, not pointers or broken downloads.",
        )


def _is_loss(item: LeftOut) -> bool:
    """Return whether someone may believe a file that was left out to be in the dataset."""
    return item.reason not in {layout.MASK, layout.NOT_AN_IMAGE, layout.NOT_CHOSEN, trees.HIDDEN}


def _tell_found(
    found: Source, decoded: Sequence[Decoded], undecodable: Sequence[LeftOut], size: int, progress: Progress
) -> None:
    masks = found.count_left_out(layout.MASK)
    if masks:
        progress.note(f"Left out {_plural(masks, 'mask')} found beside the images.")
    others = [item for item in found.left_out if item.reason not in {layout.MASK, trees.HIDDEN}]
    for reason in dict.fromkeys(item.reason for item in others):
        those = [item for item in others if item.reason == reason]
        tell = progress.warn if _is_loss(those[0]) else progress.note
        tell(f"Left out {_plural(len(those), 'entry', 'entries')} ({reason}): {_listed([i.source for i in those])}.")
    if undecodable:
        named = [f"{item.source} ({item.reason.removeprefix(UNDECODABLE).lstrip(': ')})" for item in undecodable]
        progress.warn(f"Left out {_plural(len(named), 'image')} that cannot be decoded: {_listed(named)}.")
    if found.unused_groups:
        progress.warn(f"{_plural(found.unused_groups, 'path')} of the table of groups name no image.")
    if found.groups_from != "none":
        count = len({item.source.group for item in decoded})
        progress.note(f"{_plural(count, 'group')} of images by {_GROUPS_FROM[found.groups_from]} stay together.")
    elif found.nested:
        progress.note(
            f"{_plural(found.nested, 'image lies', 'images lie')} in folders inside the class folders. "
            "If these are patients, --groups folder keeps each on one side of the split."
        )
    small = sum(min(item.height, item.width) < size for item in decoded)
    if small:
        progress.note(f"{_plural(small, 'image')} with a side below {size} pixels had to be enlarged.")


_GROUPS_FROM = {
    "csv": "the table of groups",
    "folder": "folder",
    "column": "the column group",
    "PatientID": "PatientID",
}


def _tell_duplicates(duplicates: Duplicates, names: Sequence[str], config: PrepareConfig, progress: Progress) -> None:
    if not duplicates.repeated:
        return
    files = sum(len(group) for group in duplicates.repeated)
    done = {
        "group": "They are kept on one side of the split.",
        "drop": "The largest original of each is kept.",
        "ignore": "They are ignored, as asked.",
    }[config.duplicates]
    pictures = _plural(len(duplicates.repeated), "picture occurs", "pictures occur")
    exact = sum(len(group) for group in duplicates.exact)
    progress.warn(f"{pictures} more than once ({files} images, of which {exact} have an exact copy). {done}")
    if duplicates.conflicts:
        named = _listed([" = ".join(names[i] for i in group) for group in duplicates.conflicts], "; ")
        stand = _plural(len(duplicates.conflicts), "of these stands", "of these stand")
        left = " They are left out." if config.conflicts == "drop" else ""
        progress.warn(f"{stand} under more than one class, so a label is wrong: {named}.{left}")


def _tell_divided(groups: NDArray[np.int64], in_test: NDArray[np.bool_], progress: Progress) -> None:
    """Say how many groups of ignored copies the split divides."""
    crossing = divided(groups, in_test)
    if crossing:
        leaked = sum(int(in_test[group].sum()) for group in crossing)
        progress.warn(
            f"{_plural(len(crossing), 'group')} of copies {'lies' if len(crossing) == 1 else 'lie'} on both sides of "
            f"the split: {leaked} of {in_test.sum()} test images have a copy in the training set, and scores will be "
            "too good."
        )


def _check_sides(
    labels: NDArray[np.int64], in_test: NDArray[np.bool_], classes: Sequence[str], hint: str, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say how the images are split; refuse a side without a class; return the images of each class, all and test."""
    total = np.bincount(labels, minlength=len(classes))
    test = np.bincount(labels[in_test], minlength=len(classes))
    for name, n_test, n_train in zip(classes, test, total - test, strict=True):
        if n_test == 0 or n_train == 0:
            side = "test" if n_test == 0 else "training"
            raise DataError(
                f"With {test.sum()} of {len(labels)} images for testing, the {side} side has none of the class "
                f"{name!r}.",
                hint,
            )
    share = ", ".join(f"{name} {a}/{b}" for name, a, b in zip(classes, total - test, test, strict=True))
    progress.note(
        f"{_plural(len(labels), 'image')}: {len(labels) - test.sum()} for training, {test.sum()} for testing ({share})."
    )
    return total, test


def _check_own_split(
    labels: NDArray[np.int64],
    in_test: NDArray[np.bool_],
    groups: NDArray[np.int64],
    classes: Sequence[str],
    progress: Progress,
) -> None:
    """Check the split that the source comes with, and warn where it divides a group."""
    progress.note("The split is the one that the source comes with.")
    _check_sides(labels, in_test, classes, "Have usgan draw the split: --split new", progress)
    divided = set(groups[in_test].tolist()) & set(groups[~in_test].tolist())
    if divided:
        count = int(np.isin(groups, list(divided)).sum())
        progress.warn(
            f"The source's own split divides {_plural(len(divided), 'group')} of copies or of one patient "
            f"({count} images), so the test side is not independent. Draw another: --split new"
        )


def _check_split(
    labels: NDArray[np.int64],
    in_test: NDArray[np.bool_],
    wanted: int,
    classes: Sequence[str],
    progress: Progress,
) -> None:
    """Check the split that was drawn; warn where groups prevented exact shares."""
    hint = "Choose another number of test images, or give the class more images."
    total, test = _check_sides(labels, in_test, classes, hint, progress)
    exact = largest_remainder(total, wanted)
    if (test != exact).any():
        got, meant = (", ".join(f"{name} {n}" for name, n in zip(classes, x, strict=True)) for x in (test, exact))
        progress.warn(
            f"Images that must stay together prevent the exact split: the test side has {got} instead of {meant}."
        )


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    few = separator.join(on_one_line(name) for name in names[:_NAMED_AT_MOST])
    return few if len(names) <= _NAMED_AT_MOST else f"{few}{separator}and {len(names) - _NAMED_AT_MOST} more"
