"""What a report warns of, sentence by sentence."""

from __future__ import annotations

from collections import Counter

import pytest

from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.store.workspace import GanKey, Workspace
from usgan_cli.reporting.cautions import _trainings, ada_cautions
from usgan_cli.reporting.records import GanRun


@pytest.mark.parametrize(
    ("p", "kimg", "ada_kimg", "r_t", "expected"),
    [
        (0.002, 6, 500, 0.3, "ADA hardly augmented (p stayed below 0.01), because the discriminator did not overfit"),
        (0.008, 4, 500, 0.9, "ADA hardly augmented (p stayed below 0.01), because p may not rise faster"),
        (0.08, 40, 500, 0.9, "ADA's p was still rising as fast as it may at the end"),
        (0.08, 40, 500, 0.5, None),  # it has passed its target and turns back
        (0.02, 40, 500, 0.9, None),  # it rose late: speed is not what held it back
        (0.7, 40, 10, 0.9, None),
        (0.9, 40, 10, 0.9, "ADA's p stayed above 0.8"),
    ],
)
def test_what_held_ada_back_is_told_apart(
    study: Workspace, p: float, kimg: float, ada_kimg: float, r_t: float, expected: str | None
) -> None:
    row = read_log(study.gan("ada", 100, 0))[-1]
    log = [row.model_copy(update={"kimg": kimg * share, "p": p * share, "r_t": r_t}) for share in (0.5, 1.0)]
    gan = GanRun(GanKey("ada", 100, 0), None, {"ada_kimg": ada_kimg, "ada_target": 0.6}, log, None)
    texts = list(ada_cautions([(gan, "ada-n100-s0")]))
    assert [text for text in texts if expected is None or not text.startswith(expected)] == []
    assert len(texts) == (expected is not None)


def test_weak_gans_are_named_once_with_all_sizes_for_which_it_is_as_many() -> None:
    keys = [(aug, n, seed) for aug in ("none", "ada", "best") for n in (100, 50) for seed in range(3)]
    counts = Counter({(aug, n): 3 for aug in ("none", "ada") for n in (100, 50)} | {("best", 50): 1})
    assert _trainings(counts, [GanKey(*key) for key in keys]) == [
        "StyleGAN2 and StyleGAN2 + ADA at n = 100 and 50 (3 of 3 trainings each)",
        "Projected GAN at n = 50 (1 of 3 trainings)",
    ]
