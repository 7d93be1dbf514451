"""How often studies of equally good classifiers get a headline, and how often studies with a real gain do.

    python scripts/bench/null_rates.py [--studies 1000]

Whole studies are simulated: three GANs at three ratios against a control, in several repeats with five folds each, all
on the same 280 test images, a third of them in pairs of near-copies. Whether a model classifies an image correctly
follows a probit model with normal effects (`World`). The comparisons go through `usgan_cli.stats.mrmc`, which gives a
report its verdicts; the primary comparison is the first GAN's at the middle ratio.

The effects of the world `measured` give the variances that linear heads on EfficientNet-Lite2's features of BUSI had
(10 repeats at n = 50 and 100, 6 at n = 500; points of accuracy): 0.4 to 1.2 between trainings, 0.9 to 1.2 of a repeat's
own over test images, 0 to 0.4 shared by repeats. In `doubled` trainings differ about twice as much, as fine-tuned
networks' may; in `failing` a GAN's trainings now and then fail (a skewed effect); in `images` the shared part is
large, as with human readers. Arms are equal over all trainings on new subsets; where all repeats train on the same
images, as at n = 500 of BUSI, a verdict holds for trainings on these images.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

from usgan_cli.stats.mrmc import ALPHA, MARGIN, Effect, Finding, compare_arms, judge

Floats = NDArray[np.float32]
GANS, RATIOS, FOLDS, IMAGES, PAIRED = 3, 3, 5, 280, 94
CONTROL, PRIMARY = 0, 1
"""Arm without generated images; position of the primary comparison, whose arm is one further."""
ALIKE = 0.9
"""Correlation of the effects of two near-copies."""
ACCURACY = {50: 0.65, 100: 0.70, 500: 0.77}
POOL = 780
GAIN = 0.06


@dataclass(frozen=True)
class World:
    """Standard deviations of the effects on the probit scale, on which a single prediction's rest has 1.

    Those of a GAN are common to its ratios, those of an arm its own. Where an effect has `image` in its name every test
    image has one; where it has `training`, every repeat; `subset` is common to all arms of a repeat.
    """

    image: float = 1.5
    subset: float = 0.15
    subset_image: float = 0.6
    gan_image: float = 0.06
    arm_image: float = 0.04
    gan_training: float = 0.028
    arm_training: float = 0.022
    gan_training_image: float = 0.22
    arm_training_image: float = 0.15
    fold: float = 0.05
    skewed: bool = False
    """Whether a GAN's effect on a repeat is an exponential one downward, in place of a normal one."""

    @property
    def scale(self) -> float:
        """Standard deviation of everything together."""
        effects = [value for name, value in dataclasses.asdict(self).items() if name != "skewed"]
        return float(np.sqrt(1 + np.square(effects).sum()))


WORLDS = {
    "measured": World(),
    "doubled": World(gan_training=0.06, arm_training=0.04, gan_training_image=0.3, arm_training_image=0.25),
    "failing": World(gan_training=0.06, skewed=True),
    "images": World(gan_training=0.01, arm_training=0.01, gan_image=0.45, arm_image=0.35),
}


def clusters_of(images: int) -> NDArray[np.int64]:
    """Return each test image's cluster: pairs of near-copies first, then single images."""
    paired = round(images * PAIRED / IMAGES) // 2 * 2
    return np.concatenate([np.arange(paired) // 2, np.arange(images - paired) + paired // 2])


def simulate(
    rng: np.random.Generator, world: World, accuracy: Floats, repeats: int, images: int = IMAGES
) -> tuple[Floats, NDArray[np.int64]]:
    """Return whether each prediction is right, [arms, repeats, FOLDS, images], and the images' clusters.

    `accuracy` is that of each arm, the control first, over the population of images and trainings.
    """
    clusters = clusters_of(images)
    arms, gan = len(accuracy), np.concatenate([[0], 1 + np.arange(GANS * RATIOS) // RATIOS])

    def normal(*shape: int) -> Floats:
        return rng.standard_normal(shape, dtype=np.float32)

    def by_image(*shape: int) -> Floats:
        common = normal(*shape, clusters.max() + 1)[..., clusters]
        mixed: Floats = np.float32(ALIKE**0.5) * common + np.float32((1 - ALIKE) ** 0.5) * normal(*shape, images)
        return mixed

    z = (ndtri(accuracy) * world.scale)[:, None, None] + world.image * by_image()
    z = z + world.subset * normal(repeats, 1) + world.subset_image * by_image(repeats)
    z = z + world.gan_image * by_image(GANS + 1, 1)[gan] + world.arm_image * by_image(arms, 1)
    by_gan = normal(GANS + 1, repeats, 1)
    if world.skewed:
        by_gan[1:] = 1 - rng.standard_exponential((GANS, repeats, 1), dtype=np.float32)
    z = z + world.gan_training * by_gan[gan] + world.arm_training * normal(arms, repeats, 1)
    z = z + world.gan_training_image * by_image(GANS + 1, repeats)[gan]
    z = z + world.arm_training_image * by_image(arms, repeats)
    z = z[:, :, None] + world.fold * normal(arms, repeats, FOLDS, 1)
    return (z + normal(*z.shape) > 0).astype(np.float32), clusters


def split_in(rng: np.random.Generator, right: Floats, splits: int) -> Floats:
    """Leave to each group of repeats the test images of a split of its own, drawn from all images."""
    for repeats in np.array_split(np.arange(right.shape[1]), splits):
        untested = rng.permutation(right.shape[-1])[IMAGES:]
        right[:, repeats[0] : repeats[-1] + 1, :, untested] = np.nan
    return right


def study(
    rng: np.random.Generator, world: World, accuracy: float, repeats: int, gains: dict[int, float], splits: int = 1
) -> list[Effect]:
    """Simulate one study, and compare each arm with the control. `gains` are added to the accuracy of arms."""
    each = np.full(1 + GANS * RATIOS, accuracy)
    for arm, gain in gains.items():
        each[arm] += gain
    right, clusters = simulate(rng, world, each, repeats, IMAGES if splits == 1 else POOL)
    if splits > 1:
        right = split_in(rng, right, splits)
    return [compare_arms(arm, right[CONTROL], clusters) for arm in right[1:]]


def headline(findings: list[Finding]) -> bool:
    """Return whether any comparison is called better or worse."""
    return any(finding.verdict in {"helped", "hurt"} for finding in findings)


def with_hillis(effects: list[Effect]) -> list[Effect]:
    """Return the effects with Hillis' degrees of freedom."""
    return [dataclasses.replace(effect, df=effect.hillis_df) for effect in effects]


def rate(flags: Iterable[bool]) -> str:
    """Return a rate with its exact 95 % interval."""
    values = np.array(list(flags))
    low, high = stats.binomtest(int(values.sum()), len(values)).proportion_ci()
    return f"{100 * values.mean():5.1f} % [{100 * low:4.1f}, {100 * high:4.1f}]"


class Bench:
    """Simulates as many studies of each kind as asked for, each kind from its own seed."""

    def __init__(self, studies: int) -> None:
        self.studies = studies

    def run(
        self, name: str, ask: dict[str, Callable[[list[Effect]], bool]], world: World, accuracy: float, **design: object
    ) -> None:
        """Print the share of studies for which each question is answered by yes."""
        rng = np.random.default_rng([self.studies, *name.encode()])
        studies = [study(rng, world, accuracy, **design) for _ in range(self.studies)]  # type: ignore[arg-type]
        error = np.mean([effect.standard_error for effects in studies for effect in effects])
        print(f"  {name:44} standard error {100 * error:.2f} points", flush=True)
        for question, answer in ask.items():
            print(f"      {question:40} {rate(answer(effects) for effects in studies)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    bench = Bench(parser.parse_args().studies)
    began = time.perf_counter()

    def judged(effects: list[Effect]) -> list[Finding]:
        return judge(effects, primary=PRIMARY)

    null = {
        "headline": lambda effects: headline(judged(effects)),
        "the same of the primary comparison alone": lambda effects: headline(judge([effects[PRIMARY]])),
    }
    by_hillis = {"headline by Hillis' degrees of freedom": lambda effects: headline(judged(with_hillis(effects)))}
    fixed = {"headline if its own trainings were all": lambda effects: any(e.p * len(effects) < ALPHA for e in effects)}
    print("Equally good arms: at most 6 % of studies may get a headline")
    for kind, world in WORLDS.items():
        for n, accuracy in ACCURACY.items():
            for repeats in (1, 2, 3, 5):
                ask = null | (fixed if repeats == 1 else by_hillis)
                bench.run(f"{kind}, n = {n}, {repeats} repeats", ask, world, accuracy, repeats=repeats, gains={})
    for repeats in (3, 6):
        name = f"measured, n = 100, 3 splits, {repeats} repeats"
        bench.run(name, null, WORLDS["measured"], 0.7, repeats=repeats, gains={}, splits=3)

    print(f"{100 * GAIN:g} points in the primary comparison's arm: at least 80 % of studies must find them")
    questions = {
        "primary comparison helped": lambda effects: judged(effects)[PRIMARY].verdict == "helped",
        "the same, had none been named primary": lambda effects: judge(effects)[PRIMARY].verdict == "helped",
    }
    for kind, world in WORLDS.items():
        for n, accuracy in ACCURACY.items():
            bench.run(f"{kind}, n = {n}, 5 repeats", questions, world, accuracy, repeats=5, gains={PRIMARY + 1: GAIN})

    print(f"{100 * MARGIN:g} points in every arm: 'no more than' is false in at most 6 % of studies")
    gains = dict.fromkeys(range(1, 1 + GANS * RATIOS), MARGIN)
    false = {"any called equivalent": lambda effects: any(f.verdict == "equivalent" for f in judged(effects))}
    bench.run("measured, n = 100, 5 repeats", false, WORLDS["measured"], 0.7, repeats=5, gains=gains)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
