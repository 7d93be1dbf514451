"""DICOM files: what their headers say, and their pixels as a viewer would show them.

Decoding, colour spaces, palettes, rescaling and windows are pydicom's own functions; what is added is the last step to
8 bits, for which DICOM leaves the choice to the viewer (PS3.3, C.11.2): the output range of the window, or without a
window that of the bits really used among those stored, becomes 0 to 255. A window that shows nothing, of a width of 0,
counts as none. Files as scanners store them, without the 128 bytes and the mark before the header, are read too.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from usgan_cli.core.errors import DataError, UndecodableError
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Picture
from usgan_cli.core.images.deep import Bits, Deep, scale

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})

NO_HEADER = "not a DICOM file, or one with a damaged header"
NO_PIXELS = "a DICOM file without an image"
SEGMENTATION = "a DICOM segmentation, not an image"

Frames = Literal["first", "middle", "all"]

_MAGIC_AT, _MAGIC = 128, b"DICM"
HEAD = _MAGIC_AT + len(_MAGIC)
"""Bytes that `looks_like` needs."""

_FIRST_GROUPS, _SHORT = frozenset({0x0002, 0x0008}), 64
_HEADER_TAGS = ["Rows", "Columns", "NumberOfFrames", "PatientID", "Modality", "SOPClassUID"]


def looks_like(head: bytes) -> bool:
    """Return whether a file that starts with these `HEAD` bytes is a DICOM file, with or without preamble."""
    return head[_MAGIC_AT:HEAD] == _MAGIC or _starts_with_element(head)


def _starts_with_element(head: bytes) -> bool:
    """Return whether a file begins with an element of DICOM's first groups, whose value is short."""
    for order in ("little", "big"):
        group, element = (int.from_bytes(head[i : i + 2], order) for i in (0, 2))
        if group in _FIRST_GROUPS and element < 0x0100:
            kind, length = head[4:6], int.from_bytes(head[4:8], order)
            return (kind.isalpha() and kind.isupper()) or 0 < length <= _SHORT
    return False


def require(holder: str) -> None:
    """Make sure that DICOM files can be read, or raise `DataError`, which names what holds them."""
    if importlib.util.find_spec("pydicom") is None:
        raise DataError(
            f"{holder} holds DICOM files, and the package that reads them is not installed.",
            'Install it: pip install "usgan[dicom]"',
        )


def read_header(data: bytes) -> tuple[int, str]:
    """Return the number of frames, at least 1, and the PatientID ("" if absent) of a DICOM file's bytes.

    Raises `UndecodableError` if the file holds no image.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files bend the rules in small things; what matters is checked here
            dataset = pydicom.dcmread(
                io.BytesIO(data), stop_before_pixels=True, specific_tags=list(_HEADER_TAGS), force=True
            )
            frames = int(dataset.get("NumberOfFrames") or 1)
            patient = str(dataset.get("PatientID") or "").strip()
            modality, has_rows = dataset.get("Modality"), "Rows" in dataset
    except Exception:  # a damaged header can make the parser stumble in any way
        raise UndecodableError(NO_HEADER) from None
    if not has_rows and not looks_like(data[:HEAD]):
        raise UndecodableError(NO_HEADER)
    if modality == "SEG":
        raise UndecodableError(SEGMENTATION)
    if not has_rows or frames < 1:
        raise UndecodableError(NO_PIXELS)
    return frames, patient


def decode_frames(
    data: bytes, frames: Sequence[int], channels: Literal[1, 3], bits: Bits | None = None
) -> Iterator[Picture]:
    """Decode frames (counted from 0) of a DICOM file's bytes, one after another.

    Gray pixels go through the modality and VOI lookup tables or windows (the first that shows something), and
    MONOCHROME1 is inverted; palettes are looked up, YBR becomes RGB; colour becomes gray as everywhere else. Without a
    window, `bits` give the range (default: those that the frame uses itself). Pixels that are damaged, too many, or
    compressed in a way that no installed decoder knows raise `UndecodableError`.
    """
    for shown in _frames(data, frames, windows=not (bits and bits.fixed)):
        yield codec.to_picture(shown.to_image(bits) if isinstance(shown, Deep) else shown, channels)


def read_deep(data: bytes, frames: Sequence[int]) -> Iterator[Deep]:
    """Yield the numbers of each frame that has more than 8 bits and no window; errors as `decode_frames`."""
    for shown in _frames(data, frames, windows=True):
        if isinstance(shown, Deep) and shown.declared > 8:
            yield shown


def _frames(data: bytes, frames: Sequence[int], *, windows: bool) -> Iterator[Deep | Image.Image]:
    """Yield the numbers of each frame that are to be scaled; an 8-bit image where a window says how."""
    import pydicom
    from pydicom.pixels.utils import iter_pixels

    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        _complete(dataset)
    except Exception:  # as in `read_header`
        raise UndecodableError(NO_HEADER) from None
    if missing := [name for name in _NEEDED if name not in dataset]:
        raise UndecodableError(f"its DICOM header has no {missing[0]}")
    try:
        codec.check_size(int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0)))
        for array in iter_pixels(dataset, indices=list(frames)):
            yield _shown(np.asarray(array), dataset, windows=windows or int(dataset.BitsStored) <= 8)
    except UndecodableError:
        raise
    except (RuntimeError, NotImplementedError):
        syntax = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "unknown")
        raise UndecodableError(f"no decoder for its pixels ({syntax}) is installed, or they are damaged") from None
    except Exception:
        raise UndecodableError("its DICOM pixels are damaged or incomplete") from None


_NEEDED = ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation", "PixelData")


def _complete(dataset: Dataset) -> None:
    """Add what files leave unsaid: how they are encoded, and the usual values of elements about their numbers."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    for name, usual in (
        ("SamplesPerPixel", 1),
        ("PixelRepresentation", 0),
        ("BitsStored", dataset.get("BitsAllocated")),
    ):
        if name not in dataset and usual is not None:
            setattr(dataset, name, usual)
    if "TransferSyntaxUID" in getattr(dataset, "file_meta", {}):
        return
    implicit, little = dataset.original_encoding
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _shown(array: NDArray[Any], dataset: Dataset, *, windows: bool) -> Deep | Image.Image:
    """Return one frame's numbers, or the 8-bit image that its window shows."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing

    kind = dataset.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        looked_up = apply_color_lut(array, dataset)
        return Deep(looked_up, "integers", 8 * looked_up.dtype.itemsize)
    if kind.startswith(("RGB", "YBR")):
        return Deep(array, "integers", int(dataset.BitsStored))
    if kind not in {"MONOCHROME1", "MONOCHROME2"}:
        raise UndecodableError(f"a DICOM file of the unknown kind {kind!r}")
    negative = kind == "MONOCHROME1"
    # What the modality table or the VOI table puts out is scaled by the bits of the table that stands last.
    voi, modality = dataset.get("VOILUTSequence"), dataset.get("ModalityLUTSequence")
    if windows and voi and None not in (voi[0].get("LUTDescriptor"), voi[0].get("LUTData")):
        values = apply_voi_lut(apply_modality_lut(array, dataset), dataset)
        return Deep(values, "integers", int(voi[0].LUTDescriptor[2]), negative)
    if windows and (index := _window(dataset)) is not None:
        values = apply_windowing(apply_modality_lut(array, dataset), dataset, index)
        # Values far outside any window come out as the ends of its range.
        with np.errstate(over="ignore"):
            low, high = apply_windowing(np.array([-1e12, 1e12]), dataset, index).tolist()
        # A rescaling of negative slope makes pydicom turn the range round, dark first all the same.
        gray = scale(values, low, high) if low < high else scale(-values, -low, -high)
        return Image.fromarray(255 - gray if negative else gray)
    if modality:
        return Deep(apply_modality_lut(array, dataset), "integers", int(modality[0].LUTDescriptor[2]), negative)
    rescaled = "RescaleSlope" in dataset and "RescaleIntercept" in dataset
    slope = float(dataset.RescaleSlope or 0) if rescaled else 1
    if slope == 0:
        raise UndecodableError("the range of its gray values is empty")
    signed = bool(dataset.get("PixelRepresentation", 0))
    # A rescaling alone changes nothing but, if its slope is negative, which end is bright.
    return Deep(array, "signed" if signed else "integers", int(dataset.BitsStored), negative != (slope < 0))


def _window(dataset: Dataset) -> int | None:
    """Return which window is the first that shows something (PS3.3, C.11.2.1.2); None if there is none."""
    from pydicom.multival import MultiValue

    centres, widths = (
        list(value) if isinstance(value, MultiValue) else [value]
        for value in (dataset.get("WindowCenter"), dataset.get("WindowWidth"))
    )
    linear = (dataset.get("VOILUTFunction") or "LINEAR") == "LINEAR"
    for i, (centre, width) in enumerate(zip(centres, widths, strict=False)):
        if None in (centre, width) or "" in (centre, width) or not np.isfinite([float(centre), float(width)]).all():
            continue
        # At a linear window of width 1 pixels are black or white.
        if float(width) >= 1 if linear else float(width) > 0:
            return i
    return None
