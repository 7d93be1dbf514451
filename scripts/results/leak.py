"""What copies on both sides of a split are worth: real images alone, `--duplicates group` against `ignore`.

    python scripts/results/leak.py Dataset_BUSI_with_GT --work leak

For each split seed and policy it prepares the images, draws the subsets and trains a frozen EfficientNet-Lite2's linear
head in five folds; what is done is skipped, so it can be stopped and run again. The records go to
`scripts/results/records/leak.json`: micro-F1 on the test images and on the validation folds, with the digests of the
results they come from. `make_results.py` turns them into docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import usgan_cli as usgan
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.dataset import DataManifest, read_manifest

RECORDS = Path(__file__).resolve().parent / "records"
SIZES = (500, 250, 100, 50)
POLICIES = ("group", "ignore")
BACKBONE = "tf_efficientnet_lite2"


def main() -> None:
    """Train all classifiers, and write the records after each split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the dataset")
    parser.add_argument("--work", type=Path, default=Path("leak"), help="workspace (default: leak)")
    parser.add_argument("--splits", type=int, default=10, help="split seeds, from 0 (default: 10)")
    parser.add_argument("--pixels", type=int, default=128, help="size of the prepared images (default: 128)")
    options = parser.parse_args()
    rows = []
    for split in range(options.splits):
        for policy in POLICIES:
            rows += one_split(options, split, policy)
        write(rows, options.pixels)
        logging.getLogger(__name__).info("split %d of %d is done", split + 1, options.splits)


def one_split(options: argparse.Namespace, split: int, policy: str) -> list[dict[str, object]]:
    """Return the scores of one split under one policy, for every size."""
    # All in one workspace, whose cache of features they share; a subset's seed tells the policies apart.
    common = {"work": options.work, "quiet": True}
    place = options.work / f"{policy}-{split}"
    data = usgan.prepare(
        source=options.source,
        test=280,
        seed=split,
        duplicates=policy,
        size=options.pixels,
        out=place / "data",
        **common,
    ).path
    seed = 2 * split + POLICIES.index(policy)
    usgan.subsample(n=SIZES, seed=seed, data=data, **common)
    manifest = read_manifest(data)
    rows = []
    for n in SIZES:
        out = place / f"n{n}"
        made = usgan.train_classifier(n=n, seed=seed, data=data, out=out, backbone=BACKBONE, freeze=True, **common)
        record = ClassifierRecord.read(made.path / ClassifierRecord.FILE)
        rows.append(
            {
                "policy": policy,
                "split": split,
                "n": n,
                "test_f1": record.test_micro_f1.mean,
                "val_f1": record.val_micro_f1.mean,
                "leaked_test_images": leaked(manifest) if n == max(SIZES) else None,
                "data": manifest.content_digest(),
                "result": record.content_digest(),
            }
        )
    return rows


def leaked(manifest: DataManifest) -> int:
    """Return how many test images have a copy among the training images."""
    train, test = ({image.file for image in manifest.of(split)} for split in ("train", "test"))
    return len(
        {file for group in manifest.duplicates if train.intersection(group) for file in test.intersection(group)}
    )


def write(rows: list[dict[str, object]], pixels: int) -> None:
    """Write the records so far."""
    RECORDS.mkdir(exist_ok=True)
    body = {"version": usgan.__version__, "pixels": pixels, "backbone": BACKBONE, "freeze": True, "rows": rows}
    (RECORDS / "leak.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
