"""Time the making of images: the fast generator beside the plain one, in milliseconds per image.

    python scripts/bench/generate.py --sizes 32 64 128 256
    python scripts/bench/generate.py --sizes 256 --device cuda

From z to the image in floats, with newly drawn noise, without gradients. The ratio is the median over rounds of plain
to fast; the share is of the matrix product's rate measured in the same run, at the operations of the convolutions
alone.
"""

from __future__ import annotations

from statistics import median

import measure
import plain
import torch
from measure import CLASSES, Case, Round, Way
from operations import operations

PASSES = 4
"""Batches in a round."""


def start(case: Case, way: Way) -> Round:
    networks = generator, _ = measure.networks(case, way)
    make, _ = measure.plainly(case, way, *networks)
    labels = torch.eye(CLASSES, device=case.device)[torch.arange(case.batch) % CLASSES]

    @torch.no_grad()
    def passes() -> None:
        for _ in range(PASSES):
            ws = make.mapping(torch.randn([case.batch, case.latent], device=case.device), labels)
            make.synthesis(ws, generator.synthesis.draw_noise(case.batch))

    return lambda: {"ms": measure.seconds(passes, case.device) * 1000 / case.batch / PASSES}


def report(case: Case, peaks: dict[str, float], compared: list[Way], repeats: int) -> None:
    rounds = measure.take_turns(__file__, case, compared, repeats)
    times = {way: [one["ms"] for one in answers[:-1]] for way, answers in rounds.items()}
    first = times[compared[0]]
    for way in compared:
        each = median(times[way])
        ratio = median(a / b for a, b in zip(first, times[way], strict=True))
        share = operations(case.size, case.channel_base, case.channel_max)[0] / 1e6 / each / peaks[way.precision]
        print(measure.row(case, way, each, ratio, rounds[way][-1]["memory"], share), flush=True)


def main() -> None:
    args = measure.arguments(__doc__).parse_args()
    if args.worker:
        measure.serve(args.worker, start)
        return
    print(f"plain and fast networks agree to {plain.check_agreement():.1g} in float64; {args.threads} threads")
    compared, peaks = measure.compared_with_peaks(args)
    print(measure.heading("ms/image"))
    for case in measure.cases(args, per_sample_weights=True):
        report(case, peaks, compared, args.repeats)


if __name__ == "__main__":
    main()
