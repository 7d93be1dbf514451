"""How far a training is and when it ends: limits in images and minutes, Ctrl-C and SIGTERM, known by all processes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal

import torch

from usgan_cli.core.progress import Progress
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.distributed import World
from usgan_cli.gan.state import Training

SAME_PRESS_S = 1.0
"""A second SIGINT this soon is the first one again: torchrun forwards what the terminal has sent to everybody."""
AGREE_EVERY_S = 1.0
"""How often several processes agree whether to end: so seldom that it costs next to nothing."""
MOST_ITERATIONS_APART = 64

Ending = Literal["finished", "stopped"]
GO_ON, OUT_OF_TIME, STOP = 0, 1, 2


class StopSignals:
    """While open, Ctrl-C and SIGTERM ask for an end after the current iteration; a second Ctrl-C ends at once.

    A signal that is ignored stays ignored, as SIGINT is in the background jobs of a shell. Outside the main thread,
    where Python allows no handlers, nothing changes.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.first: float | None = None
        self._before: dict[int, Any] = {}

    @property
    def received(self) -> bool:
        """Whether an end was asked for."""
        return self.first is not None

    def __enter__(self) -> StopSignals:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """Put back the handlers that were there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        now = time.monotonic()
        if self.first is None:
            self.first = now
            # Another thread writes: this one may be in the middle of writing, and could not begin again.
            message = "Stopping after this iteration, with the state saved. Ctrl-C again stops at once."
            threading.Thread(target=self.progress.note, args=(message,)).start()
        elif number == signal.SIGINT and now - self.first > SAME_PRESS_S:
            raise KeyboardInterrupt


class Limits:
    """Decides before every iteration whether the training ends, and how far it is; all processes decide the same.

    The number of images is the same in all processes. Time (`seconds` of training so far) and signals are not, so the
    processes agree about them after a number of iterations that the main process chooses.
    """

    def __init__(
        self,
        config: GanConfig,
        training: Training,
        seconds: Callable[[], float],
        signals: StopSignals,
        world: World,
        device: torch.device,
    ) -> None:
        self.config, self.training, self.seconds, self.signals = config, training, seconds, signals
        self.world, self.device = world, device
        self._last_agreed = training.step, time.perf_counter()
        self._agree_at = training.step
        self._agreed_seconds = 0.0

    def progress(self) -> float:
        """Return the share of the training that is done, 0 to 1: of its images or minutes, whichever is further.

        Of the minutes it is the share when the processes last agreed, which one alone does before every iteration.
        """
        config, shares = self.config, [0.0]
        if config.kimg is not None:
            shares.append(self.training.images / (config.kimg * 1000))
        if config.minutes is not None:
            shares.append(self._agreed_seconds / (config.minutes * 60))
        return min(max(shares), 1.0)

    def ending(self) -> Ending | None:
        """Return why the training ends here, or None if it goes on."""
        if self.config.kimg is not None and self.training.images >= self.config.kimg * 1000:
            return "finished"
        if self.training.reason_to_stop is not None:
            return "finished"
        if self.training.step < self._agree_at:
            return None
        # Of each, the greatest counts: a stop that any process was asked for, the main one's iterations and time.
        timed = self.config.minutes is not None and self.world.is_main
        seconds = self.seconds() if timed else 0.0
        own = [self._own_verdict(seconds), self._iterations_apart(), int(seconds * 1000)]
        verdict, iterations, milliseconds = self.world.greatest(own, self.device)
        self._agree_at = self.training.step + iterations
        self._agreed_seconds = milliseconds / 1000
        if verdict == STOP:
            return "stopped"
        return "finished" if verdict == OUT_OF_TIME else None

    def _own_verdict(self, seconds: float) -> int:
        if self.signals.received:
            return STOP
        minutes = self.config.minutes
        return OUT_OF_TIME if minutes is not None and seconds >= minutes * 60 else GO_ON

    def _iterations_apart(self) -> int:
        if self.world.size == 1:
            return 0  # alone it costs nothing to decide before every iteration
        (step, then), now = self._last_agreed, time.perf_counter()
        self._last_agreed = self.training.step, now
        if not self.world.is_main or self.training.step == step:
            return 1
        iteration_s = (now - then) / (self.training.step - step)
        return min(max(round(AGREE_EVERY_S / iteration_s), 1), MOST_ITERATIONS_APART)
