"""From a source of images by class to an external test set, brought to what a prepared dataset is."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest, LeftOut
from usgan_cli.core.formats.external import ExternalImage, ExternalManifest
from usgan_cli.core.images.codec import Fit
from usgan_cli.core.images.sets import ImageSet, load_external
from usgan_cli.core.progress import Progress
from usgan_cli.core.text import joined, on_one_line, plural
from usgan_cli.data import notes
from usgan_cli.data.copies.across import search_copies
from usgan_cli.data.source.classes import NOT_CHOSEN
from usgan_cli.data.source.contents import ImageSource
from usgan_cli.data.source.decode import decode_source
from usgan_cli.data.source.names import shown


@dataclass(frozen=True)
class ExternalConfig:
    """Settings of an external test set; size, channels and fit are the dataset's."""

    name: str
    mapped: Mapping[str, str]
    """Class of the dataset by the source's name for it; empty: its images are left out."""
    bits: int | None = None
    """As in `SourceOptions`."""


def prepare_external(
    config: ExternalConfig,
    source: ImageSource,
    data: DataManifest,
    training: ImageSet,
    target: Path,
    progress: Progress,
) -> ExternalManifest:
    """Write `target/images/<class>/*.png` and `manifest.json`, and say which classes are missing and what is a copy.

    `training` are the training images of the dataset `data`. A split of the source's own has no effect: all of its
    images are test images.
    """
    named = with_our_classes(source, config, data)
    channels = typing.cast(Literal[1, 3], data.channels)
    decoded, undecodable, bits = decode_source(
        named, target, channels, data.size, typing.cast(Fit, data.fit), progress, config.bits
    )
    notes.report_left_out(named, undecodable, progress)
    notes.report_bits(bits, [one.brightest for one in decoded], progress)
    if not decoded:
        raise DataError(
            f"No image of the external test set {config.name} can be read.", "Check a file with another program."
        )
    manifest = ExternalManifest(
        name=config.name,
        data=data.content_digest(),
        classes=data.classes,
        mapped=dict(config.mapped),
        size=data.size,
        channels=data.channels,
        fit=data.fit,
        images=[
            ExternalImage(
                file=one.file,
                class_=one.source.class_,
                sha256=one.sha256,
                source=one.source.relative,
                near_training=False,
            )
            for one in decoded
        ],
        left_out=[*named.left_out, *undecodable],
    )
    near = search_copies(load_external(target, manifest), training, progress)
    images = [
        image.model_copy(update={"near_training": bool(copy)})
        for image, copy in zip(manifest.images, near, strict=True)
    ]
    manifest = manifest.model_copy(update={"images": images})
    manifest.write(target / ExternalManifest.FILE)
    _report(manifest, progress)
    return manifest


def with_our_classes(source: ImageSource, config: ExternalConfig, data: DataManifest) -> ImageSource:
    """Return a source with the dataset's classes in place of its own, without the images of classes mapped to nothing.

    Raises `DataError` for a class that is neither the dataset's nor mapped, `SettingsError` for a mapping that does not
    fit.
    """
    mapped, name, known = config.mapped, config.name, data.classes
    if strange := [theirs for theirs in mapped if theirs not in source.classes]:
        raise SettingsError(
            f"The external test set {name} has no class {strange[0]!r}; its classes are {joined(source.classes, 8)}."
        )
    if wrong := [ours for ours in mapped.values() if ours and ours not in known]:
        raise SettingsError(f"{wrong[0]!r} is no class of the dataset; its classes are {joined(known, 8)}.")
    if unknown := [one for one in source.classes if mapped.get(one, one) not in {*known, ""}]:
        raise DataError(
            f"The external test set {name} has classes that the dataset lacks: {joined(unknown, 8)}. The dataset's are "
            f"{joined(known, 8)}.",
            f"Say which each is, with --external-classes {on_one_line(f'{name}:{unknown[0]}=CLASS')}, or leave its "
            f"images out with --external-classes {on_one_line(f'{name}:{unknown[0]}=')}.",
        )
    kept = [replace(one, class_=ours) for one in source.images if (ours := mapped.get(one.class_, one.class_))]
    left_out = [
        LeftOut(source=one.relative, reason=NOT_CHOSEN) for one in source.images if not mapped.get(one.class_, "-")
    ]
    if not kept:
        raise DataError(f"Of the external test set {name} no image is left.", "Map a class to one of the dataset's.")
    there = {one.class_ for one in kept}
    return replace(
        source,
        classes=tuple(one for one in known if one in there),
        images=tuple(kept),
        left_out=(*source.left_out, *left_out),
    )


def _report(manifest: ExternalManifest, progress: Progress) -> None:
    name, total = shown(manifest.name), len(manifest.images)
    counts = ", ".join(f"{one} {count}" for one, count in manifest.class_counts().items() if count)
    progress.note(f"External test set {name}: {plural(total, 'image')} ({counts}).")
    if manifest.missing:
        progress.warn(
            f"The external test set {name} has no image of {joined(manifest.missing, 8)}: its scores say nothing about "
            "that, and cannot be compared with those on the dataset's test images."
        )
    if manifest.near_training:
        progress.warn(
            f"{manifest.near_training} of {total} images of the external test set {name} are copies of training images "
            "of the dataset: it is not independent of it, and scores on it may be too high."
        )
