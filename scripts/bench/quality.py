r"""Which settings of `usgan train-gan` make better images: pairs of trainings, judged on a development part.

    python scripts/bench/quality.py work --n 100 --kimg 10 --minutes 5 --seeds 0 1 2 \
        --variant "base: --aug best" --variant "slow: --aug best --lr-d 0.0005"

`work` holds a prepared dataset and its subsets. Every variant, a name and options of `usgan train-gan`, is trained on
the same subsets (one for each seed) for equally many kimg, and again for equally many minutes; the variants take turns,
so that other load on the machine affects them equally. What is there already is not made again.

The development part is the training images outside the subset, without copies of the subset's images. The test images
are never read: whoever chooses settings by them has no test left. Images are judged in features of three kinds:
EfficientNet-Lite2, textures (`textures.py`, nothing learned), and a small network trained here without labels
(`contrastive.py`). Lite2 is a sister of the network that judges in a projected GAN, the other two are not.

Each score is a record like those of `usgan score` (with intervals over images), kept in OUT/scores; OUT/quality.json
names the commands and the records' digests. The table shows means over seeds; differences to the first variant come
with a 95 % interval over seeds where there are two or more.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contrastive import Contrastive
from scipy import stats
from textures import Textures

from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.dataset import DataImage, DataManifest, Subset, read_manifest
from usgan_cli.core.formats.score import ScoreRecord, SetScores
from usgan_cli.core.images.sets import ImageSet, load_listed, load_synthetic
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.metrics.config import ScoreConfig
from usgan_cli.metrics.features import Extractor, make_extractor
from usgan_cli.metrics.score import ImageSets, score

COUNT = 500
LEAST_DEVELOPMENT = 50
COLUMNS: dict[str, Callable[[SetScores], float | None]] = {
    "FD": lambda scores: scores.fd,
    "KD x 1000": lambda scores: None if scores.kid is None else 1000 * scores.kid,
    "precision": lambda scores: scores.precision,
    "recall": lambda scores: scores.recall,
    "coverage": lambda scores: scores.coverage,
    "diversity": lambda scores: scores.diversity_features,
    "JS": lambda scores: scores.js,
}


@dataclass(frozen=True)
class Variant:
    """A name, and options of `usgan train-gan`."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One training: a variant, how it is limited ("kimg", "minutes"), and the seed of subset and training."""

    variant: Variant
    limit: str
    amount: float
    seed: int

    @property
    def name(self) -> str:
        """base-kimg10-s0."""
        return f"{self.variant.name}-{self.limit}{self.amount:g}-s{self.seed}"


@dataclass(frozen=True)
class Judged:
    """The records of a run, by the extractor's short name, and the commands that made its images."""

    run: Run
    records: dict[str, ScoreRecord]
    commands: list[str]


class Bench:
    """The workspace, where results go, and the development part of each seed."""

    def __init__(self, work: Path, out: Path, n: int) -> None:
        self.workspace, self.out, self.n = Workspace(work), out, n
        self.manifest = read_manifest(self.workspace.data)
        self.lite2 = make_extractor("efficientnet-lite2")
        self.contrastive = Contrastive(out / "contrastive.safetensors", self._unlabelled())

    def _unlabelled(self) -> ImageSet:
        return load_listed(self.workspace.data, self.manifest, self.manifest.of("train"), "train")

    def parts(self, seed: int) -> tuple[ImageSet, ImageSet]:
        """Return a seed's subset and its development part."""
        subset = Subset.read(self.workspace.subset(self.n, seed))
        own, rest = split_off(self.manifest, subset)
        if len(rest) < LEAST_DEVELOPMENT:
            problem = f"The subset of {self.n} leaves {len(rest)} training images to judge by."
            raise UsganError(problem, "Use a smaller --n.")
        folder = self.workspace.data
        return load_listed(folder, self.manifest, own, "subset"), load_listed(
            folder, self.manifest, rest, "development"
        )

    def make(self, run: Run) -> tuple[Path, list[str]]:
        """Train and generate what is not there yet; return the folder of images, and the commands."""
        gan, images = (self.out / kind / run.name for kind in ("gans", "images"))
        work = ["--work", str(self.workspace.root), "--quiet"]
        train = ["train-gan", "--n", str(self.n), "--seed", str(run.seed), f"--{run.limit}", f"{run.amount:g}"]
        commands = [
            [*train, *run.variant.options, "--out", str(gan), *work],
            ["generate", "--gan", str(gan), "--count", str(COUNT), "--out", str(images), *work],
        ]
        for command in commands:
            subprocess.run([sys.executable, "-m", "usgan_cli", *command], check=True, stdout=subprocess.DEVNULL)
        return images, [shlex.join(["usgan", *command]) for command in commands]

    def judge(self, run: Run) -> Judged:
        """Return the scores of a run by every extractor, made or read."""
        images, commands = self.make(run)
        own, development = self.parts(run.seed)
        fake = load_synthetic(images, COUNT)
        extractors = {"lite2": self.lite2, "textures": Textures(development.pixels), "contrastive": self.contrastive}
        records = {}
        for name, extractor in extractors.items():
            records[name] = scored(run.name, extractor, fake, own, development, self.out / "cache")
            records[name].write(self.out / "scores" / f"{run.name}-{name}.json")
        return Judged(run, records, commands)


def scored(
    name: str, extractor: Extractor, fake: ImageSet, own: ImageSet, development: ImageSet, cache: Path | None
) -> ScoreRecord:
    """Return the scores of generated images against a development part without copies of the GAN's `own` images."""
    config = ScoreConfig(
        extractor=extractor.name, count=len(fake), ssim_pairs=200, js_bins=256, js_log_base=float(np.e), repeats=100
    )
    leaked = np.zeros(len(development), dtype=bool)
    return score(
        config,
        ImageSets(fake, test=development, real=None, subset=own, leaked=leaked),
        name=name,
        gan_name=name,
        test_digest=files.digest_json(list(development.files)),
        extractor=extractor,
        cache_dir=cache,
        progress=Silent(),
    ).record


def split_off(manifest: DataManifest, subset: Subset) -> tuple[list[DataImage], list[DataImage]]:
    """Return a subset's images, and the training images outside it that are no copies of any of them."""
    own = subset.pick(manifest)
    groups = {image.group for image in own}
    return own, [image for image in manifest.of("train") if image.group not in groups]


def difference(values: Sequence[float], base: Sequence[float]) -> str:
    """Return the mean difference of pairs, with its 95 % interval (Student's t) where there are several."""
    pairs = np.array(values) - np.array(base)
    text = f"{pairs.mean():+.3g}"
    if len(pairs) < 2:
        return text
    reach = stats.t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs))
    return f"{text} ± {reach:.2g}"


def table(judged: Sequence[Judged], extractor: str) -> str:
    """Return a table in Markdown: a row for each variant and limit, means over seeds and differences to the first."""
    rows = [f"| {extractor} | {' | '.join(COLUMNS)} | copies |", "|---|" + "---|" * (len(COLUMNS) + 1)]
    limits = dict.fromkeys((one.run.limit, one.run.amount) for one in judged)
    for limit, amount in limits:
        of_limit = [one for one in judged if (one.run.limit, one.run.amount) == (limit, amount)]
        first = of_limit[0].run.variant
        base = [one for one in of_limit if one.run.variant == first]
        for variant in dict.fromkeys(one.run.variant for one in of_limit):
            own = [one for one in of_limit if one.run.variant == variant]
            cells = []
            for value in COLUMNS.values():
                mine, theirs = ([value(one.records[extractor].fake) or 0.0 for one in some] for some in (own, base))
                text = f"{np.mean(mine):.3g}"
                cells.append(text if variant == first else f"{text} ({difference(mine, theirs)})")
            copies = [one.records[extractor].memorization for one in own]
            words = ", ".join(dict.fromkeys("unknown" if one is None else one.verdict for one in copies))
            rows.append(f"| {variant.name}, {amount:g} {limit} | {' | '.join(cells)} | {words} |")
    return "\n".join(rows)


def parse_variant(text: str) -> Variant:
    name, _, options = text.partition(":")
    return Variant(name.strip(), tuple(shlex.split(options)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--kimg", type=float, nargs="*", default=[])
    parser.add_argument("--minutes", type=float, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variant", type=parse_variant, action="append", required=True, metavar="NAME: OPTIONS")
    parser.add_argument("--out", type=Path, default=Path("quality"))
    args = parser.parse_args()
    limits = [("kimg", one) for one in args.kimg] + [("minutes", one) for one in args.minutes]
    if not limits:
        parser.error("give --kimg, --minutes or both")
    bench = Bench(args.work, args.out, args.n)
    judged = []
    # Variants take turns within a seed and a limit.
    for limit, amount in limits:
        for seed in args.seeds:
            for variant in args.variant:
                judged.append(bench.judge(Run(variant, limit, amount, seed)))
                print(f"{judged[-1].run.name} done", file=sys.stderr, flush=True)
    summary = [
        {
            "run": one.run.name,
            "options": list(one.run.variant.options),
            "commands": one.commands,
            "records": {name: record.content_digest() for name, record in one.records.items()},
        }
        for one in judged
    ]
    files.write_text(args.out / "quality.json", json.dumps({"bench": sys.argv[1:], "runs": summary}, indent=1))
    for extractor in judged[0].records:
        print(table(judged, extractor), end="\n\n")


if __name__ == "__main__":
    try:
        main()
    except UsganError as error:
        sys.exit(str(error))
