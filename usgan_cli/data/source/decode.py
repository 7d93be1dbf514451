"""Every image of a source decoded, brought to one size and written, on all cores.

Threads, since Pillow lets other threads run while it decodes, resamples and compresses. Results come in the source's
order, and neither they nor the files written depend on how many threads there are.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from PIL import Image

from usgan_cli.core.errors import UndecodableError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Fit, Picture, Pixels
from usgan_cli.core.images.deep import Bits
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.core.names import folder_names
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.data.copies.descriptors import thumbnail
from usgan_cli.data.copies.groups import pixel_digest
from usgan_cli.data.source.contents import ImageSource, Load, SourceImage
from usgan_cli.data.source.depth import measure_bits
from usgan_cli.data.source.masks import Look, Tones, masks_by_content, tones
from usgan_cli.data.source.names import unique_names
from usgan_cli.data.source.threads import MOST_WORKERS, ordered_map

UNDECODABLE = "cannot be decoded as an image"


@dataclass(frozen=True)
class Decoded:
    """An image of the source that was written to the dataset."""

    source: SourceImage
    file: str
    """Path relative to the dataset's folder."""
    sha256: str
    """Digest of the PNG file."""
    pixels: str
    """Digest of the original pixels."""
    height: int
    width: int
    """Of the original."""
    coloured: bool
    """Whether the original has colour in it, such as a marker."""
    brightest: int
    """Largest gray level, or level of a colour, once scaled to 8 bits."""
    tones: Tones
    """How many gray values it has, by which masks are known."""
    thumbnail: Pixels
    """Gray and 128 x 128, for the search for near-copies."""


def decode_source(
    source: ImageSource,
    target: Path,
    channels: Literal[1, 3],
    size: int,
    fit: Fit,
    progress: Progress,
    fixed_bits: int | None = None,
    workers: int | None = None,
) -> tuple[list[Decoded], list[LeftOut], Bits]:
    """Decode and write every image of a source (see `decode_all`), scaled by the bits that all of them use together.

    Returns the images, the files that are left out, and the bits, which `fixed_bits` names if it is given.
    """
    bits = measure_bits(source, fixed_bits, workers)
    results = decode_all(source, target, channels, size, fit, progress, workers, bits)
    decoded = [result for result in results if isinstance(result, Decoded)]
    return decoded, [result for result in results if isinstance(result, LeftOut)], bits


def decode_all(
    source: ImageSource,
    target: Path,
    channels: Literal[1, 3],
    size: int,
    fit: Fit,
    progress: Progress,
    workers: int | None = None,
    bits: Bits | None = None,
) -> list[Decoded | LeftOut]:
    """Decode every image of a source and write it as the square PNG file `target/images/<class>/<name>.png`.

    Files are not written atomically: `target` is not yet a dataset. See `codec.decode_bytes` and `codec.fit` for
    `channels`, `size`, `fit` and `bits`. `workers` are threads (default: one per core, up to 32). Results come in the
    order of the source's images, LeftOut for those that cannot be decoded or turn out to be masks.
    """
    paths = _dataset_files(source)

    def write(place: int, picture: Picture) -> Decoded:
        image, file, pixels = source.images[place], paths[place], picture.pixels
        data = codec.encode_png(codec.fit(pixels, size, fit))
        (target / file).write_bytes(data)
        sha256, digest = files.sha256_bytes(data), pixel_digest(pixels)
        height, width = pixels.shape[1:]
        coloured, brightest = picture.coloured, int(pixels.max())
        shape = (height, width, coloured, brightest, tones(pixels))
        return Decoded(image, file, sha256, digest, *shape, thumbnail(pixels))

    def convert(unit: tuple[list[int], Load]) -> list[tuple[int, Decoded | LeftOut]]:
        places, load = unit
        done: list[tuple[int, Decoded | LeftOut]] = []
        try:
            pictures = load(channels)
            for place in places:
                if (picture := next(pictures, None)) is None:
                    raise UndecodableError("it has fewer frames than its header says")
                done.append((place, write(place, picture)))
        except UndecodableError as error:
            reason = f"{UNDECODABLE}: {error.reason}"
            done += [(i, LeftOut(source=source.images[i].relative, reason=reason)) for i in places[len(done) :]]
        return done

    for folder in {(target / path).parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    results: dict[int, Decoded | LeftOut] = {}
    with progress.task("Preparing images", len(paths), "images") as task, warnings.catch_warnings():
        # What libraries warn about is either harmless or ends in a reason to leave the file out. The filter is
        # shared by all threads, so it is set before they start and restored after they have ended.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        for unit in ordered_map(convert, source.load_all(bits), workers or min(MOST_WORKERS, available_cores())):
            results.update(unit)
            task.advance(len(unit))
    places = [i for i in range(len(paths)) if isinstance(results[i], Decoded)]
    looks = [_look(one) for i in places if isinstance(one := results[i], Decoded)]
    for k, reason in masks_by_content(looks).items():
        (target / paths[places[k]]).unlink()
        results[places[k]] = LeftOut(source=source.images[places[k]].relative, reason=reason)
    return [results[i] for i in range(len(paths))]


def _look(decoded: Decoded) -> Look:
    return Look(decoded.source.path, (decoded.height, decoded.width), decoded.tones)


def _dataset_files(source: ImageSource) -> list[str]:
    """Return the file of each image of the source, relative to the dataset's folder."""
    folders = folder_names(source.classes)
    stems: dict[str, list[str]] = {name: [] for name in source.classes}
    for image in source.images:
        frame = "" if image.frame is None else f"-f{image.frame + 1}"
        stems[image.class_].append(PurePosixPath(image.path).stem + frame)
    return [f"images/{folders[name]}/{unique}.png" for name in source.classes for unique in unique_names(stems[name])]
