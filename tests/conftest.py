"""Fixtures shared by the tests: reference numbers, the real images, and one thread per test run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines are slow now and then, so no example is timed; in continuous integration the examples are the same
# every time, so that a change is judged by what it changed.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder of the reference tensors (environment USGAN_TEST_REFERENCE, or ../shared/reference)."""
    folder = Path(os.environ.get("USGAN_TEST_REFERENCE", ROOT.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"reference tensors are absent: {folder} (or set USGAN_TEST_REFERENCE)")
    return folder


@pytest.fixture(scope="session")
def busi_dir() -> Path:
    """Folder of the real BUSI images (environment USGAN_TEST_BUSI, or ../shared/data/busi256)."""
    folder = Path(os.environ.get("USGAN_TEST_BUSI", ROOT.parent / "shared" / "data" / "busi256"))
    if not folder.is_dir():
        pytest.skip(f"BUSI images are absent: {folder} (or set USGAN_TEST_BUSI)")
    inner = folder / "Dataset_BUSI_with_GT"
    return inner if inner.is_dir() else folder
