"""The command that makes a damaged file again is the one of the artefact that lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from usgan_cli.core.store.remedy import remedy


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("n20-s0.json", "ttest --n 20 --seed 0"),
        ("n20-s0+1.csv", "ttest --n 20 --seeds 0 --seeds 1"),
        ("n20-s0+1-splits0+1.json", "ttest --n 20 --seeds 0 --seeds 1 --splits 0 --splits 1"),
        ("n20-s3-splits0+2.tex", "ttest --n 20 --seeds 3 --splits 0 --splits 2"),
    ],
)
def test_a_comparison_is_made_again_by_its_name(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "subsets").mkdir()
    assert remedy(tmp_path / "ttests" / name) == f"Make it again: usgan {words} --force --work {tmp_path}"
