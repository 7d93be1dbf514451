"""DICOM files against pydicom's own arrays, on the files that pydicom ships and on variations made of them."""

from __future__ import annotations

import importlib.util
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from configs import prepare_config
from PIL import Image
from tiny_data import zipped

from usgan_cli.core.errors import DataError, UndecodableError
from usgan_cli.core.images import codec
from usgan_cli.core.images.deep import fixed_bits
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source import classes, dicom, masks
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.scan import scan

pydicom = pytest.importorskip("pydicom", reason="pydicom is absent: pip install usgan[dicom]")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.pixels.processing import apply_color_lut, apply_windowing, convert_color_space  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def load(name: str, **changes: object) -> bytes:
    """Return a shipped file's bytes with some elements changed (None removes one)."""
    dataset = pydicom.dcmread(shipped(name))
    for key, value in changes.items():
        if value is None:
            delattr(dataset, key)
        else:
            setattr(dataset, key, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def decode(data: bytes, frame: int = 0, channels: int = 1) -> np.ndarray:
    return next(dicom.decode_frames(data, [frame], channels)).pixels  # type: ignore[arg-type]


def luma(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def test_rgb_ultrasound() -> None:
    data = load("examples_rgb_color.dcm")
    expected = pydicom.dcmread(io.BytesIO(data)).pixel_array
    assert expected.shape == (240, 320, 3)
    np.testing.assert_array_equal(decode(data, channels=3), expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(decode(data)[0], luma(expected))


def test_big_endian_rgb_ultrasound() -> None:
    data = shipped("ExplVR_BigEnd.dcm").read_bytes()
    expected = pydicom.dcmread(io.BytesIO(data)).pixel_array
    np.testing.assert_array_equal(decode(data, channels=3), expected.transpose(2, 0, 1))


def test_ybr_ultrasound_of_30_frames() -> None:
    """JPEG frames in YBR_FULL_422: forgotten, the conversion turns gray ultrasound green and the luma wrong."""
    data = load("examples_ybr_color.dcm")
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.pixel_array_options(raw=True)
    raw = dataset.pixel_array
    assert raw.shape == (30, 240, 320, 3)
    for frame in (0, 15, 29):
        expected = convert_color_space(raw[frame], "YBR_FULL_422", "RGB")
        np.testing.assert_array_equal(decode(data, frame, 3), expected.transpose(2, 0, 1))
        # The luma of RGB is the Y of YBR again, up to rounding: raw[..., 0] comes by another way.
        assert np.abs(decode(data, frame)[0].astype(int) - raw[frame, ..., 0]).mean() < 1
    assert dicom.read_header(data)[0] == 30


def test_ybr_without_compression() -> None:
    data = load("SC_ybr_full_422_uncompressed.dcm")
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.pixel_array_options(raw=True)
    expected = convert_color_space(dataset.pixel_array, "YBR_FULL_422", "RGB")
    np.testing.assert_array_equal(decode(data, channels=3), expected.transpose(2, 0, 1))


def test_palette_ultrasound() -> None:
    data = load("examples_palette.dcm")
    dataset = pydicom.dcmread(io.BytesIO(data))
    expected = apply_color_lut(dataset.pixel_array, dataset)
    assert expected.dtype == np.uint16
    got = decode(data, channels=3)
    np.testing.assert_array_equal(got, np.rint(expected / 257).astype(np.uint8).transpose(2, 0, 1))
    assert got.max() > 200  # a palette of 16 bits cut to its low bytes would be noise, and its high bytes nearly equal


@pytest.mark.parametrize(
    "name",
    ["examples_jpeg2k.dcm", "SC_rgb_rle.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm"],
)
def test_compressed_colour(name: str) -> None:
    data = load(name)
    try:
        expected = pydicom.dcmread(io.BytesIO(data)).pixel_array
    except RuntimeError:
        pytest.skip(f"no decoder for {name} is installed")
    np.testing.assert_array_equal(decode(data, channels=3), expected.transpose(2, 0, 1))


def test_bits_without_a_window_are_scaled_from_their_range() -> None:
    data = load("image_dfl.dcm")
    np.testing.assert_array_equal(decode(data)[0], pydicom.dcmread(io.BytesIO(data)).pixel_array)
    data = load("SC_rgb_rle_16bit.dcm")
    expected = np.rint(pydicom.dcmread(io.BytesIO(data)).pixel_array / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode(data, channels=3), expected.transpose(2, 0, 1))
    # Signed values of 16 bits that need 13: -4096 is black, 4095 white, also behind a rescaling.
    data = load("CT_small.dcm")
    values = pydicom.dcmread(io.BytesIO(data)).pixel_array.astype(float)
    assert values.min() >= -4096 and 2047 < values.max() <= 4095
    np.testing.assert_array_equal(decode(data)[0], np.rint((values + 4096) / 8191 * 255).astype(np.uint8))
    np.testing.assert_array_equal(decode(load("CT_small.dcm", RescaleSlope=3, RescaleIntercept=7)), decode(data))
    np.testing.assert_array_equal(decode(load("CT_small.dcm", RescaleSlope=-1, RescaleIntercept=0)), 255 - decode(data))
    np.testing.assert_array_equal(decode(load("CT_small.dcm", BitsStored=12, HighBit=11)).shape, (1, 128, 128))


def test_windows_are_applied() -> None:
    data = load("MR_small.dcm")
    dataset = pydicom.dcmread(io.BytesIO(data))
    got = decode(data)[0]
    # PS3.3 C.11.2.1.2: linear from centre - 0.5 - (width - 1) / 2, by hand.
    centre, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    share = ((dataset.pixel_array - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    assert np.abs(got - share * 255).max() <= 0.5 + 1e-9
    assert got.max() > 200
    # The first of two windows; after a rescaling the window counts in rescaled values.
    np.testing.assert_array_equal(decode(load("MR_small.dcm", WindowCenter=[600, 1], WindowWidth=[1600, 1]))[0], got)
    scaled = load("MR_small.dcm", RescaleSlope=2, RescaleIntercept=-100, WindowCenter=1099.5, WindowWidth=3199)
    assert np.abs(decode(scaled)[0].astype(int) - got).max() <= 1
    sigmoid = load("MR_small.dcm", VOILUTFunction="SIGMOID")
    expected = apply_windowing(dataset.pixel_array, pydicom.dcmread(io.BytesIO(sigmoid)))
    np.testing.assert_array_equal(decode(sigmoid)[0], np.rint((expected + 32768) / 65535 * 255).astype(np.uint8))


@pytest.mark.parametrize(
    "window",
    [
        {"WindowWidth": 0},
        {"WindowWidth": -5},
        {"WindowWidth": 0.5},
        {"WindowWidth": None},
        {"WindowCenter": None},
        {"WindowWidth": ""},
        {"WindowWidth": [0, 0], "WindowCenter": [1, 2]},
        {"WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
    ],
)
def test_a_window_that_shows_nothing_counts_as_none(window: dict[str, object]) -> None:
    values = pydicom.dcmread(shipped("MR_small.dcm")).pixel_array.astype(float)
    assert values.min() >= -4096 and 2047 < values.max() <= 4095  # signed, of 13 bits
    expected = np.rint((values + 4096) / 8191 * 255).astype(np.uint8)
    np.testing.assert_array_equal(decode(load("MR_small.dcm", **window))[0], expected)


def test_the_first_window_that_shows_something_is_taken() -> None:
    one = decode(load("MR_small.dcm"))
    np.testing.assert_array_equal(decode(load("MR_small.dcm", WindowCenter=[1, 600], WindowWidth=[0, 1600])), one)
    # Behind a rescaling of negative slope, large stored numbers are dark.
    negative = load("MR_small.dcm", RescaleSlope=-1, RescaleIntercept=0, WindowCenter=-599, WindowWidth=1600)
    assert np.abs(decode(negative)[0].astype(int) - (255 - one[0].astype(int))).max() <= 1


def test_bits_that_the_user_names_stand_in_place_of_windows() -> None:
    values = pydicom.dcmread(shipped("MR_small.dcm")).pixel_array.astype(float)
    data = load("MR_small.dcm", WindowCenter=32768, WindowWidth=65536)
    (picture,) = dicom.decode_frames(data, [0], 1, fixed_bits(14))
    np.testing.assert_array_equal(picture.pixels[0], np.rint((values + 8192) / 16383 * 255).astype(np.uint8))


def bare(name: str, *, implicit: bool, little: bool = True, **changes: object) -> bytes:
    """Return a shipped file as some scanners store it: no preamble, no file meta information."""
    dataset = pydicom.dcmread(io.BytesIO(load(name, **changes)))
    array = dataset.pixel_array
    plain = pydicom.Dataset()
    plain.update({element.tag: element for element in dataset if element.tag.group != 2})
    plain.PixelData = array.astype(array.dtype.newbyteorder("<" if little else ">")).tobytes()
    plain["PixelData"].VR = "OB" if array.dtype.itemsize == 1 else "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, plain, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    data = buffer.getvalue()
    assert data[128:132] != b"DICM"
    return data


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_files_without_preamble_are_read(implicit: bool, little: bool, tmp_path: Path) -> None:
    for name in ("MR_small.dcm", "image_dfl.dcm"):
        data = bare(name, implicit=implicit, little=little)
        np.testing.assert_array_equal(decode(data), decode(load(name)))
        assert dicom.looks_like(data[: dicom.HEAD])
    # As a source, with and without the usual suffix.
    for i in range(6):
        for class_ in "ab":
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            path = tmp_path / "s" / class_ / (f"{i}.dcm" if i % 2 else f"IM{i:04}")
            path.parent.mkdir(parents=True, exist_ok=True)
            array = np.random.default_rng(100 * i + ord(class_)).integers(0, 256, (dataset.Rows, dataset.Columns))
            dataset.PixelData = array.astype(np.uint8).tobytes()
            dataset["PixelData"].VR = "OB"
            del dataset.PatientID
            pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    for source in (tmp_path / "s", zipped(tmp_path / "s", tmp_path / "s.zip", inside="top/")):
        manifest = prepare(prepare_config(16, 1, 4), source, tmp_path / f"{source.name}.d", Silent())
        assert len(manifest.images) == 12 and not manifest.left_out


def test_other_files_do_not_look_like_dicom() -> None:
    for head in (
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(140),
        b"II*\0" + bytes(140),
        b"BM" + bytes(140),
        bytes(140),
        b"path,label",
    ):
        assert not dicom.looks_like(head)


def test_the_readers_own_reason_is_shown_where_a_class_is_lost(tmp_path: Path) -> None:
    for name, data, reason in (
        ("text", b"no DICOM", dicom.NO_HEADER),
        ("pixels", bare("MR_small.dcm", implicit=True)[:700], "DICOM"),
        ("photometric", bare("MR_small.dcm", implicit=True, PhotometricInterpretation="HSV"), "unknown kind 'HSV'"),
        ("rows", load("rtplan.dcm"), dicom.NO_PIXELS),
    ):
        for class_ in "ab":
            (tmp_path / name / class_).mkdir(parents=True)
            (tmp_path / name / class_ / "1.dcm").write_bytes(data)
        config = prepare_config(16, 1, 1, reading=SourceOptions(groups="none"))
        with pytest.raises(DataError, match=rf"class 'a' in .*{name} can be read: a/1.dcm: .*({reason})") as caught:
            prepare(config, tmp_path / name, tmp_path / f"{name}.d", Silent())
        assert "--classes" in str(caught.value.hint)


def test_monochrome1_is_inverted() -> None:
    for name in ("MR_small.dcm", "image_dfl.dcm"):
        positive, negative = (decode(load(name, PhotometricInterpretation=f"MONOCHROME{i}")) for i in (2, 1))
        np.testing.assert_array_equal(negative, 255 - positive)


def test_what_cannot_be_decoded_has_a_reason() -> None:
    for name, reason in (
        ("rtplan.dcm", dicom.NO_PIXELS),
        ("test-SR.dcm", dicom.NO_PIXELS),
        ("liver_1frame.dcm", dicom.SEGMENTATION),
    ):
        with pytest.raises(UndecodableError) as caught:
            dicom.read_header(shipped(name).read_bytes())
        assert caught.value.reason == reason
    for data in (b"", b"x" * 200, shipped("MR_small.dcm").read_bytes()[:200]):
        with pytest.raises(UndecodableError):
            dicom.read_header(data)
    with pytest.raises(UndecodableError, match="damaged or incomplete"):
        decode(shipped("MR_truncated.dcm").read_bytes())
    with pytest.raises(UndecodableError, match="more than"):
        decode(load("MR_small.dcm", Rows=60000, Columns=60000))
    with pytest.raises(UndecodableError, match="damaged"):
        decode(load("examples_ybr_color.dcm"), 31)


# As sources.


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes of DICOM files with and without suffix, of four patients, and what does not belong."""
    top = tmp_path / "source"
    for class_, patients in (("a", "pq"), ("b", "rs")):
        for i, patient in enumerate(patients * 3):
            name = "examples_rgb_color.dcm" if i % 2 else "MR_small.dcm"
            dataset = pydicom.dcmread(shipped(name))
            dataset.PatientID = f"secret-{patient}"
            array = dataset.pixel_array.copy()
            array[:20, :20] = (i + 10) * 5 + ord(patient) % 7
            dataset.PixelData = array.tobytes()
            path = top / class_ / (f"1.2.{i}.{ord(patient)}" if i < 3 else f"{i}.dcm")
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(path)
    shutil.copy(shipped("liver_1frame.dcm"), top / "a" / "mask.dcm")
    shutil.copy(shipped("rtplan.dcm"), top / "a" / "plan.dcm")
    (top / "b" / "notes.dcm").write_text("no DICOM")
    (top / "b" / "notes").write_text("no DICOM")
    return top


def test_a_folder_of_dicom_files(source: Path, tmp_path: Path) -> None:
    progress = Silent()
    manifest = prepare(prepare_config(16, 1, 6), source, tmp_path / "data", progress)
    assert (manifest.source_format, manifest.groups_from) == ("dicom", "PatientID")
    assert len(manifest.images) == 12
    assert {item.source: item.reason for item in manifest.left_out} == {
        "a/mask.dcm": masks.MASK,
        "a/plan.dcm": dicom.NO_PIXELS,
        "b/notes.dcm": dicom.NO_HEADER,
        "b/notes": classes.NOT_AN_IMAGE,
    }
    assert len({image.group for image in manifest.of("test")} & {image.group for image in manifest.of("train")}) == 0
    assert len({image.group for image in manifest.images}) <= 4
    for path in (tmp_path / "data").rglob("*.json"):
        assert "secret" not in path.read_text()
    # The same in an archive, where only DICOM files count if they are asked for.
    codec.write_png(source / "a" / "extra.png", np.zeros((1, 8, 8), np.uint8))
    config = prepare_config(16, 1, 6, reading=SourceOptions(format="dicom"))
    assert prepare(config, zipped(source, tmp_path / "s.zip"), tmp_path / "zip", progress).images == manifest.images
    assert scan(source).format == "folders"
    assert len(scan(source).images) == 13


def test_frames_of_a_file_stay_together(tmp_path: Path) -> None:
    for class_ in "ab":
        for i in range(4):
            name = shipped("examples_ybr_color.dcm" if i == 0 else "examples_rgb_color.dcm")
            dataset = pydicom.dcmread(name)
            dataset.PatientID = "" if class_ == "a" else f"p{i}"
            if i:
                array = dataset.pixel_array.copy()
                array[:, : 20 * i] = ord(class_)
                dataset.PixelData = array.tobytes()
            (tmp_path / "s" / class_).mkdir(parents=True, exist_ok=True)
            dataset.save_as(tmp_path / "s" / class_ / f"{i}.dcm")
    found = scan(tmp_path / "s", SourceOptions(frames="all"))
    assert len(found.images) == 2 * (30 + 3)
    assert [image.relative for image in found.images[:2]] == ["a/0.dcm#1", "a/0.dcm#2"]
    assert found.images[0].group is None
    assert found.images[33].group == "p0"
    middle = scan(tmp_path / "s", SourceOptions(frames="middle"))
    assert [image.frame for image in middle.images if image.name == "a/0.dcm"] == [15]
    # A single patient for all files means that patients are unknown: the files were anonymised.
    for path in (tmp_path / "s").rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "ANON"
        dataset.save_as(path)
    with pytest.raises(DataError, match=r"of one group \(by PatientID\)") as caught:
        scan(tmp_path / "s")
    assert "--groups none" in str(caught.value.hint)
    assert scan(tmp_path / "s", SourceOptions(groups="none")).groups_from == "none"


@pytest.mark.parametrize(
    "patient",
    [
        lambda class_, i: class_,
        lambda class_, i: "ANON" if class_ == "a" else f"p{i}",
        lambda class_, i: f"{class_} study",
    ],
    ids=["the class", "one class anonymised", "named after the class"],
)
def test_a_patient_id_that_is_the_class_names_no_patient(tmp_path: Path, patient: Callable[[str, int], str]) -> None:
    for class_ in "ab":
        for i in range(4):
            dataset = pydicom.dcmread(shipped("MR_small.dcm"))
            dataset.PatientID = patient(class_, i)
            (tmp_path / "s" / class_).mkdir(parents=True, exist_ok=True)
            dataset.save_as(tmp_path / "s" / class_ / f"{i}.dcm")
    with pytest.raises(DataError, match=r"class 'a' in .* have the same PatientID") as caught:
        scan(tmp_path / "s")
    assert "--groups none" in str(caught.value.hint)
    assert len(scan(tmp_path / "s", SourceOptions(groups="none")).images) == 8
    # A split that the source brings need not be drawn.
    for class_ in "ab":
        for i in range(4):
            side = tmp_path / "own" / ("train" if i < 2 else "test") / class_
            side.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "s" / class_ / f"{i}.dcm", side)
    assert scan(tmp_path / "own").has_split


def test_a_table_may_list_dicom_files(source: Path) -> None:
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and path.parent.name in "ab"]
    rows = [f"{path.relative_to(source).as_posix()},{path.parent.name}\n" for path in files]
    (source / "list.csv").write_text("path,label\n" + "".join(rows))
    found = scan(source / "list.csv")
    assert len(found.images) == 12
    assert found.groups_from == "PatientID"
    assert all(image.dicom for image in found.images)


def test_without_the_package_the_message_says_what_to_install(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pydicom" else find(name, *a))
    with pytest.raises(DataError, match="not installed") as caught:
        scan(source)
    assert "usgan[dicom]" in str(caught.value.hint)
