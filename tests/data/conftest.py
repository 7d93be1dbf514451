"""The source that most tests of preparing start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_data import noise_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Folder of twenty benign and ten malignant images of noise, of different sizes."""
    return noise_source(tmp_path / "source")
