"""How many bits the gray values of a source use, over all of its images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from usgan_cli.core.errors import UndecodableError
from usgan_cli.core.images import codec, deep
from usgan_cli.core.images.deep import Bits, Carrier, Deep
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.data.source import dicom
from usgan_cli.data.source.contents import ImageSource
from usgan_cli.data.source.masks import Look, masks_by_content, tones
from usgan_cli.data.source.threads import MOST_WORKERS, ordered_map


def measure_bits(source: ImageSource, fixed: int | None = None, workers: int | None = None) -> Bits:
    """Return the bits that all images of a source use together, or those that the user fixes.

    Only files that may hold more than 8 bits are decoded. One that cannot be decoded counts for nothing here. Nor does
    a mask of few values, which `decode_all` leaves out, unless there is nothing else: masks of 65535 would make all
    images of 12 bits dark. Masks that compression has changed count, since at another scale they may be images.
    """
    if fixed is not None:
        return deep.fixed_bits(fixed)
    if source.arrays is not None:  # of uint8
        return Bits({})

    def measure(unit: Sequence[int]) -> list[_Measured]:
        images = [source.images[i] for i in unit]
        name, is_dicom = images[0].name, images[0].dicom
        if not is_dicom and not deep.may_be_deep(source.head(name, deep.PNG_HEAD)):
            return []
        found: list[_Measured] = []
        try:
            data = source.read(name)
            frames = [image.frame or 0 for image in images]
            numbers = dicom.read_deep(data, frames) if is_dicom else (codec.read_deep(data, k) for k in frames)
            found += [_measure(images[0].path, one) for one in numbers if one is not None]
        except UndecodableError:
            pass
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = list(ordered_map(measure, source.units(), workers or min(MOST_WORKERS, available_cores())))
    measured = [one for unit in results for one in unit]
    masks = masks_by_content([one.look for one in measured])
    images = [one for i, one in enumerate(measured) if i not in masks or one.look.tones == "nearly two"]
    return deep.together((one.carrier, one.bits) for one in images or measured)


@dataclass(frozen=True)
class _Measured:
    """One image of more than 8 bits."""

    carrier: Carrier
    bits: int
    look: Look
    """By its own bits."""


def _measure(name: str, numbers: Deep) -> _Measured:
    pixels = codec.to_picture(numbers.to_image(), 1).pixels
    height, width = pixels.shape[1:]
    return _Measured(numbers.carrier, numbers.used(), Look(name, (height, width), tones(pixels)))
