"""Fixtures shared by the tests, and the rule for skips: in continuous integration an unexpected skip is a failure."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines are slow now and then, so no example is timed; in continuous integration the examples are the same
# every time, so that a change is judged by what it changed.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

TESTS = Path(__file__).resolve().parent
ALLOWED_SKIPS = TESTS / "allowed_skips.txt"

# The tests' networks are too small for a second thread to help, and with one the same numbers come out everywhere.
# Set before anything loads torch or NumPy; programs started by the tests inherit it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# Triton reads this when it is imported, which timm does, for one: set before any test module loads it. Without
# USGAN_KERNELS=triton it changes nothing.
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs with SIGINT ignored, and Python then installs no handler for it. Tests of Ctrl-C,
    # and the programs they start, need the usual one.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(SkipRule(config), "skip-rule")


@pytest.fixture(scope="session", autouse=True)
def _first_backward_pass() -> None:
    """Let torch set up its autograd before any test looks at a network with fake tensors, as an export does.

    The other way round it starts threads for the fake device, and no forked process can compute gradients from then on.
    """
    import torch

    torch.ones(1, requires_grad=True).sum().backward()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "reference_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("reference")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


def allowed_skips() -> list[str]:
    """Patterns of the reasons for which a test may be skipped in continuous integration."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class SkipRule:
    """Fails a run in continuous integration (environment CI) that skipped a test for a reason not in the list."""

    def __init__(self, config: pytest.Config) -> None:
        self.active = os.environ.get("CI", "").lower() not in ("", "0", "false")
        self.allowed = allowed_skips()
        self.unexpected: list[str] = []
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = text.removeprefix("Skipped: ")
        if not any(fnmatch(reason, pattern) for pattern in self.allowed):
            self.unexpected.append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        without_failure = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.active and self.unexpected and session.exitstatus in without_failure:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.active and self.unexpected:
            terminalreporter.section(f"skipped for a reason that {ALLOWED_SKIPS.name} does not list")
            for line in self.unexpected:
                terminalreporter.line(line)


@pytest.fixture(autouse=True, scope="session")
def unsynced_files() -> Iterator[None]:
    """Files are not forced to the disk: a test's files need not survive a power cut, and waiting takes a long time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Back to one thread after a test whose commands set another number."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder of the reference tensors."""
    return TESTS / "reference"


@pytest.fixture(scope="session")
def busi_dir() -> Path:
    """Folder of the real BUSI images (environment USGAN_TEST_BUSI, or ../shared/data/busi256)."""
    folder = Path(os.environ.get("USGAN_TEST_BUSI", TESTS.parents[1] / "shared" / "data" / "busi256"))
    if not folder.is_dir():
        pytest.skip(f"BUSI images are absent: {folder} (or set USGAN_TEST_BUSI)")
    inner = folder / "Dataset_BUSI_with_GT"
    return inner if inner.is_dir() else folder
