"""How often studies of equally good classifiers get a headline, and how often studies with a real gain do.

    python scripts/bench/null_rates.py [--studies 1000] [--only NAME]

Whole studies are simulated: three GANs at three ratios, as many further copies of real images, each GAN's images under
shuffled labels and real images alone, in several repeats with five folds each, all on the same 280 test images, a third
of them in pairs of near-copies. Whether a model classifies an image correctly follows a probit model with normal
effects (`World`). Every arm is compared with its control, the comparisons are recorded as `usgan ttest` does, and
`usgan_cli.reporting.verdict` judges them and writes the headline, as in a report. The primary comparison is the first
GAN's at the middle ratio.

The effects of the world `measured` give the variances that linear heads on EfficientNet-Lite2's features of BUSI had
(10 repeats at n = 50 and 100, 6 at n = 500; points of accuracy): 0.4 to 1.2 between trainings, 0.9 to 1.2 of a repeat's
own over test images, 0 to 0.4 shared by repeats. In `doubled` trainings differ about twice as much, as fine-tuned
networks' may; in `failing` a GAN's trainings now and then fail (a skewed effect); in `images` the shared part is
large, as with human readers; in `pools` there is as much variance again between pools of training images, which the
repeats of one split share. Arms are equal over all trainings on new subsets; where all repeats of a study
train on the same images, as at n = 500 of BUSI, a verdict holds for trainings on these images.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

from usgan_cli.core.budget import Budget
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.store.workspace import SeedsKey, SubsetKey, TrainingSet, Workspace
from usgan_cli.reporting.groups import ClassifierGroup, Study
from usgan_cli.reporting.records import StudyRecords
from usgan_cli.reporting.verdict import Analysis, Verdicts, headline, judge_study
from usgan_cli.stats.arms import control_of, recorded
from usgan_cli.stats.mrmc import MARGIN, compare_arms

Floats = NDArray[np.float32]
FOLDS, IMAGES, PAIRED, SIZE = 5, 280, 94, 100
AUGS, RATIOS = ("none", "ada", "diffaug"), (0.5, 1.0, 2.0)
REAL = TrainingSet()
COPIES = [TrainingSet(None, ratio, "copies") for ratio in RATIOS]
GANS = [TrainingSet(aug, ratio) for aug in AUGS for ratio in RATIOS]
SHUFFLED = [TrainingSet(aug, max(RATIOS), "shuffled") for aug in AUGS]
ARMS = [REAL, *COPIES, *GANS, *SHUFFLED]
PRIMARY = f"none-x1 n{SIZE}"
ALIKE = 0.9
"""Correlation of the effects of two near-copies."""
ACCURACY = {50: 0.65, 100: 0.70, 500: 0.77}
POOL = 780
GAIN = 0.06


@dataclass(frozen=True)
class World:
    """Standard deviations of the effects on the probit scale, on which a single prediction's rest has 1.

    Those of a GAN are common to its ratios, those of an arm its own. Where an effect has `image` in its name every test
    image has one; where it has `training`, every repeat; where it has `pool`, all repeats of a split together; `subset`
    is common to all arms of a repeat.
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
    gan_pool: float = 0.0
    arm_pool: float = 0.0
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
    "pools": World(gan_pool=0.028, arm_pool=0.022),
    "images": World(gan_training=0.01, arm_training=0.01, gan_image=0.45, arm_image=0.35),
}


def clusters_of(images: int) -> NDArray[np.int64]:
    """Return each test image's cluster: pairs of near-copies first, then single images."""
    paired = round(images * PAIRED / IMAGES) // 2 * 2
    return np.concatenate([np.arange(paired) // 2, np.arange(images - paired) + paired // 2])


def simulate(
    rng: np.random.Generator, world: World, accuracy: Floats, repeats: int, splits: int = 1
) -> tuple[Floats, NDArray[np.int64]]:
    """Return whether each prediction is right, [arms, repeats, FOLDS, images], and the images' clusters.

    `accuracy` is that of each of `ARMS` over the population of images and trainings. Each of several splits has an
    equal part of the repeats, and test images of its own, drawn from all.
    """
    images = IMAGES if splits == 1 else POOL
    clusters = clusters_of(images)
    arms, gans = len(ARMS), len(AUGS)
    gan = np.array([0 if one.aug is None else 1 + AUGS.index(one.aug) for one in ARMS])

    def normal(*shape: int) -> Floats:
        return rng.standard_normal(shape, dtype=np.float32)

    def by_image(*shape: int) -> Floats:
        common = normal(*shape, clusters.max() + 1)[..., clusters]
        mixed: Floats = np.float32(ALIKE**0.5) * common + np.float32((1 - ALIKE) ** 0.5) * normal(*shape, images)
        return mixed

    z = (ndtri(accuracy) * world.scale)[:, None, None] + world.image * by_image()
    z = z + world.subset * normal(repeats, 1) + world.subset_image * by_image(repeats)
    z = z + world.gan_image * by_image(gans + 1, 1)[gan] + world.arm_image * by_image(arms, 1)
    by_gan = normal(gans + 1, repeats, 1)
    if world.skewed:
        by_gan[1:] = 1 - rng.standard_exponential((gans, repeats, 1), dtype=np.float32)
    z = z + world.gan_training * by_gan[gan] + world.arm_training * normal(arms, repeats, 1)
    z = z + world.gan_training_image * by_image(gans + 1, repeats)[gan]
    z = z + world.arm_training_image * by_image(arms, repeats)
    z = z[:, :, None] + world.fold * normal(arms, repeats, FOLDS, 1)
    split = np.arange(repeats) * splits // repeats
    z = z + world.gan_pool * normal(gans + 1, splits, 1, 1)[gan][:, split]
    z = z + world.arm_pool * normal(arms, splits, 1, 1)[:, split]
    right = (z + normal(*z.shape) > 0).astype(np.float32)
    for one in range(splits if splits > 1 else 0):
        untested = rng.permutation(images)[IMAGES:]
        right[:, np.flatnonzero(split == one)[:, None, None], np.arange(FOLDS)[:, None], untested] = np.nan
    return right, clusters


def study(right: Floats, clusters: NDArray[np.int64], *, splits: int, budget: Budget, arms: list[TrainingSet]) -> Study:
    """Return the records of a study with these predictions, as `usgan ttest` leaves them.

    The repeats of one split are pooled to one reader, as `usgan_cli.stats.arms` does.
    """
    if splits > 1:
        right = right.reshape(len(ARMS), splits, -1, right.shape[-1])
    by_name = {one.name: right[ARMS.index(one)] for one in arms}
    effects = []
    for one in arms[1:]:
        record = ClassifierRecord.model_construct(
            name=one.name,
            aug=one.aug,
            ratio=one.ratio,
            control=one.control,
            synthetic_only=False,
            protocol="standard",
            select=None,
            settings=SimpleNamespace(budget=budget),
        )
        against = control_of(record, by_name)
        effects.append(recorded(record, against, compare_arms(by_name[one.name], by_name[against], clusters)))
    repeats = tuple(range(len(right[0])))
    settings: Any = SimpleNamespace(budget=budget)
    group = ClassifierGroup(settings, [], None, "")
    if len(repeats) == 1:
        group.ttests[SubsetKey(SIZE, 0)] = TTestRecord.model_construct(effects=effects)
    else:
        group.seeds[SeedsKey(SIZE, repeats)] = SeedsRecord.model_construct(effects=effects)
    return Study(StudyRecords(Workspace(Path())), [], [group], [], [])


@dataclass(frozen=True)
class Design:
    """A kind of study, and what is planted in it."""

    accuracy: float
    repeats: int
    splits: int = 1
    gains: dict[TrainingSet, float] = field(default_factory=dict)
    """Added to the accuracy of arms."""
    arms: tuple[TrainingSet, ...] = tuple(ARMS)
    """Those that the study trained."""
    budget: Budget = "updates"

    def simulate(self, rng: np.random.Generator, world: World) -> Study:
        """Return the records of one such study."""
        each = np.array([self.accuracy + self.gains.get(one, 0.0) for one in ARMS])
        right, clusters = simulate(rng, world, each, self.repeats, self.splits)
        return study(right, clusters, splits=self.splits, budget=self.budget, arms=list(self.arms))


def claims(verdicts: Verdicts) -> bool:
    """Return whether the headline says that a GAN's images help or hurt."""
    return any(word in headline(verdicts) for word in ("helped", "hurt"))


def rate(flags: Iterable[bool]) -> str:
    """Return a rate with its exact 95 % interval."""
    values = np.array(list(flags))
    low, high = stats.binomtest(int(values.sum()), len(values)).proportion_ci()
    return f"{100 * values.mean():5.1f} % [{100 * low:4.1f}, {100 * high:4.1f}]"


Question = Callable[[Study], bool]


class Bench:
    """Simulates as many studies of each kind as asked for, each kind from its own seed."""

    def __init__(self, studies: int, only: str) -> None:
        self.studies, self.only = studies, only

    def run(self, name: str, ask: dict[str, Question], world: World, design: Design) -> None:
        """Print the share of studies for which each question is answered by yes."""
        if self.only not in name:
            return
        rng = np.random.default_rng([self.studies, *name.encode()])
        studies = [design.simulate(rng, world) for _ in range(self.studies)]
        for question, answer in ask.items():
            print(f"  {name:40} {question:34} {rate(answer(one) for one in studies)}", flush=True)


def judged(one: Study) -> Verdicts:
    return judge_study(one, Analysis(primary=PRIMARY))


def some(word: str, *, gans: bool = True, least: int = 1) -> Question:
    """Return whether at least so many comparisons, of GANs or of copies with real images, have a verdict."""

    def ask(one: Study) -> bool:
        asked = judged(one).of_gans if gans else [v for v in judged(one).each if v.effect.control == "copies"]
        return sum(v.finding.verdict == word for v in asked) >= least

    return ask


def primary_helped(one: Study) -> bool:
    return any(v.finding.verdict == "helped" for v in judged(one).each if v.primary)


def null_studies(bench: Bench) -> None:
    print("Equally good arms: at most 6 % of studies may get a headline")
    ask = {"headline": lambda one: claims(judged(one)), "without a primary": lambda one: claims(judge_study(one, FREE))}
    for kind, world in WORLDS.items():
        for n, accuracy in ACCURACY.items():
            for repeats in (1, 3, 5) if kind != "pools" else ():
                bench.run(f"{kind}, n = {n}, {repeats} repeats", ask, world, Design(accuracy, repeats))
    print("The same in several splits, each of which counts as one reader")
    for kind in ("measured", "pools", "images"):
        for splits, seeds in ((2, 2), (3, 1), (3, 3), (5, 1)):
            name = f"{kind}, n = 100, {splits} splits of {seeds}"
            bench.run(name, ask, WORLDS[kind], Design(0.7, splits * seeds, splits))


def studies_with_a_gain(bench: Bench) -> None:
    print(f"{100 * GAIN:g} points in the primary comparison's arm: at least 80 % of studies must find them")
    gains = {TrainingSet("none", 1.0): GAIN}
    ask = {"primary comparison helped": primary_helped, "headline": lambda one: claims(judged(one))}
    for kind in ("measured", "doubled", "failing", "images"):
        for n, accuracy in ACCURACY.items():
            world = WORLDS[kind]
            bench.run(f"gain, {kind}, n = {n}, 5 repeats", ask, world, Design(accuracy, 5, gains=gains))
    bench.run("gain, pools, n = 100, 5 splits of 1", ask, WORLDS["pools"], Design(0.7, 5, 5, gains))

    print(f"{100 * MARGIN:g} points in every GAN's arm: 'no more than' is false in at most 6 % of studies")
    false = {"any called equivalent": lambda one: any(v.finding.verdict == "equivalent" for v in judged(one).of_gans)}
    design = Design(0.7, 5, gains=dict.fromkeys(GANS, MARGIN))
    bench.run("margin, measured, n = 100, 5 repeats", false, WORLDS["measured"], design)


def gains_from_updates(bench: Bench) -> None:
    """Give every arm but real images alone a gain: what more updates, or more images of any kind, would give.

    The headline compares a GAN with copies, which gain as much, so a false claim can only be of the analysis' own size:
    as rare as where nothing is planted, for better as often as for worse, and of single comparisons. Were the gain
    taken for the GANs', most of them would help together.
    """
    print("A gain in all arms but real images alone, as from updates: claimed no more often than where there is none")
    ask = {
        "headline": lambda one: claims(judged(one)),
        "a GAN helped": some("helped"),
        "a GAN hurt": some("hurt"),
        "most GANs helped": some("helped", least=len(GANS) // 2 + 1),
        "copies helped": some("helped", gans=False),
    }
    kinds = [("measured", n, repeats, 1) for n in ACCURACY for repeats in (3, 5)]
    kinds += [(kind, 100, 5, 5 if kind == "pools" else 1) for kind in WORLDS if kind != "measured"]
    for kind, n, repeats, splits in kinds:
        for gain in (0.0, GAIN, 2 * GAIN):
            gains = {one: gain for one in ARMS if one != REAL}
            name = f"updates {100 * gain:2g}, {kind}, n = {n}, {repeats} {'splits' if splits > 1 else 'repeats'}"
            bench.run(name, ask, WORLDS[kind], Design(ACCURACY[n], repeats, splits, gains))
    print("The same without controls and at equal epochs: the headline names the updates beside every gain")
    ask = {
        "headline": lambda one: claims(judged(one)),
        "headline without 'more updates'": lambda one: claims(judged(one)) and UPDATES not in headline(judged(one)),
    }
    gains = {one: GAIN for one in ARMS if one != REAL}
    design = Design(0.7, 5, gains=gains, arms=(REAL, *GANS), budget="epochs")
    bench.run("updates, equal epochs and no controls", ask, WORLDS["measured"], design)


FREE = Analysis()
UPDATES = "with more optimiser updates"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default="", help="simulate the kinds with these words in their name alone")
    args = parser.parse_args()
    began = time.perf_counter()
    bench = Bench(args.studies, args.only)
    null_studies(bench)
    studies_with_a_gain(bench)
    gains_from_updates(bench)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
