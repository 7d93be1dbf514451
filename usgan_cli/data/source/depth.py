"""How many bits the gray values of a source use, over all of its images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from usgan_cli.core.errors import UndecodableError
from usgan_cli.core.images import codec, deep
from usgan_cli.core.images.deep import Bits, Carrier
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.data.source import dicom
from usgan_cli.data.source.contents import ImageSource
from usgan_cli.data.source.threads import MOST_WORKERS, ordered_map


def measure_bits(source: ImageSource, fixed: int | None = None, workers: int | None = None) -> Bits:
    """Return the bits that all images of a source use together, or those that the user fixes.

    Only files that may hold more than 8 bits are decoded. One that cannot be decoded counts for nothing here.
    """
    if fixed is not None:
        return deep.fixed_bits(fixed)
    if source.arrays is not None:  # of uint8
        return Bits({})

    def used(unit: Sequence[int]) -> list[tuple[Carrier, int]]:
        images = [source.images[i] for i in unit]
        name, is_dicom = images[0].name, images[0].dicom
        if not is_dicom and not deep.may_be_deep(source.head(name, deep.PNG_HEAD)):
            return []
        found: list[tuple[Carrier, int]] = []
        try:
            data = source.read(name)
            frames = [image.frame or 0 for image in images]
            if is_dicom:
                found += dicom.measure_frames(data, frames)
            else:
                found += [bits for frame in frames if (bits := codec.measure_bytes(data, frame)) is not None]
        except UndecodableError:
            pass
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = list(ordered_map(used, source.units(), workers or min(MOST_WORKERS, available_cores())))
    return deep.together(one for unit in results for one in unit)
