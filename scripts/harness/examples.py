"""Small sound files of every kind that usgan reads, to be changed by the fuzzer."""

from __future__ import annotations

import importlib
import io
import json
import pkgutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SHA = "0123456789abcdef" * 4
CSV = b"path,label,group,split\nimages/a/0.png,a,p1,train\nimages/a/1.png,a,p2,test\nimages/b/0.png,b,p3,train\n"
PREDICTIONS = b"fold,part,file,label,p_a,p_b\n0,val,images/a/0.png,a,0.75,0.25\n0,test,images/b/0.png,b,0.5,0.5\n"
LABELS = json.dumps({"labels": [["a/0.png", 0], ["a/1.png", 0], ["b/0.png", 1]]}).encode()


def pixels(size: int = 12, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def image(kind: str, mode: str = "L", **options: Any) -> bytes:
    """Return the bytes of a small image."""
    from PIL import Image

    array = pixels()
    made = Image.fromarray(array.astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(array).convert(mode)
    buffer = io.BytesIO()
    made.save(buffer, kind, **options)
    return buffer.getvalue()


def images() -> list[bytes]:
    """Return small images of the kinds that are read."""
    from PIL import Image

    pages = [Image.fromarray(pixels(seed=seed)) for seed in range(3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    floats = io.BytesIO()
    Image.fromarray(pixels().astype(np.float32) / 255).save(floats, "TIFF")
    plain = [image("PNG"), image("PNG", "RGBA"), image("PNG", "P"), image("PNG", "I;16"), image("PNG", "1")]
    more = [
        image("JPEG"),
        image("JPEG", "CMYK"),
        image("BMP"),
        image("TIFF"),
        image("TIFF", "I;16"),
        image("WEBP", "RGB"),
    ]
    return [*plain, *more, image("TIFF", compression="tiff_lzw"), buffer.getvalue(), floats.getvalue()]


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


def folder_archives() -> list[bytes]:
    """Return archives of class folders, with and without a folder at the top and labels in a file."""
    png = image("PNG")
    tree = {"a/0.png": png, "a/1.png": image("JPEG"), "b/0.png": image("BMP"), "b/1.png": png}
    top = {f"top/{name}": data for name, data in tree.items()}
    return [archive(tree), archive(top, zipfile.ZIP_STORED), archive(tree | {"dataset.json": LABELS})]


def medmnist() -> list[bytes]:
    buffer, compressed = io.BytesIO(), io.BytesIO()
    arrays = {}
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{part}_images"] = np.stack([pixels(seed=i) for i in range(count)])
        arrays[f"{part}_labels"] = (np.arange(count) % 2).reshape(-1, 1)
    np.savez(buffer, **arrays)
    np.savez_compressed(compressed, **arrays)
    return [buffer.getvalue(), compressed.getvalue()]


def dicoms() -> list[bytes]:
    """Return DICOM files: gray with a window, inverted, coloured, several frames, with a palette."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    made = []
    for kind, frames in (("MONOCHROME2", 1), ("MONOCHROME1", 1), ("RGB", 1), ("MONOCHROME2", 3)):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=[kind])
        dataset.Modality, dataset.PatientID, dataset.Rows, dataset.Columns = "US", "p1", 8, 8
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = kind, 3 if kind == "RGB" else 1
        deep = kind == "MONOCHROME1"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (16, 12, 11) if deep else (8, 8, 7)
        dataset.PixelRepresentation = 0
        if kind == "RGB":
            dataset.PlanarConfiguration = 0
        if frames > 1:
            dataset.NumberOfFrames = frames
        else:
            dataset.WindowCenter, dataset.WindowWidth, dataset.RescaleSlope, dataset.RescaleIntercept = 100, 80, 1, 0
        count = 64 * frames * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
        dataset.PixelData = np.random.default_rng(0).bytes(count)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        made.append(buffer.getvalue())
    return made


def tensors() -> list[bytes]:
    """Return safetensors files: a few tensors of several types, and what the caches hold."""
    from safetensors.numpy import save

    some = {"a": np.ones((2, 3), np.float32), "b": np.arange(4), "c": np.zeros((), np.float16)}
    cache = {"digests": np.arange(64, dtype=np.uint8).reshape(2, 32), "features": np.ones((2, 5), np.float32)}
    return [save(some), save(some, {"sha256": SHA}), save(cache), save({"features": np.ones((2, 5), np.float32)})]


def torch_files() -> list[bytes]:
    """Return torch files of named tensors, in the new and in the old format."""
    import torch

    made = []
    for new in (True, False):
        for content in ({"a": torch.ones(2, 3), "b": torch.arange(4)}, {"state_dict": {"a": torch.ones(2)}}):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=new)
            made.append(buffer.getvalue())
    return made


def pickles() -> list[bytes]:
    """Return pickles: plain content, and tensors as torch writes them into a pickle of its own."""
    import pickle

    import torch

    plain: dict[str, Any] = {"G": {"a": [1, 2.5, "x", b"y", None, True, (1, 2), {3}]}, "D": None, "G_ema": ()}
    tensor = {"G_ema": {"synthesis.b4.const": torch.ones(2)}}
    return [pickle.dumps(value, protocol) for value in (plain, tensor) for protocol in (2, 3, 4, 5)]


def studies() -> list[bytes]:
    """Return the shipped study files, and one with every table."""
    from usgan_cli.study.config import SHIPPED, study_text

    return [study_text(name).encode() for name in SHIPPED]


def document_classes() -> list[Any]:
    """Return every class of JSON document, wherever it is defined."""
    import usgan_cli
    from usgan_cli.core.store.document import Document

    for module in pkgutil.walk_packages(usgan_cli.__path__, "usgan_cli."):
        if "triton" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    waiting, found = [Document], {}
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if "FORMAT" in vars(cls) and cls.__module__.startswith("usgan_cli."):
            found[cls.__name__] = cls
    return [found[name] for name in sorted(found)]


def document(cls: Any) -> bytes:
    """Return a document made from its schema: every field present, of the right type."""
    schema = cls.model_json_schema(by_alias=True)
    body = _example(schema, schema.get("$defs", {}))
    run = _example(schema["$defs"]["RunRecord"], schema["$defs"]) if "RunRecord" in schema.get("$defs", {}) else None
    head = {"format": cls.FORMAT, "version": cls.VERSION}
    return json.dumps(head | body | ({"run": run} if "run" in body else {}), indent=1).encode() + b"\n"


def log_rows() -> bytes:
    from usgan_cli.core.formats.generator import LogRow

    schema = LogRow.model_json_schema(by_alias=True)
    row = _example(schema, schema.get("$defs", {}))
    return b"".join(json.dumps(row | {"kimg": float(i)}).encode() + b"\n" for i in range(1, 4))


def _example(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _example(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            kinds = [one for one in schema[union] if one.get("type") != "null"]
            return _example(kinds[0], definitions)
    match schema.get("type"):
        case "object":
            if "properties" in schema:
                return {name: _example(part, definitions) for name, part in schema["properties"].items()}
            more = schema.get("additionalProperties")
            return {"a": _example(more, definitions) if isinstance(more, dict) and more else 1}
        case "array":
            if "prefixItems" in schema:
                return [_example(part, definitions) for part in schema["prefixItems"]]
            return [_example(schema.get("items", {}), definitions) for _ in range(max(1, schema.get("minItems", 1)))]
        case "string":
            return SHA if "pattern" in schema else "a"
        case "integer":
            return max(1, int(schema.get("minimum", 1)), int(schema.get("exclusiveMinimum", 0)) + 1)
        case "number":
            return 0.5
        case "boolean":
            return True
    return 1


def write_tree(top: Path, tree: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in tree.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
