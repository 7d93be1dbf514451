"""Options that more than one command has, defined once, with the same help everywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from usgan_cli.core.errors import SettingsError

SHARED = "Every command"
WHICH = "Which artefact"


def path_or_stdin(text: str) -> Path:
    """Return a path; a single `-` stands for the one path that standard input carries.

    Raises
    ------
    SettingsError
        Standard input carries no path, or more than one.
    """
    if text != "-":
        return Path(text)
    if sys.stdin.isatty():
        raise SettingsError("'-' reads a path from standard input, which is a terminal.", "Use it behind a pipe.")
    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    if len(lines) != 1:
        found = f"{len(lines)} paths" if lines else "nothing"
        raise SettingsError(
            f"'-' expects one path on standard input; {found} came.",
            "If a command stands before the pipe, see what it said." if not lines else "Pass them one at a time.",
        )
    return Path(lines[0].strip())


Work = Annotated[
    Path,
    typer.Option("--work", envvar="USGAN_WORK", help="Workspace: the folder of all artefacts.", rich_help_panel=SHARED),
]
Force = Annotated[
    bool, typer.Option("--force", help="Make the artefact again, replacing what is there.", rich_help_panel=SHARED)
]
Refresh = Annotated[
    bool,
    typer.Option(
        "--refresh",
        help="Where what is there was made with other settings or from other inputs, make it again in place of "
        "refusing; what is up to date stays.",
        rich_help_panel=SHARED,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show the resolved settings and what would be written; do nothing.", rich_help_panel=SHARED
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object of the result instead of the path.", rich_help_panel=SHARED),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only warnings and errors on standard error.", rich_help_panel=SHARED)
]

Aug = Annotated[
    str,
    typer.Option(
        "--aug",
        help="Which GAN: none (plain StyleGAN2), ada (adaptive augmentation), diffaug (differentiable augmentation) "
        "or ada+diffaug (both).",
        rich_help_panel=WHICH,
    ),
]
MaybeAug = Annotated[
    str | None,
    typer.Option(
        "--aug",
        help="Which GAN: none (plain StyleGAN2), ada (adaptive augmentation), diffaug (differentiable augmentation) "
        "or ada+diffaug (both).",
        rich_help_panel=WHICH,
    ),
]
N = Annotated[int, typer.Option("--n", min=1, help="Size of the training subset, images.", rich_help_panel=WHICH)]
MaybeN = Annotated[
    int | None, typer.Option("--n", min=1, help="Size of the training subset, images.", rich_help_panel=WHICH)
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        help="Number of the repeat: picks the subset and seeds every random draw.",
        rich_help_panel=WHICH,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=path_or_stdin,
        metavar="DIR|-",
        help="Prepared dataset (default: WORK/data).",
        rich_help_panel=WHICH,
    ),
]
Gan = Annotated[
    Path | None,
    typer.Option(
        "--gan",
        parser=path_or_stdin,
        metavar="DIR|-",
        help="Folder of a trained GAN, in place of --aug --n --seed.",
        rich_help_panel=WHICH,
    ),
]
Synthetic = Annotated[
    Path | None,
    typer.Option(
        "--synthetic",
        parser=path_or_stdin,
        metavar="DIR|-",
        help="Folder of generated images, in place of --aug --n --seed.",
        rich_help_panel=WHICH,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Where to write (default: the artefact's place in the workspace).", rich_help_panel=WHICH
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto (a GPU if there is one), cpu, cuda or cuda:1.")]
PrecisionName = Annotated[
    str,
    typer.Option(
        "--precision", help="Arithmetic of the fast layers: auto (bf16 where the device has it), float32, bf16, fp16."
    ),
]
Extractor = Annotated[
    str,
    typer.Option(
        "--extractor",
        help="Feature network of the Fréchet distance: inception (FID), efficientnet-lite2 or -lite0 (no "
        "download), or timm:NAME with --weights.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", help="File or folder with the pretrained weights (default: look where they usually are)."
    ),
]
