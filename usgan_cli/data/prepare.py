"""From a source of images to the prepared dataset: one size, one number of channels, a split that can be trusted.

The split of the study this toolkit implements is 280 test images of BUSI's 780, stratified by class (Maack, Holstein,
Schlaefer, Current Directions in Biomedical Engineering 8(1), 2022, doi 10.1515/cdbme-2022-0005).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.apportion import largest_remainder
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataImage, DataManifest, LeftOut, NearCopy
from usgan_cli.core.images.codec import Fit
from usgan_cli.core.images.deep import Bits
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.core.text import on_one_line
from usgan_cli.data import notes
from usgan_cli.data.audit import Audit, AuditImage, Side, render
from usgan_cli.data.copies.groups import (
    ConflictPolicy,
    DuplicatePolicy,
    Duplicates,
    Settled,
    find_duplicates,
    join_groups,
    settle,
)
from usgan_cli.data.copies.near import find_near_pairs
from usgan_cli.data.source.contents import ImageSource, SourceOptions
from usgan_cli.data.source.decode import Decoded, decode_source
from usgan_cli.data.source.names import shown
from usgan_cli.data.source.scan import scan
from usgan_cli.data.split import stratified_group_split


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of the prepared dataset, as the options of `usgan prepare` describe them."""

    size: int
    """Height and width, pixels: a power of two from 16 to 1024, as StyleGAN2 needs."""
    channels: Literal[1, 3]
    test: int | float
    """Test images: a whole number is a count, a fraction between 0 and 1 is a share of all images."""
    seed: int
    fit: Fit
    split: Literal["own", "new"]
    """Whether a split that the source comes with is kept; `test` and `seed` then have no effect."""
    reading: SourceOptions = field(default_factory=SourceOptions)
    duplicates: DuplicatePolicy
    conflicts: ConflictPolicy

    def __post_init__(self) -> None:
        if self.size not in {16, 32, 64, 128, 256, 512, 1024}:
            raise SettingsError(
                f"The size {self.size} is not a power of two from 16 to 1024.", "Use --size 32, 64, 128 or 256."
            )
        if isinstance(self.test, int) and self.test < 1:
            raise SettingsError(f"The test side needs at least one image, not {self.test}.")
        if isinstance(self.test, float) and not 0 < self.test < 1:
            raise SettingsError(
                f"A share of test images lies between 0 and 1, not {self.test}; a count is a whole number."
            )

    def keeps_split_of(self, source: ImageSource) -> bool:
        """Return whether the split is the one that a source comes with."""
        return self.split == "own" and source.has_split


def prepare(
    config: PrepareConfig,
    source: Path | ImageSource,
    target: Path,
    progress: Progress,
    workers: int | None = None,
    audited: Callable[[Audit], None] | None = None,
) -> DataManifest:
    """Write `target/images/<class>/*.png`, `manifest.json` and `audit.html` from a source of images by class.

    Images are decoded, made gray (or RGB) and brought to a square with Lanczos' filter. Copies are found before
    resizing; copies, images of one patient and frames of one file are kept on one side of the split.

    `source` is a path that `scan` understands, or what `scan` returned for it; `target` is an empty folder, or one to
    be made. The result does not depend on the number of threads, `workers` (default: one per core, up to 32). `audited`
    is called with the audit once it is written. A side of the split that lacks a class is an error.
    """
    if isinstance(source, Path):
        source = scan(source, config.reading, exclude=[target])
    inspected = _inspect(config, source, target, progress, workers)
    for i in inspected.settled.reasons:
        (target / inspected.images[i].file).unlink()
    split = _split(config, source, inspected, progress)
    manifest = _manifest(config, source, inspected, split)
    manifest.write(target / DataManifest.FILE)
    audit = _audit(config, source, inspected, manifest)
    files.write_text(target / "audit.html", render(audit))
    if audited is not None:
        audited(audit)
    return manifest


@dataclass(frozen=True)
class _Inspected:
    """All images of a source, and the copies among them."""

    images: list[Decoded]
    undecodable: list[LeftOut]
    duplicates: Duplicates
    settled: Settled
    bits: Bits

    @property
    def kept(self) -> list[Decoded]:
        """The images of the dataset."""
        return [self.images[i] for i in np.flatnonzero(self.settled.kept)]


@dataclass(frozen=True)
class _Split:
    """The images of the dataset: which stay together, and which are for testing."""

    groups: NDArray[np.int64]
    in_test: NDArray[np.bool_]
    share: float
    """Of test images, as configured."""
    own: bool


def _inspect(
    config: PrepareConfig, source: ImageSource, target: Path, progress: Progress, workers: int | None
) -> _Inspected:
    """Decode and write all images, and find the copies among them."""
    decoded, undecodable, bits = decode_source(
        source, target, config.channels, config.size, config.fit, progress, config.reading.bits, workers
    )
    _check_classes(source, decoded, undecodable)
    notes.report_left_out(source, undecodable, progress)
    notes.report_decoded(source, decoded, config.size, progress)
    notes.report_bits(bits, [item.brightest for item in decoded], progress)
    near = find_near_pairs([item.thumbnail for item in decoded], progress, workers=workers)
    duplicates = find_duplicates([item.pixels for item in decoded], [item.source.class_ for item in decoded], near)
    names = [item.source.relative for item in decoded]
    areas = [item.height * item.width for item in decoded]
    settled = settle(duplicates, names, areas, config.duplicates, config.conflicts)
    own_split = config.keeps_split_of(source)
    notes.report_duplicates(duplicates, names, config.duplicates, config.conflicts, progress, own_split=own_split)
    return _Inspected(decoded, undecodable, duplicates, settled, bits)


def _split(config: PrepareConfig, source: ImageSource, inspected: _Inspected, progress: Progress) -> _Split:
    """Draw the split, or take the source's own; report both sides and warn of divided groups."""
    images, kept = inspected.kept, inspected.settled.kept
    labels = np.array([source.classes.index(item.source.class_) for item in images], dtype=np.int64)
    groups = join_groups(
        inspected.settled.groups[kept].tolist(),
        [(item.source.group,) if item.source.group is not None else ("alone", i) for i, item in enumerate(images)],
        [item.source.name for item in images],
    )
    own = config.keeps_split_of(source)
    if own:
        progress.note("The split is the one that the source comes with.")
        in_test = np.array([item.source.side == "test" for item in images])
        count = int(in_test.sum())
        hint = "Have usgan draw the split: --split new"
    else:
        count = config.test if isinstance(config.test, int) else round(config.test * len(images))
        in_test = stratified_group_split(labels, groups, count, config.seed)
        hint = "Choose another number of test images, or give the class more images."
    total = np.bincount(labels, minlength=len(source.classes))
    test = np.bincount(labels[in_test], minlength=len(source.classes))
    _check_sides(source.classes, total, test, hint)
    notes.report_split(source.classes, total, test, progress)
    if own:
        notes.report_own_split(groups, in_test, progress)
    else:
        notes.report_inexact_split(source.classes, test, largest_remainder(total, count), progress)
    if config.duplicates == "ignore":
        notes.report_divided(inspected.duplicates.groups[kept], in_test, progress)
    return _Split(groups, in_test, count / len(images), own)


def _manifest(config: PrepareConfig, source: ImageSource, inspected: _Inspected, split: _Split) -> DataManifest:
    images, duplicates, settled = inspected.images, inspected.duplicates, inspected.settled
    return DataManifest(
        classes=list(source.classes),
        size=config.size,
        channels=config.channels,
        layout=source.layout,
        source_format=source.format,
        split_from="source" if split.own else "usgan",
        groups_from=source.groups_from,
        frames=config.reading.frames,
        bits=dict(inspected.bits.of),
        resampling="lanczos",
        fit=config.fit,
        test_share=split.share,
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
            for item, test, group in zip(inspected.kept, split.in_test, split.groups, strict=True)
        ],
        left_out=[
            *source.left_out,
            *inspected.undecodable,
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


def _audit(config: PrepareConfig, source: ImageSource, inspected: _Inspected, manifest: DataManifest) -> Audit:
    sides: dict[str, Side] = {image.file: image.split for image in manifest.images}
    images = [AuditImage(item, sides.get(item.file, "dropped")) for item in inspected.images]
    left_out = [*source.left_out, *inspected.undecodable]
    return Audit(
        shown(source.root.name),
        source.classes,
        images,
        left_out,
        inspected.duplicates,
        config.duplicates,
        config.conflicts,
        config.keeps_split_of(source),
    )


def _files_of(groups: Sequence[Sequence[int]], decoded: Sequence[Decoded], kept: NDArray[np.bool_]) -> list[list[str]]:
    """Return the files of the groups with more than one kept image."""
    kept_files = ([decoded[i].file for i in group if kept[i]] for group in groups)
    return [group for group in kept_files if len(group) > 1]


def _check_classes(source: ImageSource, decoded: Sequence[Decoded], undecodable: Sequence[LeftOut]) -> None:
    decodable = {item.source.class_ for item in decoded}
    broken = {item.source: item for item in undecodable}
    for name in source.classes:
        if name in decodable:
            continue
        of_class = [image.relative for image in source.images if image.class_ == name]
        lost = [broken[relative] for relative in of_class if relative in broken]
        lost += [item for item in source.left_out if item.source.startswith(f"{name}/") and notes.is_loss(item)]
        why = f": {on_one_line(lost[0].source)}: {notes.reason_of(lost[0])}" if lost else ""
        raise DataError(
            f"No image of the class {name!r} in {shown(str(source.root))} can be read{why}.",
            "Check a file with another program, or leave the class out with --classes.",
        )


def _check_sides(classes: Sequence[str], total: NDArray[np.int64], test: NDArray[np.int64], hint: str) -> None:
    """Refuse a split with a side that lacks a class."""
    for name, n_test, n_train in zip(classes, test, total - test, strict=True):
        if n_test == 0 or n_train == 0:
            side = "test" if n_test == 0 else "training"
            raise DataError(
                f"With {test.sum()} of {total.sum()} images for testing, the {side} side has none of the class "
                f"{name!r}.",
                hint,
            )
