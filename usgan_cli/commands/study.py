"""Options of `usgan study`."""

from __future__ import annotations

from typing import Literal

from usgan_cli.commands.common import StepOptions
from usgan_cli.core.options import option

PART, CLUSTER = "A part of the study", "On a cluster"


class Study(StepOptions):
    """Run a whole study: sizes x GANs x seeds x ratios, from images to report. It can be interrupted and run again.

    Steps that are up to date are skipped; those that a changed setting or input has put out of date are made again.
    """

    COMMAND = "study"

    name: str = option(
        "A shipped study, or a TOML file of your own.",
        metavar="demo|laptop|workstation|cluster|paper|smoke|FILE.toml",
        argument=True,
    )
    engine_options: tuple[str, ...] = option(
        "Options for Snakemake, behind --: -- --profile slurm.", default=(), metavar="[-- OPTION...]", argument=True
    )
    source: str | None = option(
        "Images to use instead of the study's own: a folder, or what else usgan prepare reads (or 'phantom').",
        default=None,
        metavar="SOURCE",
    )
    print_: bool = option(
        "Print the study's TOML file, to begin one of your own, and do nothing else.", default=False, flag="--print"
    )
    only: tuple[str, ...] = option(
        "Carry out only these steps: a command (score), an artefact (ada-n100-s0) or a pattern ('*n50*').",
        default=(),
        panel=PART,
        metavar="STEP|NAME|PATTERN",
    )
    begin: str | None = option(
        "Begin with this command; those before it stay.", default=None, panel=PART, flag="--from", metavar="STEP"
    )
    adopt: bool = option(
        "Make again what was made by hand with other settings than the study's, instead of refusing.", default=False
    )
    keep_going: bool = option("After a failure go on with what does not depend on it.", default=False)
    calibrate: bool = option(
        "With --dry-run: measure a few training steps (for a minute at most) where no earlier step says how long the "
        "study will take on this machine; without it, a table of measured machines does.",
        default=False,
    )
    engine: Literal["local", "snakemake"] = option(
        "local: one step after another, in this process. snakemake: the same steps as jobs, on this machine or a "
        "cluster (needs the extra 'cluster').",
        default="local",
        panel=CLUSTER,
    )
    jobs: int | None = option(
        "With snakemake: jobs at once (default: as many as cores allow).", default=None, panel=CLUSTER, least=1
    )
