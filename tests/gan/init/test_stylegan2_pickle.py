"""Published StyleGAN2-ADA files read back to the same images, and none of them gets to run anything.

The file is made here from our own networks, through stand-ins for the publishers' modules, so that the stream has the
published layout: persistent objects with their source text, parameters by torch's own reducers.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_gan import load_published
from torch import Tensor, nn

from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.formats.generator import Architecture
from usgan_cli.gan.init.stylegan2_pickle import LEGACY_MAGIC, read_published
from usgan_cli.gan.networks import Discriminator, DiscriminatorConfig, Generator

SMALL: dict[str, Any] = {
    "resolution": 16,
    "img_channels": 1,
    "c_dim": 2,
    "mapping_layers": 2,
    "channel_base": 128,
    "channel_max": 16,
}


def small_generator(seed: int) -> Generator:
    network = Generator(Architecture(z_dim=8, w_dim=8, **SMALL), init=torch.Generator().manual_seed(seed))
    disturb(network, seed)
    return network


def small_discriminator(seed: int) -> Discriminator:
    network = Discriminator(DiscriminatorConfig(**SMALL), init=torch.Generator().manual_seed(seed))
    disturb(network, seed)
    return network


def disturb(network: nn.Module, seed: int) -> None:
    """Give biases, noise strengths and averages, which begin as zeros, values that show when they are lost."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(0.1 * torch.randn(value.shape, generator=draws))


class Publisher:
    """Writes networks as the publishers' code does: its modules exist only while it writes."""

    def __init__(self, source_text: str = "") -> None:
        self.source_text = source_text
        self.persistence = types.ModuleType("torch_utils.persistence")
        self.util = types.ModuleType("dnnlib.util")
        reconstruct: Callable[[Any], None] = lambda meta: None  # noqa: E731
        easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
        for module, item, name in (
            (self.persistence, reconstruct, "_reconstruct_persistent_obj"),
            (self.util, easy, "EasyDict"),
        ):
            item.__module__, item.__name__, item.__qualname__ = module.__name__, name, name
            setattr(module, name, item)
        self.reconstruct, self.easy = reconstruct, easy

    def saved(self, network: nn.Module, class_name: str, **kwargs: Any) -> Any:
        state = {
            "training": True,
            "_parameters": OrderedDict(network._parameters),
            "_buffers": OrderedDict(network._buffers) | {"resample_filter": torch.ones(4, 4)},
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": OrderedDict((name, self.saved(part, "Layer")) for name, part in network._modules.items()),
            "_init_args": (),
            "_init_kwargs": self.easy(kwargs),
            "weight_gain": np.float64(0.5),
            "compute": torch.float16,
        }
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source_text,
            "class_name": class_name,
            "state": state,
        }
        return Reduced(self.reconstruct, meta)

    def bytes_of(self, content: Any, protocol: int) -> bytes:
        modules = {"torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": self.persistence}
        modules |= {"dnnlib": types.ModuleType("dnnlib"), "dnnlib.util": self.util}
        sys.modules.update(modules)
        try:
            return pickle.dumps(content, protocol=protocol)
        finally:
            for name in modules:
                del sys.modules[name]


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> Any:
        return self.function, self.arguments, self.state


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_published_file_gives_the_same_images_and_logits(tmp_path: Path, protocol: int) -> None:
    generator, average, discriminator = small_generator(0), small_generator(1), small_discriminator(2)
    marker = tmp_path / "ran"
    publisher = Publisher(f"open({str(marker)!r}, 'w')")
    content = {
        "G": publisher.saved(generator, "Generator", c_dim=2, img_resolution=16, synthesis_kwargs=publisher.easy(a=1)),
        "D": publisher.saved(discriminator, "Discriminator"),
        "G_ema": publisher.saved(average, "Generator"),
        "training_set_kwargs": publisher.easy(path="x.zip"),
        "augment_pipe": None,
    }
    path = tmp_path / "network.pkl"
    path.write_bytes(publisher.bytes_of(content, protocol))
    found = read_published(path)
    assert not marker.exists()
    assert not {"torch_utils", "torch_utils.persistence", "dnnlib"} & sys.modules.keys()
    assert found.keys() == {"G", "D", "G_ema"}
    assert "synthesis.b8.conv0.resample_filter" in found["G"]

    z, c = torch.randn(3, 8), torch.eye(2)[[0, 1, 1]]
    for network, tensors in ((generator, found["G"]), (average, found["G_ema"])):
        copy = small_generator(9)
        load_published(copy, tensors)
        assert torch.equal(copy(z, c, truncation_psi=0.5), network(z, c, truncation_psi=0.5))
    copy_d = small_discriminator(9)
    load_published(copy_d, found["D"])
    images = torch.randn(3, 1, 16, 16)
    assert torch.equal(copy_d(images, c), discriminator(images, c))


def only_average(parameters: dict[str, Any], publisher: Publisher) -> dict[str, Any]:
    network = nn.Module()
    saved = publisher.saved(network, "Generator")
    saved.arguments[0]["state"]["_parameters"] = parameters
    return {"G_ema": saved}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[3:9:2],
        torch.tensor(2.5),
        torch.zeros(0, 3),
        torch.arange(4).to(torch.bfloat16),
        torch.arange(4, dtype=torch.int64),
        torch.tensor([True, False]),
        torch.arange(4.0, dtype=torch.float64),
        torch.arange(4).half(),
        nn.Parameter(torch.arange(4.0), requires_grad=False),
    ],
    ids=str,
)
def test_tensors_of_every_kind_come_back(tmp_path: Path, tensor: Tensor) -> None:
    publisher = Publisher()
    path = tmp_path / "x.pkl"
    path.write_bytes(publisher.bytes_of(only_average({"a": tensor, "again": tensor, "none": None}, publisher), 4))
    average = read_published(path)["G_ema"]
    assert average.keys() == {"a", "again", "resample_filter"}
    assert average["a"].dtype == tensor.dtype
    assert torch.equal(average["a"], tensor.detach())


def mischief(marker: Path) -> dict[str, Any]:
    """Return objects that make the marker file when they are unpickled."""
    touch = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Reduced(os.system, touch),
        "builtins.eval": Reduced(eval, code),
        "builtins.exec": Reduced(exec, code),
        "builtins.getattr": Reduced(getattr, [], "append"),
        "functools.partial": Reduced(functools.partial, os.system, touch),
        "builtins.map": Reduced(list, Reduced(map, os.system, [touch])),
        "builtins.open": Reduced(builtins.open, str(marker), "w"),
        "pathlib": Reduced(Path.touch, marker),
        "torch.load": Reduced(torch.load, io.BytesIO(pickle.dumps(Reduced(os.system, touch)))),
        "pickle": Reduced(pickle.loads, pickle.dumps(Reduced(os.system, touch))),
        "state": Reduced(OrderedDict, state={"x": Reduced(os.system, touch)}),
    }


@pytest.mark.parametrize("kind", mischief(Path("x")).keys())
@pytest.mark.parametrize("place", ["alone", "beside", "in a module", "as a parameter", "in kwargs"])
def test_mischief_is_refused_by_name_and_never_runs(tmp_path: Path, kind: str, place: str) -> None:
    marker = tmp_path / "ran"
    publisher = Publisher()
    thing = mischief(marker)[kind]
    network = publisher.saved(small_generator(0), "Generator")
    state = network.arguments[0]["state"]
    content: Any = {"G_ema": network}
    match place:
        case "alone":
            content = thing
        case "beside":
            content["augment_pipe"] = thing
        case "in a module":
            state["_modules"]["mapping"] = thing
        case "as a parameter":
            state["_parameters"]["x"] = thing
        case "in kwargs":
            state["_init_kwargs"]["x"] = thing
    path = tmp_path / "x.pkl"
    path.write_bytes(publisher.bytes_of(content, 4))
    with pytest.raises(FormatError, match=r"asks for '(posix|builtins|functools|pathlib|torch|_?pickle|_io|io)[\w.]*'"):
        read_published(path)
    assert not marker.exists()


def test_the_mischief_is_real(tmp_path: Path) -> None:
    """Unpickled the ordinary way, these files do run: otherwise the test above would show nothing."""
    for kind in (
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "builtins.open",
        "builtins.map",
        "pathlib",
        "pickle",
        "state",
    ):
        marker = tmp_path / kind
        pickle.loads(pickle.dumps(mischief(marker)[kind]))
        assert marker.exists(), kind


def test_reading_imports_executes_and_unpickles_nothing(tmp_path: Path) -> None:
    """The interpreter's own audit of such events stays silent, for a sound file and for a hostile one."""
    publisher = Publisher("raise SystemExit")
    sound = tmp_path / "sound.pkl"
    sound.write_bytes(publisher.bytes_of({"G_ema": publisher.saved(small_generator(0), "Generator")}, 4))
    hostile = tmp_path / "hostile.pkl"
    heard: list[str] = []
    listening = False

    def hook(event: str, _: Any) -> None:
        if listening and event.startswith(("import", "exec", "compile", "pickle", "os.", "subprocess", "marshal")):
            heard.append(event)

    read_published(sound)
    sys.addaudithook(hook)
    listening = True
    pickle.loads(pickle.dumps(OrderedDict()))
    assert heard == ["pickle.find_class"], "the hook receives"
    heard.clear()
    read_published(sound)
    for thing in mischief(tmp_path / "ran").values():
        listening = False
        hostile.write_bytes(pickle.dumps(thing))
        listening = True
        with pytest.raises(FormatError):
            read_published(hostile)
    listening = False
    assert heard == []


def stored(numbers: Tensor) -> bytes:
    """Return what torch's reducer puts into a pickle for a storage."""
    storage = torch.storage.TypedStorage(wrap_storage=numbers.untyped_storage(), dtype=numbers.dtype, _internal=True)
    data: bytes = storage.__reduce__()[1][0]
    return data


def as_tensor(storage: bytes, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), first: int = 0) -> Any:
    from_bytes = Reduced(torch.storage._load_from_bytes, storage)
    return Reduced(torch._utils._rebuild_tensor_v2, from_bytes, first, size, stride, False, OrderedDict())


def refusal(tmp_path: Path, tensor: Any) -> str:
    publisher = Publisher()
    path = tmp_path / "x.pkl"
    path.write_bytes(publisher.bytes_of(only_average({"x": tensor}, publisher), 4))
    with pytest.raises(FormatError) as caught:
        read_published(path)
    return str(caught.value)


def test_a_pickle_inside_a_storage_never_runs(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    inner = pickle.dumps(Reduced(os.system, f"touch {marker}"), protocol=2)
    assert "asks for 'posix.system'" in refusal(tmp_path, as_tensor(inner))
    head = b"".join(
        pickle.dumps(x, protocol=2) for x in (LEGACY_MAGIC, 1001, {"little_endian": True, "type_sizes": {}})
    )
    assert "asks for 'posix.system'" in refusal(tmp_path, as_tensor(head + inner))
    assert not marker.exists()


def test_a_tensor_stays_within_its_data(tmp_path: Path) -> None:
    four = stored(torch.arange(4.0))
    assert "beyond its data" in refusal(tmp_path, as_tensor(four, (5,)))
    assert "beyond its data" in refusal(tmp_path, as_tensor(four, (2,), (4,)))
    assert "beyond its data" in refusal(tmp_path, as_tensor(four, (1,), (1,), 4))
    assert "beyond its data" in refusal(tmp_path, as_tensor(four, (10**12,), (0,)))
    assert "impossible shape" in refusal(tmp_path, as_tensor(four, (2,), (-1,), 1))
    assert "impossible shape" in refusal(tmp_path, as_tensor(four, (2**60, 0)))
    assert "cut short" in refusal(tmp_path, as_tensor(four[:-1]))
    assert "cut short" in refusal(tmp_path, as_tensor(four + b"x"))
    assert "not a whole file" in refusal(tmp_path, as_tensor(four, (2, 2), (1,)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a whole file"),
        (b"\x80\x04N.", "its content is not a dict"),
        (b"\x80\x04}.", "none of the networks"),
        (b"\x80\x04K\x01", "not a whole file"),
        (b"\x80\x04.", "not a whole file"),
        (b"\x80\x04h\x05.", "not a whole file"),
        (b"\x80\x04e.", "not a whole file"),
        (b"PK\x03\x04" + b"\n" * 30, "opcode PERSID"),
        (b"cos\nsystem\n(S'x'\ntR.", "asks for 'os.system'"),
        (b"(S'x'\nios\nsystem\n.", "opcode STRING"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f" + b"x.", "not a whole file"),
        (b"\x80\x04K\x01r\xff\xff\xff\xff0}.", "none of the networks"),
        (b"\x80\x04ccollections\nOrderedDict\n}\x8c\x08__init__K\x01sb.", "sets the state"),
        (b"\x80\x04ccollections\nOrderedDict\n}}\x86b.", "sets the state"),
        (b"\x80\x04\x8c\x01xK\x01\x85R.", "calls something other than a function by name"),
        (b"\x80\x04}(})K\x01u.", "key is of type dict"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for 'os.system'"),
        (b"\x80\x04\x8c\x05torch\x8c\x0astorage.os\x93.", "asks for 'torch.storage.os'"),
        (b"cdnnlib.tflib.network\nNetwork\n.", "TensorFlow"),
        (b"\x80\x03)))\x87.", "does not name its networks"),
    ],
)
def test_damaged_hostile_and_foreign_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        read_published(path)
    assert str(path) in str(caught.value)


def test_a_file_cut_anywhere_is_an_error_of_format(tmp_path: Path) -> None:
    publisher = Publisher()
    whole = publisher.bytes_of({"G_ema": publisher.saved(nn.Linear(2, 2), "Generator")}, 4)
    path = tmp_path / "x.pkl"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            read_published(path)


def test_modules_inside_themselves_or_in_two_places_are_refused(tmp_path: Path) -> None:
    publisher = Publisher()
    network = publisher.saved(nn.Module(), "Generator")
    part = publisher.saved(nn.Module(), "Layer")
    modules = network.arguments[0]["state"]["_modules"]
    modules["a"] = modules["b"] = part
    path = tmp_path / "x.pkl"
    path.write_bytes(publisher.bytes_of({"G": network}, 4))
    with pytest.raises(FormatError, match="not a tree of modules"):
        read_published(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"x\.pkl"):
        read_published(tmp_path / "x.pkl")
