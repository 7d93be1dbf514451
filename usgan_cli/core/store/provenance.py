"""What a run records of itself: packages, device, time and memory."""

from __future__ import annotations

import datetime
import sys
import time
from contextlib import suppress
from importlib import metadata

from usgan_cli import __version__
from usgan_cli.core.machine.memory import process_peak_memory_mb
from usgan_cli.core.store.document import RunRecord
from usgan_cli.core.store.step import Step

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pydicom", "python-gdcm")


def package_versions() -> dict[str, str]:
    """Return the versions of usgan and of the packages that can change a result."""
    versions = {"usgan": __version__}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def current_device() -> str:
    """Return the device that this process has used so far, in words; neither torch nor a GPU is started for it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu"
    from usgan_cli.core.machine.device import describe

    used_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return describe(torch.device("cuda" if used_gpu else "cpu"))


class Clock:
    """Measures a step from now on."""

    def __init__(self, step: Step, study: str | None = None) -> None:
        self.step, self.study = step, study
        self.started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.begin = time.perf_counter()

    def record(self) -> RunRecord:
        """Return the record of the step up to now."""
        return RunRecord(
            **vars(self.step),
            packages=package_versions(),
            device=current_device(),
            started=self.started,
            wall_s=round(time.perf_counter() - self.begin, 3),
            peak_memory_mb=round(process_peak_memory_mb(), 1),
            study=self.study,
        )
