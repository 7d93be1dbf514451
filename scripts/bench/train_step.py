"""Time StyleGAN2's training: the fast networks beside the plain ones, in seconds per thousand images.

    python scripts/bench/train_step.py --sizes 32 64 128 256
    python scripts/bench/train_step.py --sizes 64 --preset small --device cuda

One training image is a generator step, a discriminator step, a quarter of path length at half the batch and a
sixteenth of R1, each with its optimiser's step; images are random, augmentation is left out. The ratio is the median
over rounds of plain to fast seconds; the share is of the matrix product's rate measured in the same run, at the
operations of the convolutions alone.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import measure
import plain
import torch
from measure import CLASSES, Case, Round, Way
from operations import WEIGHTS, gflop_per_image
from torch import Tensor

from usgan_cli.gan import losses


def phases(case: Case, way: Way) -> dict[str, Callable[[], None]]:
    """Return the parts of a training iteration."""
    networks = generator, discriminator = measure.networks(case, way)
    make, judge = measure.plainly(case, way, *networks)
    fused = {} if way.plain else {"fused": True}
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.0, 0.99), **fused)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.0, 0.99), **fused)
    real = torch.randn([case.batch, 1, case.size, case.size], device=case.device)
    labels = torch.eye(CLASSES, device=case.device)[torch.arange(case.batch) % CLASSES]

    def images(count: int) -> tuple[Tensor, Tensor]:
        ws = make.mapping(torch.randn([count, case.latent], device=case.device), labels[:count])
        return make.synthesis(ws, generator.synthesis.draw_noise(count)), ws

    def update(adam: torch.optim.Adam, loss: Tensor) -> None:
        loss.backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    def generator_step() -> None:
        discriminator.requires_grad_(False)
        update(adam_g, losses.generator_loss(judge(images(case.batch)[0], labels)).mean())
        discriminator.requires_grad_(True)

    def discriminator_step() -> None:
        with torch.no_grad():
            fake, _ = images(case.batch)
        losses.discriminator_loss_fake(judge(fake, labels)).mean().backward()
        update(adam_d, losses.discriminator_loss_real(judge(real, labels)).mean())

    def path_length() -> None:
        image, ws = images(case.batch // 2)
        lengths = losses.path_lengths(image, ws, torch.randn_like(image))
        update(adam_g, (lengths - 0.01 * lengths.mean()).square().mean())

    def r1() -> None:
        image = real.detach().requires_grad_(True)
        update(adam_d, losses.r1_penalty(judge(image, labels), image).mean())

    return {"generator": generator_step, "discriminator": discriminator_step, "path length": path_length, "R1": r1}


def start(case: Case, way: Way) -> Round:
    steps = phases(case, way)
    return lambda: {
        name: measure.seconds(step, case.device) * WEIGHTS[name] / case.batch * 1000 for name, step in steps.items()
    }


def report(case: Case, peaks: dict[str, float], compared: list[Way], repeats: int, parts: bool) -> None:
    rounds = measure.take_turns(__file__, case, compared, repeats)
    totals = {way: [sum(one.values()) for one in answers[:-1]] for way, answers in rounds.items()}
    first = totals[compared[0]]
    for way in compared:
        per_thousand = median(totals[way])
        ratio = median(a / b for a, b in zip(first, totals[way], strict=True))
        share = (
            gflop_per_image(case.size, case.channel_base, case.channel_max) * 1000 / per_thousand / peaks[way.precision]
        )
        print(measure.row(case, way, per_thousand, ratio, rounds[way][-1]["memory"], share), flush=True)
        if parts:
            medians = {name: median(one[name] for one in rounds[way][:-1]) for name in WEIGHTS}
            print("              " + ", ".join(f"{name} {value:.1f}" for name, value in medians.items()))


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--per-sample-weights", action="store_true", help="the plain way convolves with them")
    parser.add_argument("--phases", action="store_true", help="also print the seconds of each part")
    args = parser.parse_args()
    if args.worker:
        measure.serve(args.worker, start)
        return
    print(f"plain and fast networks agree to {plain.check_agreement():.1g} in float64; {args.threads} threads")
    compared, peaks = measure.compared_with_peaks(args)
    print(measure.heading("s/kimg"))
    for case in measure.cases(args, per_sample_weights=args.per_sample_weights):
        report(case, peaks, compared, args.repeats, args.phases)


if __name__ == "__main__":
    main()
