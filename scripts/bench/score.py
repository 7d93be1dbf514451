"""Check `usgan score` against the tools that others use, and time it.

    python scripts/bench/score.py agree --images 300         # torch-fidelity: features, FID, KID, precision, recall
    python scripts/bench/score.py frechet                    # the distance alone, three ways, on one core
    python scripts/bench/score.py command --images 100       # whole commands: usgan, torch-fidelity, pytorch-fid
    python scripts/bench/score.py yardsticks work            # real images against real images, by n

The weights of the FID network are made at random, one file for all tools: it is the arithmetic that is compared, and
random weights cost as much. `command` needs the package pytorch-fid (extra dev).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from usgan_cli.commands.score import Score
from usgan_cli.core.formats.dataset import Subset, read_manifest
from usgan_cli.core.formats.score import Scores
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import load_split
from usgan_cli.core.machine import weights
from usgan_cli.core.options import settings_for
from usgan_cli.core.progress import Silent
from usgan_cli.data.source.folders import load_folders
from usgan_cli.metrics.config import ScoreConfig
from usgan_cli.metrics.features import Embedded, make_extractor
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.metrics.kid import kernel_distance
from usgan_cli.metrics.prdc import distances, precision_recall
from usgan_cli.metrics.score import score_set

TEST_IMAGES, SIZES = 280, (500, 250, 100, 50)
SIDE = 64
ANY_WEIGHTS = (
    "import dataclasses; from usgan_cli.core.machine import weights; "
    "weights.INCEPTION = dataclasses.replace(weights.INCEPTION, sha256=None); "
    "from usgan_cli.cli import main; main()"
)
"""The program, taking the random file where it would ask for the published one."""


def random_weights(folder: Path) -> Path:
    """Write a file like the published one, with random tensors."""
    torch.manual_seed(0)
    with (
        patch.object(torch, "load", lambda *_, **__: {}),
        patch.object(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None),
    ):
        network = FeatureExtractorInceptionV3("x", ["2048"], "made up")
    path = folder / weights.INCEPTION.file_names[0]
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for name, value in state.items():
        if value.ndim == 4:  # so that features neither vanish nor explode
            state[name] = torch.randn_like(value) * (2 / value[0].numel()) ** 0.5
    torch.save(state, path)
    return path


def scenes(folder: Path, count: int, seed: int, contrast: float) -> Path:
    """Write images with structure at several scales; no two are equal."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        layers = [np.kron(rng.standard_normal((SIDE // s, SIDE // s)), np.ones((s, s))) for s in (1, 4, 16)]
        image = 110 + contrast * (5 * layers[0] + 15 * layers[1] + 30 * layers[2])
        codec.write_png(folder / f"{i:04d}.png", np.clip(image, 0, 255).astype(np.uint8)[None])
    return folder


def agree(count: int) -> None:
    """Compare features and numbers with torch-fidelity in one run."""
    with tempfile.TemporaryDirectory() as place:
        real, fake = scenes(Path(place, "real"), count, 0, 1.0), scenes(Path(place, "fake"), count, 1, 0.8)
        file = random_weights(Path(place))
        sets, _ = load_folders([real, fake], fit="stretch", bits=None, progress=Silent())
        pixels = [images.pixels for images in sets]
        with patch.object(weights, "INCEPTION", weights.Source("inception", (file.name,))):
            ours = [make_extractor("inception", file)(some) for some in pixels]
        library = FeatureExtractorInceptionV3("x", ["2048"], str(file)).eval()
        with torch.inference_mode():
            theirs = [
                np.concatenate([library(torch.from_numpy(np.repeat(b, 3, axis=1)))[0].numpy() for b in batches(some)])
                for some in pixels
            ]
        whole = calculate_metrics(
            input1=str(fake),
            input2=str(real),
            feature_extractor="inception-v3-compat",
            cuda=False,
            fid=True,
            kid=True,
            prc=True,
            kid_subset_size=count,
            kid_subsets=2,
            feature_extractor_weights_path=str(file),
            verbose=False,
        )
    for name, a, b in zip(("real", "fake"), ours, theirs, strict=True):
        row("features, " + name, np.abs(a - b).max() / np.abs(b).max(), "largest difference over largest feature")
    x, y = theirs
    draw = np.random.RandomState(0)
    kid = kernel_distance(x, y, size=count, subsets=2, generator=draw)  # type: ignore[arg-type]
    a, b = torch.from_numpy(x).double(), torch.from_numpy(y).double()
    same = {"kid_subset_size": count, "kid_subsets": 2, "verbose": False}
    statistics = [fid_features_to_statistics(some) for some in (a, b)]
    near = prc_features_to_metric(b, a, prc_neighborhood=3, prc_batch_size=10000, save_cpu_ram=False, verbose=False)
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    precision, recall = precision_recall(distances(x, y), k=3)
    compare("FID", frechet_distance(x, y), fid, whole["frechet_inception_distance"])
    of_kid = kid_features_to_metric(a, b, **same)["kernel_inception_distance_mean"]
    compare("KID", kid, of_kid, whole["kernel_inception_distance_mean"])
    compare("precision", precision, near["precision"], whole["precision"])
    compare("recall", recall, near["recall"], whole["recall"])
    eigen = by_nonzero_eigenvalues(x.astype(np.float64), y.astype(np.float64))
    compare("FID by the nonzero eigenvalues", frechet_distance(x, y), eigen, eigen)
    full = frechet_distance(x[:, :128], y[:, :128])
    full_rank = [fid_features_to_statistics(some[:, :128]) for some in (a, b)]
    fid = fid_statistics_to_metric(*full_rank, verbose=False)["frechet_inception_distance"]
    compare("FD of 128 features (full rank)", full, fid, fid)


def by_nonzero_eigenvalues(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the distance without the roots of the many eigenvalues that are 0 but for rounding."""
    a, b = ((some - some.mean(0)) / np.sqrt(len(some) - 1) for some in (x, y))
    roots = np.sqrt(np.maximum(scipy.linalg.eigvalsh(a @ b.T @ b @ a.T), 0))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * roots.sum())


def batches(pixels: codec.Pixels) -> list[codec.Pixels]:
    return [pixels[start : start + 16] for start in range(0, len(pixels), 16)]


def compare(name: str, ours: float, theirs: float, whole: float) -> None:
    relative = abs(ours - theirs) / max(abs(theirs), 1e-12)
    row(name, relative, f"relative difference: {ours:.9g} and {theirs:.9g} (its whole run: {whole:.9g})")


def row(name: str, value: float, what: str) -> None:
    print(f"{name:32} {value:10.2e}  {what}", flush=True)


def frechet(real: int, fake: int, features: int) -> None:
    """Time the distance alone on one core."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, features)).astype(np.float32) ** 2 for n in (real, fake))

    def textbook() -> float:
        c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        root = np.trace(np.asarray(scipy.linalg.sqrtm(c1 @ c2)).real)
        return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * root)

    def library() -> float:
        statistics = [fid_features_to_statistics(torch.from_numpy(some)) for some in (x, y)]
        return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])

    fast, value = best_of(lambda: frechet_distance(x, y), 5)
    print(f"usgan          {fast:8.3f} s  {value:.6f}")
    for name, way in (("torch-fidelity", library), ("sqrtm", textbook)):
        seconds, other = best_of(way, 1)
        print(f"{name:14} {seconds:8.3f} s  {other:.6f}  {seconds / fast:.0f} times", flush=True)


def best_of(work: Callable[[], float], times: int) -> tuple[float, float]:
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        value = work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds), value


def command(count: int) -> None:
    """Time whole commands, each in a process of its own, first and second run."""
    with tempfile.TemporaryDirectory() as place:
        real, fake = scenes(Path(place, "real"), count, 0, 1.0), scenes(Path(place, "fake"), count, 1, 0.8)
        file = random_weights(Path(place))
        hub = Path(place, "hub", "hub", "checkpoints")
        hub.mkdir(parents=True)
        (hub / "pt_inception-2015-12-05-6726825d.pth").symlink_to(file)
        environment = os.environ | {"TORCH_HOME": str(Path(place, "hub"))}
        work = str(Path(place, "work"))
        own = [sys.executable, "-c", ANY_WEIGHTS, "score", "--real", str(real), "--fake", str(fake), "--weights"]
        own += [str(file), "--work", work, "--device", "cpu", "--quiet"]
        other = [str(Path(sys.executable).with_name("fidelity")), "--input1", str(fake), "--input2", str(real), "--cpu"]
        other += [
            "--fid",
            "--kid",
            "--kid-subset-size",
            str(count),
            "--prc",
            "--silent",
            "--feature-extractor",
            "inception-v3-compat",
        ]
        other += ["--feature-extractor-weights-path", str(file), "--cache-root", str(Path(place, "cache"))]
        cached = ["--input1-cache-name", "fake", "--input2-cache-name", "real"]
        third = [sys.executable, "-m", "pytorch_fid", str(real), str(fake), "--device", "cpu"]
        for name, words in (
            ("usgan, first", own),
            ("usgan, features cached (--force)", [*own, "--force"]),
            ("usgan, nothing to do", own),
            ("torch-fidelity, first", [*other, *cached]),
            ("torch-fidelity, features cached", [*other, *cached]),
            ("pytorch-fid", third),
        ):
            begin = time.perf_counter()
            subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            print(f"{name:32} {time.perf_counter() - begin:8.1f} s", flush=True)


def yardsticks(source: Path, extractor: str) -> None:
    """Score a workspace's subsets of real training images against its test images."""
    test = load_split(source / "data", "test")
    manifest = read_manifest(source / "data")
    network = make_extractor(extractor)
    reference = Embedded(test, network(test.pixels, progress=Silent()))
    train = load_split(source / "data", "train")
    of_train = Embedded(train, network(train.pixels, progress=Silent()))
    place = {file: i for i, file in enumerate(train.files)}
    print(f"against {len(test)} test images of {manifest.size} pixels, {network.name}; ± half of the 95 % interval")
    head = ("n", "FD", "KD x 1000", "precision", "recall", "density", "coverage", "JS", "SSIM", "MS-SSIM")
    print("".join(f"{name:>16}" for name in head))
    for n in SIZES:
        subset = Subset.read(source / "subsets" / f"n{n}-s0.json")
        rows = np.array([place[image.file] for image in subset.pick(manifest)])
        scores = score_set(
            ScoreConfig(**settings_for(Score(extractor=extractor), ScoreConfig)), reference, of_train.take(rows)
        )
        print(f"{n:>16}" + "".join(f"{text:>16}" for text in cells(scores)), flush=True)


def cells(scores: Scores) -> Sequence[str]:
    def text(name: str, digits: int, scale: float = 1) -> str:
        value = getattr(scores, name)
        value = getattr(value, "mean", value)
        if value is None:
            return ""
        reach = max(abs(bound - value) for bound in scores.intervals[name])
        return f"{scale * value:.{digits}f} ± {scale * reach:.{digits}f}"

    return [
        text("fd", 1),
        text("kid", 2, 1000),
        *(text(name, 2) for name in ("precision", "recall", "density", "coverage")),
        *(text(name, 3) for name in ("js", "ssim", "ms_ssim")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for name, count in (("agree", 300), ("command", 100)):
        kinds.add_parser(name).add_argument("--images", type=int, default=count, help="images on each side")
    one = kinds.add_parser("frechet")
    one.add_argument("--real", type=int, default=TEST_IMAGES)
    one.add_argument("--fake", type=int, default=500)
    one.add_argument("--features", type=int, default=2048)
    one = kinds.add_parser("yardsticks")
    one.add_argument("work", type=Path, help="workspace with a prepared dataset and subsets of 500, 250, 100 and 50")
    one.add_argument("--extractor", default="efficientnet-lite2")
    options = parser.parse_args()
    if options.kind == "agree":
        agree(options.images)
    elif options.kind == "frechet":
        frechet(options.real, options.fake, options.features)
    elif options.kind == "command":
        command(options.images)
    else:
        yardsticks(options.work, options.extractor)


if __name__ == "__main__":
    main()
