"""Near-duplicates: the same acquisition again, resized, cropped, shifted, brightened, compressed, annotated, mirrored.

Two stages. Descriptors of all images are compared (`descriptors`); the pairs that resemble each other are registered
and their fine detail is compared cell by cell (`registration`). The score is the agreement of speckle after alignment,
from 0 to 1.

Where the threshold comes from (`scripts/bench/near_duplicates.py`, BUSI at 256 x 256): transformed copies score above
0.75, nearly all above 0.95, and of 5,000 random pairs of one class those that are not copies stay below 0.1. Every
pair of BUSI between 0.12 and 0.98 was looked at. Above 0.9 they are one image, cropped, shifted, cut from a sector, or
with and without calipers. From 0.36 to 0.9 they are neighbouring frames of four sweeps: the same vessels and the same
speckle over most of the image, the transducer moved by little. From 0.2 to 0.33 the sweep went further, or the lesion
was imaged again, recognisably the same and with other speckle. Below 0.2 are lesions seen from two sides, and pairs
with nothing in common. So 0.35, in a gap of BUSI's scores, makes a near-duplicate, and pairs from 0.2 on are listed for
a person to look at: one patient, most likely. No pair that the first stage passes over, down to a similarity of 0.35,
scores that high.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.core.progress import Progress
from usgan_cli.data.copies.descriptors import Stack, find_candidates
from usgan_cli.data.copies.registration import agreement

DUPLICATE = 0.35
"""Least score of a near-duplicate."""
RELATED = 0.2
"""Least score of a pair that someone should look at."""

_BATCH = 8


@dataclass(frozen=True)
class NearPair:
    """Two images, by index with the smaller one first, that show the same thing."""

    first: int
    second: int
    score: float
    """Agreement after alignment, `RELATED` to 1."""
    mirrored: bool
    """Whether one is the other's mirror image."""


def find_near_pairs(thumbnails: Sequence[Pixels], progress: Progress, *, workers: int | None = None) -> list[NearPair]:
    """Find the pairs of images, mirrored ones too, that show the same thing, from thumbnails (see `descriptors`).

    Returned are those with a score of at least `RELATED`, by index. Equal thumbnails are compared with others once:
    each is paired with the first equal one. The pairs and scores depend neither on the order of the images nor on the
    number of threads (default: one per core). A copy is missed if it was cut to less than about 85 % of a
    side or rotated, or if 16 others resemble it more.
    """
    workers = workers or available_cores()
    equal: dict[bytes, list[int]] = {}
    for i, image in enumerate(thumbnails):
        equal.setdefault(hashlib.sha256(np.ascontiguousarray(image).data).digest(), []).append(i)
    pairs = [NearPair(first, other, 1.0, mirrored=False) for first, *others in equal.values() for other in others]

    # In the order of their content, so that the rounding of sums does not depend on the order of the files.
    place = [equal[key][0] for key in sorted(equal)]
    distinct = [thumbnails[i] for i in place]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        candidates = find_candidates(distinct, workers=workers)

        def verify(start: int) -> Stack:
            part = slice(start, start + _BATCH)
            first = np.stack([distinct[i] for i in candidates.first[part]])
            second = np.stack([distinct[i] for i in candidates.second[part]])
            flip = candidates.mirrored[part]
            first[flip] = first[flip, :, ::-1]
            return agreement(first, second, candidates.start[part], candidates.share[part])

        with progress.task("Looking for near-duplicates", len(candidates.first), "pairs") as task:
            scores = []
            for part in pool.map(verify, range(0, len(candidates.first), _BATCH)):
                scores += part.tolist()
                task.advance(len(part))
    scored = zip(candidates.first, candidates.second, scores, candidates.mirrored, strict=True)
    for first, second, score, flip in scored:
        if score >= RELATED:
            low, high = sorted((place[first], place[second]))
            pairs.append(NearPair(low, high, min(score, 1.0), mirrored=bool(flip)))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))
