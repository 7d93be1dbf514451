"""DICOM files: what their headers say, and their pixels as a viewer would show them.

Decoding, colour spaces, palettes, rescaling and windows are pydicom's own functions; what is added is the last step to
8 bits, for which DICOM leaves the choice to the viewer (PS3.3, C.11.2): the output range of the window, or without a
window that of the stored bits, becomes 0 to 255.
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

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Picture, UndecodableError

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

_HEADER_TAGS = ["Rows", "Columns", "NumberOfFrames", "PatientID", "Modality", "SOPClassUID"]


def looks_like(head: bytes) -> bool:
    """Return whether a file that starts with these `HEAD` bytes is a DICOM file."""
    return head[_MAGIC_AT:HEAD] == _MAGIC


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
            dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(_HEADER_TAGS))
            frames = int(dataset.get("NumberOfFrames") or 1)
            patient = str(dataset.get("PatientID") or "").strip()
            modality, has_rows = dataset.get("Modality"), "Rows" in dataset
    except Exception:  # a damaged header can make the parser stumble in any way
        raise UndecodableError(NO_HEADER) from None
    if modality == "SEG":
        raise UndecodableError(SEGMENTATION)
    if not has_rows or frames < 1:
        raise UndecodableError(NO_PIXELS)
    return frames, patient


def decode_frames(data: bytes, frames: Sequence[int], channels: Literal[1, 3]) -> Iterator[Picture]:
    """Decode frames (counted from 0) of a DICOM file's bytes, one after another.

    Gray pixels go through the modality and VOI lookup tables or windows (the first, where there are several), and
    MONOCHROME1 is inverted; palettes are looked up, YBR becomes RGB; colour becomes gray as everywhere else. Pixels
    that are damaged, too many, or compressed in a way that no installed decoder knows raise `UndecodableError`.
    """
    import pydicom
    from pydicom.pixels.utils import iter_pixels

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
    except Exception:  # as in `read_header`
        raise UndecodableError(NO_HEADER) from None
    try:
        codec.check_size(int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0)))
        for array in iter_pixels(dataset, indices=list(frames)):
            yield codec.to_picture(_to_image(np.asarray(array), dataset), channels)
    except UndecodableError:
        raise
    except (RuntimeError, NotImplementedError):
        syntax = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "unknown")
        raise UndecodableError(f"no decoder for its pixels ({syntax}) is installed, or they are damaged") from None
    except Exception:
        raise UndecodableError("its DICOM pixels are damaged or incomplete") from None


def _to_image(array: NDArray[Any], dataset: Dataset) -> Image.Image:
    """Return one frame as an 8-bit image, gray or RGB."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

    kind = dataset.PhotometricInterpretation
    if kind in {"MONOCHROME1", "MONOCHROME2"}:
        values = apply_voi_lut(apply_modality_lut(array, dataset), dataset)
        low, high = _shown_range(dataset)
        gray = _scale(values, low, high)
        return Image.fromarray(255 - gray if kind == "MONOCHROME1" else gray)
    if kind == "PALETTE COLOR":
        looked_up = apply_color_lut(array, dataset)
        return Image.fromarray(_scale(looked_up, 0, np.iinfo(looked_up.dtype).max))
    return Image.fromarray(_scale(array, 0, 2 ** int(dataset.BitsStored) - 1))


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` to 0 and `high` to 255."""
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    if not high > low:
        raise UndecodableError("the range of its gray values is empty")
    share = (values.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _shown_range(dataset: Dataset) -> tuple[float, float]:
    """Return the ends of the range that values have after the lookup tables and windows."""
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    voi = dataset.get("VOILUTSequence")
    if voi and None not in (voi[0].get("LUTDescriptor"), voi[0].get("LUTData")):
        return 0, 2 ** int(voi[0].LUTDescriptor[2]) - 1
    if None not in (dataset.get("WindowCenter"), dataset.get("WindowWidth")):
        # Values far outside any window come out as the ends of its range.
        with np.errstate(over="ignore"):
            low, high = apply_windowing(np.array([-1e12, 1e12]), dataset)
        return float(low), float(high)
    if dataset.get("ModalityLUTSequence"):
        return 0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(dataset.BitsStored)
    signed = bool(dataset.get("PixelRepresentation", 0))
    stored = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = sorted(apply_modality_lut(np.array(stored, dtype=np.float64), dataset).tolist())
    return low, high
