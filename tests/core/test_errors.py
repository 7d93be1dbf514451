"""Hints can be carried out as they stand: their commands name the workspace, quoted for a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from usgan_cli.core.errors import in_workspace

ELSEWHERE = Path("my 'work' $HOME {x}")
OPTION = f" --work {shlex.quote(str(ELSEWHERE))}"


@pytest.mark.parametrize(
    "hint",
    [
        "Draw it: usgan subsample --n 4 --seed 0@",
        "Make one: usgan prepare SOURCE@",
        "Train it: usgan train-cls@",
        "Make more: usgan generate --gan 'a b' --count 7 --force@ (with the same --aug --n --seed)",
        "Make more (usgan generate --count 7@) or score fewer (--count 3).",
        "Use fewer folds (--folds 2), or a larger subset (usgan subsample --n@).",
        "First usgan subsample --n 4@, then usgan train-gan --aug ada@.",
        "Make it again: usgan generate --gan 'it'\"'\"'s' --force@.",
        "Continue it: run the same usgan train-gan again.",
        "All in the same way, as `usgan prepare` does.",
        "Begin one: usgan study demo (or name another --work).",
        "Choose --n of at most 4.",
    ],
)
def test_commands_name_the_workspace_where_it_is_not_the_default(hint: str) -> None:
    assert in_workspace(hint.replace("@", ""), Path("work")) == hint.replace("@", "")
    assert in_workspace(hint.replace("@", ""), ELSEWHERE) == hint.replace("@", OPTION)
