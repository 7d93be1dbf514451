"""The command line: the table of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from usgan_cli import __version__, console
from usgan_cli.commands import (
    doctor,
    export,
    generate,
    phantom,
    prepare,
    report,
    score,
    status,
    study,
    subsample,
    train_cls,
    train_gan,
    ttest,
)
from usgan_cli.commands.session import step_command
from usgan_cli.core.errors import UsganError

DATA, GANS, VERDICT, ALL = "Data", "GANs", "Verdict", "All of it"
EXIT_PROBLEM, EXIT_INTERRUPTED = 1, 130
DISK_PROBLEMS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
)
"""What a file system answers that the user can mend; any other OSError is a bug."""

app = typer.Typer(
    name="usgan",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        console.emit_paths([f"usgan {__version__}"])
        raise typer.Exit


@app.callback()
def usgan(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Do GAN-made images help a classifier trained on a small medical image dataset, and can the answer be trusted?

    Commands share a workspace (--work). In order: prepare, subsample, train-gan, generate, score, train-cls,
    ttest, report; or study, which runs them all.
    """


for panel, command in (
    (DATA, phantom.phantom),
    (DATA, prepare.prepare),
    (DATA, subsample.subsample),
    (GANS, train_gan.train_gan),
    (GANS, generate.generate),
    (GANS, score.score),
    (GANS, export.export),
    (VERDICT, train_cls.train_cls),
    (VERDICT, ttest.ttest),
    (VERDICT, report.report),
    (ALL, study.study),
    (ALL, status.status),
):
    app.command(command.__name__.replace("_", "-"), rich_help_panel=panel)(step_command(command))
app.command("doctor", rich_help_panel=ALL)(doctor.doctor)


def main() -> None:
    """Run the program and exit: 0 done, 1 a problem the user can mend, 2 wrong usage, 130 interrupted."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a UsganError becomes one message, a bug keeps its traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    terminal = console.Terminal()
    try:
        app(args=arguments)
    except UsganError as error:
        terminal.fail(str(error))
        return EXIT_PROBLEM
    except OSError as error:
        if error.errno not in DISK_PROBLEMS:
            raise
        terminal.fail(f"{error.filename or 'A file'} cannot be read or written: {error.strerror}.")
        return EXIT_PROBLEM
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:
            terminal.fail("interrupted. What was saved is kept; the same command continues from there.")
        return ended.code if isinstance(ended.code, int) else EXIT_PROBLEM
    return 0


def _terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Let SIGTERM end a command as Ctrl-C does, so that locks and temporary files go."""
    raise KeyboardInterrupt
