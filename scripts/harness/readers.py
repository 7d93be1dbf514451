"""Every reader of the package, as something that takes the bytes of a file."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import examples
from harness.mutate import Mutation, change_bytes, change_json, change_lines


@dataclass(frozen=True)
class Reader:
    """A reader, sound files for it, and how they are changed."""

    name: str
    seeds: Sequence[bytes]
    mutate: Mutation
    read: Callable[[Path, bytes], object]
    """Given an empty folder and a file's bytes: puts the file where it belongs and reads it."""
    share: float = 1.0
    """Of the cases, relative to the others: less for readers that take long."""


def _at(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    def place_and_read(folder: Path, data: bytes) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return place_and_read


def all_readers() -> list[Reader]:
    """Return every reader."""
    return [*_image_readers(), *_source_readers(), *_tensor_readers(), *_record_readers(), *_document_readers()]


def _scan(path: Path, **options: Any) -> None:
    """Read a source as `usgan prepare` does: list it, take its digest, decode and write its images."""
    from usgan_cli.core.progress import Silent
    from usgan_cli.data.source.contents import SourceOptions
    from usgan_cli.data.source.decode import decode_all
    from usgan_cli.data.source.scan import scan

    source = scan(path, SourceOptions(**options))
    source.digest()
    target = path.parent / "written"
    target.mkdir(exist_ok=True)
    decode_all(source, target, 1, 16, "stretch", Silent(), workers=1)


def _image_readers() -> list[Reader]:
    from usgan_cli.core.images import codec
    from usgan_cli.core.progress import Silent
    from usgan_cli.data.source.folders import load_folders

    def among_others(folder: Path, data: bytes) -> None:
        examples.write_tree(folder / "in", {"a/0.png": data, "a/1.png": sound, "b/0.png": sound, "b/1": data})
        _scan(folder / "in", frames="all")

    def of_folder(folder: Path, data: bytes) -> None:
        examples.write_tree(folder / "in", {"0.png": data, "1.png": sound})
        load_folders([folder / "in"], fit="stretch", bits=None, progress=Silent())

    sound, pictures = examples.image("PNG"), examples.images()
    return [
        Reader("image", pictures, change_bytes, _at("image.png", lambda path: codec.read_picture(path, 3)), 4),
        Reader("image in a source", pictures, change_bytes, among_others),
        Reader("image in a folder", pictures, change_bytes, of_folder),
    ]


def _source_readers() -> list[Reader]:
    from usgan_cli.core.progress import Silent
    from usgan_cli.data.source.folders import Like, load_folders

    sound = examples.image("PNG")
    tree = {f"images/{name}": sound for name in ("a/0.png", "a/1.png", "b/0.png")}

    def dicom(folder: Path, data: bytes) -> None:
        examples.write_tree(folder / "in", {"a/0.dcm": data, "b/0": data})
        _scan(folder / "in", frames="all")

    def table(folder: Path, data: bytes) -> None:
        examples.write_tree(folder, {**tree, "table.csv": data})
        _scan(folder / "table.csv")

    def groups(folder: Path, data: bytes) -> None:
        examples.write_tree(folder, {**tree, "groups.csv": data})
        _scan(folder / "images", groups=str(folder / "groups.csv"))

    def labels(folder: Path, data: bytes) -> None:
        examples.write_tree(
            folder / "images", {"a/0.png": sound, "a/1.png": sound, "b/0.png": sound, "dataset.json": data}
        )
        _scan(folder / "images")

    def generated(folder: Path, data: bytes) -> None:
        files = {"00000/0.png": sound, "00000/1.png": sound, "a/0.png": sound, "b/0.png": sound, "dataset.json": data}
        examples.write_tree(folder / "in", files)
        like = Like(("a", "b"), 1, 16)
        load_folders([folder / "in"], fit="stretch", bits=None, progress=Silent(), like=like)

    def dicom_folder(folder: Path, data: bytes) -> None:
        examples.write_tree(folder / "in", {"a/0.dcm": data, "b/0": data})
        load_folders([folder / "in"], fit="pad", bits=None, progress=Silent(), like=Like(("a", "b"), 3, 16))

    group_table = [b"path,group\na/0.png,p1\na/1.png,p1\nb/0.png,p2\n"]
    return [
        Reader("zip of images", examples.folder_archives(), change_bytes, _at("in.zip", _scan)),
        Reader("MedMNIST", examples.medmnist(), change_bytes, _at("in.npz", _scan)),
        Reader("DICOM", examples.dicoms(), change_bytes, dicom),
        Reader("CSV of images", [examples.CSV], change_lines, table),
        Reader("CSV of groups", group_table, change_lines, groups),
        Reader("dataset.json", [examples.LABELS], change_json, labels),
        Reader("dataset.json of another generator", [examples.LABELS], change_json, generated),
        Reader("DICOM of another generator", examples.dicoms(), change_bytes, dicom_folder),
    ]


class _Flat:
    """A stand-in for a feature network."""

    name, dim = "flat@0", 5

    def __call__(self, pixels: Any, **_: Any) -> Any:
        return np.zeros((len(pixels), self.dim), np.float32)


def _tensor_readers() -> list[Reader]:
    from usgan_cli.classify.head import FeatureCache
    from usgan_cli.core.formats.tensors import read_tensors
    from usgan_cli.core.machine.weights import read_state
    from usgan_cli.core.progress import Silent
    from usgan_cli.gan.init.transfer import read_source
    from usgan_cli.metrics.features import cached_features

    pixels = np.zeros((2, 1, 4, 4), np.uint8)

    def cache(folder: Path, data: bytes) -> None:
        cached_features(_Flat(), pixels, folder)  # type: ignore[arg-type]
        (path,) = folder.glob("*.safetensors")
        path.write_bytes(data)
        cached_features(_Flat(), pixels, folder)  # type: ignore[arg-type]

    def head_cache(folder: Path, data: bytes) -> None:
        place = FeatureCache(folder, examples.SHA, Silent()).folder
        place.mkdir(parents=True)
        (place / "x.safetensors").write_bytes(data)
        FeatureCache(folder, examples.SHA, Silent())

    tensors = examples.tensors()
    return [
        Reader("safetensors", tensors, change_bytes, _at("x.safetensors", read_tensors), 2),
        Reader("weights .safetensors", tensors, change_bytes, _at("x.safetensors", read_state)),
        Reader("weights .pth", examples.torch_files(), change_bytes, _at("x.pth", read_state), 2),
        Reader("published .pkl", examples.pickles(), change_bytes, _at("x.pkl", read_source), 2),
        Reader("start from .safetensors", tensors, change_bytes, _at("x.safetensors", read_source)),
        Reader("cached features", tensors, change_bytes, cache),
        Reader("cached features of a head", tensors, change_bytes, head_cache),
    ]


def _record_readers() -> list[Reader]:
    from usgan_cli.core.formats.classifier import Predictions
    from usgan_cli.core.formats.generator import read_log
    from usgan_cli.core.images.generated import NPZ, ZIP, read_pixels
    from usgan_cli.core.store.files import holder_of
    from usgan_cli.study.config import load_study

    entry = {"class": "a", "seed": 0, "sha256": examples.SHA}

    def generated(form: str) -> Callable[[Path, bytes], object]:
        name, member = (ZIP, f"{ZIP}/a/0.png") if form == "zip" else (NPZ, "a/0")

        def read(folder: Path, data: bytes) -> None:
            (folder / name).write_bytes(data)
            read_pixels(folder, _Listed(form, member, entry))  # type: ignore[arg-type]

        return read

    holder = [b'{"pid": 1, "user": "a", "host": "b"}', b'{"pid": 1, "machine": "b"}']
    return [
        Reader("study file", examples.studies(), change_lines, _at("x.toml", lambda path: load_study(str(path))), 2),
        Reader("predictions.csv", [examples.PREDICTIONS], change_lines, _at("predictions.csv", Predictions.read), 2),
        Reader("log.jsonl", [examples.log_rows()], change_json, _at("log.jsonl", lambda p: read_log(p.parent)), 2),
        Reader("generated zip", examples.folder_archives(), change_bytes, generated("zip")),
        Reader("generated npz", examples.medmnist(), change_bytes, generated("npz")),
        Reader("holder of a lock", holder, change_json, _at(".x.holder", lambda p: holder_of(p.with_name("x")))),
    ]


class _Listed:
    """A stand-in for the manifest of generated images, with one image in it."""

    channels = 1

    def __init__(self, form: str, file: str, entry: dict[str, Any]) -> None:
        from usgan_cli.core.formats.synthetic import SyntheticImage

        self.form, self.images = form, [SyntheticImage.model_validate({"file": file, **entry})]


def _document_readers() -> list[Reader]:
    from usgan_cli.core.formats.dataset import read_manifest
    from usgan_cli.core.formats.generator import latest_state, read_generator_document
    from usgan_cli.core.store.document import read_run
    from usgan_cli.core.store.lifecycle import find_existing
    from usgan_cli.core.store.workspace import Workspace
    from usgan_cli.study.document import read_study

    readers = []
    for cls in examples.document_classes():
        seed = examples.document(cls)

        def read(path: Path, cls: Any = cls) -> None:
            cls.read(path).content_digest()

        readers.append(Reader(f"sealed {cls.FORMAT}", [seed], change_json, _sealed_at(f"{cls.__name__}.json", read), 2))
        readers.append(Reader(cls.FORMAT, [seed], change_json, _at(f"{cls.__name__}.json", read)))
        readers.append(
            Reader(f"step of {cls.FORMAT}", [seed], change_json, _at("x.json", _both(read_run, find_existing)), 0.3)
        )
        known = {
            "DataManifest": ("manifest.json", lambda path: read_manifest(path.parent)),
            "GeneratorDocument": ("generator.json", lambda path: read_generator_document(path.parent)),
            "TrainingState": ("kimg00001.000.json", lambda path: latest_state(path.parent)),
            "StudyDocument": ("study.json", lambda path: read_study(Workspace(path.parent))),
            "RunDocument": ("run.json", lambda path: find_existing(path.parent)),
            "PlanDocument": ("config.json", lambda path: find_existing(path.parent)),
        }
        if cls.__name__ in known:
            name, by_name = known[cls.__name__]
            readers.append(Reader(f"{name} in its folder", [seed], change_json, _at(name, by_name)))
    return readers


def _sealed_at(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    """Give a changed document a digest that fits, so that what it says is judged too."""
    from usgan_cli.core.store.document import sealed

    def seal_and_read(folder: Path, data: bytes) -> object:
        with suppress(ValueError, TypeError, AttributeError, RecursionError):  # no document at all
            data = json.dumps(sealed(json.loads(data))).encode()
        return _at(name, read)(folder, data)

    return seal_and_read


def _both(*reads: Callable[[Path], object]) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        for one in reads:
            one(path)

    return read


def run_one(reader: Reader, folder: Path, data: bytes) -> BaseException | None:
    """Read one file in an emptied folder; return what was raised, None if the file was read or refused as it should."""
    from usgan_cli.core.errors import UsganError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        reader.read(folder, data)
    except UsganError:
        return None
    except OSError as error:
        # The system's own refusals become a message where the command line ends; a parser's have no number.
        return None if error.errno is not None else error
    except BaseException as error:
        return error
    return None


def changed(reader: Reader, draws: random.Random) -> bytes:
    """Return a file for a reader, changed."""
    return reader.mutate(draws.choice(reader.seeds), draws, list(reader.seeds))
