"""When a training ends: minutes, Ctrl-C and SIGTERM. Nothing is lost, and what goes on comes to the same bytes."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from processes import usgan, wait_until
from tiny_gan import CPU, config, images, run

from usgan_cli import cli
from usgan_cli.core.formats.generator import TrainingState, latest_state, read_log
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.files import sha256_file
from usgan_cli.gan import outputs
from usgan_cli.gan import train as loop
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.state import Training, reached
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.stop import StopSignals
from usgan_cli.gan.train import train

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


@pytest.fixture(autouse=True)
def one_thread_and_working_signals() -> Iterator[None]:
    """One thread; Ctrl-C as in a terminal (background jobs of a shell ignore it); handlers are put back."""
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def state(folder: Path) -> TrainingState:
    newest = latest_state(folder / "checkpoint")
    assert newest is not None
    return newest


def signal_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, number: int) -> None:
    """Let this process get a signal while a function is called for the `call`-th time."""
    function, calls = getattr(owner, name), [0]

    def signalled(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), number)
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, signalled)


@SIGNALS
@pytest.mark.parametrize(
    ("owner", "name", "call", "saved_at"),
    [
        (Steps, "generator_step", 1, 4),
        (Steps, "path_length_step", 2, 20),
        (Steps, "average_step", 7, 28),
        (outputs, "class_samples", 1, 16),
        (Training, "save", 1, 16),
    ],
)
def test_a_signal_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, saved_at: int, number: int
) -> None:
    settings = config(kimg=0.032, ada_kimg=0.05)
    undisturbed = run(tmp_path / "a", settings)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        signal_in(patched, owner, name, call, number)
        run(tmp_path / "b", settings)
    assert state(tmp_path / "b").images == saved_at, "the iteration is finished and saved"
    assert read_log(tmp_path / "b")[-1].kimg == saved_at / 1000
    assert not (tmp_path / "b" / "generator.json").exists()
    assert run(tmp_path / "b", settings) == undisturbed
    extra = {row.kimg for row in read_log(tmp_path / "b")} - {row.kimg for row in read_log(tmp_path / "a")}
    assert extra <= {saved_at / 1000}, "a line for the stop, and otherwise the same"


def test_a_second_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Silent()
    with StopSignals(progress) as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # as torchrun does, which forwards what the terminal has sent to everybody
        signal.raise_signal(signal.SIGTERM)
        assert signals.received
        monkeypatch.setattr(time, "monotonic", lambda: signals.first + 2)  # type: ignore[operator]
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(5)
    assert len(progress.notes) == 1


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals(Silent()) as signals:
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
        assert not signals.received
        signal.raise_signal(signal.SIGTERM)
        assert signals.received
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_outside_the_main_thread_training_works_without_handlers(tmp_path: Path) -> None:
    digests: list[str] = []
    thread = threading.Thread(target=lambda: digests.append(run(tmp_path / "t", config(kimg=0.008))))
    thread.start()
    thread.join()
    assert digests == [run(tmp_path / "m", config(kimg=0.008))]


def test_minutes_end_a_training_at_the_first_iteration_past_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    # A clock that goes on by 0.01 s whenever it is read, which is a few times in an iteration.
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(looks) / 100))
    folder = tmp_path / "g"
    scores: list[float] = []

    def scorer(generator: torch.nn.Module) -> tuple[float, str]:
        scores.append(1.0)
        return 1.0, "toy@0"

    # ADA's own speed would follow from the kimg.
    short = config(kimg=None, minutes=0.01, ada_kimg=1.0)
    assert short.kimg is None, "the preset's kimg does not apply"
    run(folder, short, scorer=scorer)
    last = read_log(folder)[-1]
    assert 0.6 <= state(folder).seconds < 0.66
    assert (last.fd, len(scores)) == (1.0, 1), "scored at the end"
    assert state(folder).images == round(last.kimg * 1000)
    first = sha256_file(folder / "generator.safetensors")
    assert run(folder, short) == first, "past its limit nothing is trained"
    longer = config(kimg=None, minutes=0.02, ada_kimg=1.0)
    assert run(folder, longer) != first
    assert 1.2 <= state(folder).seconds < 1.26
    assert reached(folder) == {"kimg": state(folder).images / 1000, "minutes": state(folder).seconds / 60}
    # In as many images, the same bytes as without a clock.
    assert run(tmp_path / "k", config(kimg=reached(folder)["kimg"], ada_kimg=1.0)) == sha256_file(
        folder / "generator.safetensors"
    )


def test_of_two_limits_the_first_ends_the_training(tmp_path: Path) -> None:
    assert run(tmp_path / "a", config(kimg=0.016, minutes=100)) == run(tmp_path / "b", config(kimg=0.016))
    run(tmp_path / "c", config(kimg=1000, minutes=0.002))
    assert state(tmp_path / "c").images < 1000


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a subset of 12 images of 16 pixels."""
    folder = tmp_path_factory.mktemp("work")
    handler = signal.getsignal(signal.SIGTERM)
    for arguments in (
        ["phantom", str(folder / "phantoms"), "--count", "24", "--size", "16"],
        ["prepare", str(folder / "phantoms"), "--size", "16"],
        ["subsample", "--n", "12"],
    ):
        assert cli.run([*arguments, "--work", str(folder), "--quiet"]) == 0
    signal.signal(signal.SIGTERM, handler)  # the command has set its own
    return folder


def training(work: Path, out: Path, kimg: float) -> list[str]:
    # Without --ada-kimg its speed would follow from the length, and a longer training would not begin as a shorter one.
    options = ["--preset", "tiny", "--batch", "8", "--channel-base", "128", "--device", "cpu", "--threads", "1"]
    options += ["--kimg", f"{kimg:g}", "--precision", "float32", "--save-kimg", "50", "--tick-kimg", "0.016"]
    options += ["--ada-kimg", "0.2"]
    return ["train-gan", "--aug", "ada", "--n", "12", "--out", str(out), "--work", str(work), *options]


@pytest.mark.slow
@SIGNALS
def test_a_training_that_was_stopped_goes_on_from_there(work: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The processes that a user starts: one, and with SIGTERM also one that it starts itself, all of them signalled."""
    out = tmp_path / "g"
    shared = ["--gpus", "2"] if number == signal.SIGTERM else []
    process = usgan(*training(work, out, 100), *shared)
    wait_until(lambda: len(read_log(out)) > 1, process)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130, err
    assert "Stopping after this iteration" in err
    assert "this state is saved" in err
    assert "Traceback" not in err
    images_shown = state(out).images
    assert images_shown == round(read_log(out)[-1].kimg * 1000) > 16
    if shared:  # two processes add up in another order than one does
        return
    plain = tmp_path / "plain"
    for folder in (out, plain):
        assert cli.run([*training(work, folder, (images_shown + 16) / 1000), "--quiet"]) == 0
    assert sha256_file(out / "generator.safetensors") == sha256_file(plain / "generator.safetensors")


@pytest.mark.slow
def test_any_of_a_launcher_s_processes_can_ask_for_the_end(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        usgan(*training(work, out, 100), env=variables | {"RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")
    ]
    wait_until(lambda: len(read_log(out)) > 1, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    messages = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [130, 130], messages
    assert state(out).images == round(read_log(out)[-1].kimg * 1000) > 16


@pytest.mark.slow
def test_workers_end_with_a_main_process_that_was_killed(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    process = usgan(*training(work, out, 100), "--gpus", "2")
    wait_until(lambda: len(read_log(out)) > 1, process)
    process.kill()
    process.wait()

    def anyone_left() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    end = time.monotonic() + 60
    while anyone_left() and time.monotonic() < end:
        time.sleep(0.1)
    assert not anyone_left()


class Watched(Silent):
    """Keeps the options with which work was begun."""

    def task(self, *arguments: Any, **options: Any) -> Any:
        self.begun = options
        return super().task(*arguments, **options)


def test_a_limit_in_minutes_bounds_the_time_left_beside_one_in_images(tmp_path: Path) -> None:
    watched = Watched()
    train(config(kimg=0.016, minutes=60), images(), tmp_path / "g", GanRun("toy", 12, CPU, watched))
    assert watched.begun["within"] == 3600
    trained = state(tmp_path / "g").seconds
    train(config(kimg=0.032, minutes=60), images(), tmp_path / "g", GanRun("toy", 12, CPU, watched))
    assert watched.begun["within"] == 3600 - trained < 3600


def test_a_stop_before_anything_new_was_trained_writes_nothing(tmp_path: Path) -> None:
    settings = config(kimg=0.016)
    run(tmp_path / "g", settings)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "g" / "checkpoint").iterdir())
    with pytest.raises(KeyboardInterrupt):

        class Interrupted(Silent):
            def task(self, *arguments: Any, **options: Any) -> Any:
                signal.raise_signal(signal.SIGINT)
                return super().task(*arguments, **options)

        train(config(kimg=1), images(), tmp_path / "g", GanRun("toy", 12, CPU, Interrupted()))
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "g" / "checkpoint").iterdir()) == before
