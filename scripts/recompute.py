"""Compute a study's comparisons again from its predictions, with nothing of the package, and compare.

    python scripts/recompute.py work

Needs numpy alone. From `classifiers/*/*/predictions.csv` and the groups in `data/manifest.json` come every classifier's
accuracy by fold, and every comparison's difference, F, degrees of freedom, p and interval as Obuchowski and Rockette
(1995) write them: mean squares of the arms' accuracies over repeats, Cov2 and Cov3 by the jackknife over clusters of
test images. (`usgan_cli.stats.mrmc` works on differences instead.) With several splits the reader is the split: its
repeats are averaged. From these come Holm's p-values and the verdicts of `report/tables/verdicts.csv`. Compared are
`classifiers/*/*/result.json`, `ttests/*.json` and that table. Exit status 1 if a number differs, or none is there.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

ALPHA, PRIMARY_SHARE, TOLERANCE = 0.05, 0.5, 1e-7
Right = dict[str, np.ndarray]
"""Whether each fold's model classifies each test image correctly: file -> [folds]."""


def t_tail(t: float, df: float) -> float:
    """Return P(|T| > |t|) of Student's t: the incomplete beta function by its continued fraction (Lentz's method)."""
    x, a, b = df / (df + t * t), df / 2, 0.5
    if x >= 1:
        return 1.0
    swapped = x > (a + 1) / (a + b + 2)
    if swapped:
        x, a, b = 1 - x, b, a
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        for part in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + part * d), 1 + part / c
            fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return 1 - front * fraction if swapped else front * fraction


def t_limit(df: float) -> float:
    """Return the t that is exceeded, on either side, with a probability of 5 %."""
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > ALPHA else (low, middle)
    return high


def read_right(folder: Path) -> Right:
    """Read which test predictions of a classifier are right."""
    right: dict[str, dict[int, bool]] = {}
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["part"] == "test":
                classes = [name for name in row if name.startswith("p_")]
                best = max(classes, key=lambda name: float(row[name]))
                right.setdefault(row["file"], {})[int(row["fold"])] = best == f"p_{row['label']}"
    return {file: np.array([folds[k] for k in sorted(folds)], dtype=float) for file, folds in right.items()}


def read_clusters(work: Path) -> dict[str, int]:
    """Number the clusters of images that belong together: groups of the manifest, joined by its copies."""
    manifest = json.loads((work / "data" / "manifest.json").read_text(encoding="utf-8"))
    cluster = {image["file"]: image["group"] for image in manifest["images"]}
    for copies in manifest["duplicates"]:
        there = {cluster[file] for file in copies if file in cluster}
        cluster = {file: min(there) if group in there else group for file, group in cluster.items()}
    return cluster


def analyse(treated: list[Right], control: list[Right], clusters: dict[str, int]) -> dict[str, Any]:
    """Return the comparison of two arms; each list has one element a reader."""
    files = sorted(set().union(*treated))
    index = {c: i for i, c in enumerate(sorted({clusters[file] for file in files}))}
    r, count = len(treated), len(index)
    sums, images = np.zeros((2, r, count)), np.zeros((r, count))
    for i, arm in enumerate((treated, control)):
        for j, right in enumerate(arm):
            for file, folds in right.items():
                sums[i, j, index[clusters[file]]] += folds.mean()
                images[j, index[clusters[file]]] += i == 0
    accuracy = sums.sum(-1) / images.sum(-1)
    without = (sums.sum(-1, keepdims=True) - sums) / (images.sum(-1, keepdims=True) - images)
    centred = without - without.mean(-1, keepdims=True)
    covariance = np.einsum("ijc,klc->ijkl", centred, centred) * (count - 1) / count
    each = accuracy[0] - accuracy[1]
    difference = float(each.mean())
    if r == 1:
        squared = float(covariance[0, 0, 0, 0] + covariance[1, 0, 1, 0] - 2 * covariance[0, 0, 1, 0])
        df, f = count - 1, math.nan
    else:
        pairs = list(combinations(range(r), 2))
        cov2 = np.mean([covariance[i, j, i, k] for i in (0, 1) for j, k in pairs])
        cov3 = np.mean([covariance[i, j, 1 - i, k] for i in (0, 1) for j, k in pairs])
        arms, readers, grand = accuracy.mean(1), accuracy.mean(0), accuracy.mean()
        ms_t = r * ((arms - grand) ** 2).sum()
        ms_tr = ((accuracy - arms[:, None] - readers[None] + grand) ** 2).sum() / (r - 1)
        if ms_tr < 1e-24:  # equal by chance: what test images alone contribute stands in its place
            var = np.mean([covariance[i, j, i, j] for i in (0, 1) for j in range(r)])
            cov1 = np.mean([covariance[0, j, 1, j] for j in range(r)])
            ms_tr = max(var - cov1 - (cov2 - cov3), 0.0)
        denominator = ms_tr + max(r * (cov2 - cov3), 0.0)
        squared, df = 2 / r * denominator, r - 1
        f = float(ms_t / denominator) if denominator > 1e-24 else math.nan
    error = math.sqrt(max(squared, 0.0))
    half = t_limit(df) * error
    return {
        "difference": difference,
        "by_repeat": each.tolist(),
        "standard_error": error,
        "df": df,
        "F": f,
        "p": t_tail(difference / error, df) if error > 1e-12 else None,
        "interval": (difference - half, difference + half),
        "images": len(files),
        "clusters": count,
    }


def holm(p_values: list[float | None], weights: list[float]) -> list[float | None]:
    """Return p-values adjusted by Holm's weighted method; undefined ones count as 1."""
    p = [1.0 if value is None else value for value in p_values]
    order = sorted(range(len(p)), key=lambda i: p[i] / weights[i])
    left, largest, adjusted = sum(weights), 0.0, [0.0] * len(p)
    for i in order:
        largest = max(largest, min(1.0, p[i] * left / weights[i]))
        adjusted[i] = largest
        left -= weights[i]
    return [None if value is None else adjusted[i] for i, value in enumerate(p_values)]


class Study:
    """Compares a workspace's numbers with those computed here, and counts them."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.compared = 0
        self.wrong: list[str] = []
        self.analysed: dict[tuple[str, int, str], dict[str, Any]] = {}
        """By classifier, n and seeds."""

    def check(self, place: str, computed: Any, stated: Any) -> None:
        """Compare two numbers, or lists of them."""
        self.compared += 1
        a, b = (np.array([math.nan if x is None else x for x in np.ravel(x)], float) for x in (computed, stated))
        if a.shape != b.shape or not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            self.wrong.append(f"{place}: computed {computed}, stated {stated}")

    def root(self, split: int | None) -> Path:
        """Return the workspace of a split; None for the study's first."""
        return self.work if split is None else self.work / "splits" / f"s{split}"

    def classifiers(self) -> None:
        """Compare the accuracy of every fold: with one label an image it is the micro-averaged F1."""
        for path in sorted(self.work.glob("**/classifiers/*/*/result.json")):
            record, right = json.loads(path.read_text(encoding="utf-8")), read_right(path.parent)
            stated = [fold["test_micro_f1"] for fold in sorted(record["folds"], key=lambda fold: fold["fold"])]
            place = path.parent.relative_to(self.work).as_posix()
            self.check(f"{place}: accuracy by fold", np.mean(list(right.values()), axis=0), stated)

    def comparisons(self) -> None:
        """Compare what `ttests/` says of every arm against its control."""
        for path in sorted(self.work.glob("**/ttests/*.json")):
            record, home = json.loads(path.read_text(encoding="utf-8")), path.parent.parent
            if "effects" not in record:
                continue
            seeds = record.get("seeds") or [record["seed"]]
            roots = [home] if not record.get("splits") else [self.root(None), *map(self.root, record["splits"][1:])]
            for effect in record["effects"]:
                arms = [
                    [pooled([self.right(root, record["n"], seed, name) for seed in seeds]) for root in roots]
                    if len(roots) > 1
                    else [self.right(roots[0], record["n"], seed, name) for seed in seeds]
                    for name in (effect["name"], effect["against"])
                ]
                computed = analyse(arms[0], arms[1], read_clusters(home))
                for key in set(computed) - {"F"}:
                    place = f"{path.relative_to(self.work)}: {effect['name']} {key}"
                    self.check(place, computed[key], effect[key])
                if home == self.work:
                    size = len(roots), " ".join(map(str, seeds))
                    self.analysed[effect["name"], record["n"], *size] = computed

    def right(self, root: Path, n: int, seed: int, name: str) -> Right:
        """Return the predictions of one classifier."""
        return read_right(root / "classifiers" / f"n{n}-s{seed}" / name)

    def verdicts(self) -> Iterator[str]:
        """Compare the report's table of verdicts; yield a line for each comparison."""
        path = self.work / "report" / "tables" / "verdicts.csv"
        if not path.is_file():
            return
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = [self.analysed[row["name"], int(row["n"]), int(row.get("splits", 1)), row["seeds"]] for row in rows]
        total = int(rows[0]["family"])
        weights = [1.0] * total
        for i, row in enumerate(rows):
            if "(primary)" in row["verdict"] and total > 1:
                weights[i] = PRIMARY_SHARE / (1 - PRIMARY_SHARE) * (total - 1)
        missing = [None] * (total - len(rows))
        margin = float(rows[0]["margin"]) / 100
        p_values = [one["p"] if len(one["by_repeat"]) > 1 else None for one in found]
        beyond = [
            t_tail((margin - abs(one["difference"])) / one["standard_error"], one["df"]) / 2 if p is not None else None
            for one, p in zip(found, p_values, strict=True)
        ]
        beyond = [
            1 - q if q is not None and abs(one["difference"]) > margin else q
            for one, q in zip(found, beyond, strict=True)
        ]
        adjusted, equivalent = (holm([*values, *missing], weights) for values in (p_values, beyond))
        for row, one, p, q in zip(rows, found, adjusted, equivalent, strict=False):
            place = f"verdicts.csv: {row['name']} n{row['n']}"
            self.check(f"{place} p, Holm", p, float(row["p_holm"]) if row["p_holm"] else None)
            self.check(f"{place} difference", 100 * one["difference"], float(row["difference"]))
            word = "undecided"
            if p is not None and p < ALPHA:
                word = "helped" if one["difference"] > 0 else "hurt"
            elif q is not None and q < ALPHA:
                word = "no more than"
            self.compared += 1
            # A GAN that is too weak to judge has its own word, which rests on its images.
            if not row["verdict"].startswith(word) and "too weak" not in row["verdict"]:
                self.wrong.append(f"{place}: computed {word}, stated {row['verdict']}")
            middle, low, high = (100 * value for value in (one["difference"], *one["interval"]))
            yield (
                f"{row['name']:20} n {row['n']:>4}  {middle:+6.2f} [{low:+6.2f}, {high:+6.2f}] points  "
                f"F(1, {one['df']}) {one['F']:8.3f}  p {number(one['p'])}  "
                f"Holm {number(p)}  {word}"
            )


def number(value: float | None) -> str:
    """Return a p-value as text."""
    return "-" if value is None else f"{value:.4f}"


def pooled(repeats: list[Right]) -> Right:
    """Return a split's repeats as one reader, their folds side by side."""
    return {file: np.concatenate([right[file] for right in repeats]) for file in repeats[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="workspace of the study")
    study = Study(parser.parse_args().work)
    study.classifiers()
    study.comparisons()
    for line in study.verdicts():
        print(line)
    print(f"{study.compared} numbers compared, {len(study.wrong)} differ", *study.wrong, sep="\n  ")
    return int(bool(study.wrong) or not study.compared)


if __name__ == "__main__":
    sys.exit(main())
