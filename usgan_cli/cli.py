"""The command line: the table of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer

from usgan_cli import __version__
from usgan_cli.commands.card import Card
from usgan_cli.commands.clean import Clean
from usgan_cli.commands.common import InWorkspace
from usgan_cli.commands.compare import Compare
from usgan_cli.commands.doctor import Doctor
from usgan_cli.commands.export import Export
from usgan_cli.commands.generate import Generate
from usgan_cli.commands.phantom import Phantom
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.report import Report
from usgan_cli.commands.score import Score
from usgan_cli.commands.status import Status
from usgan_cli.commands.study import Study
from usgan_cli.commands.subsample import Subsample
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.commands.ttest import Ttest
from usgan_cli.commands.verify import Verify
from usgan_cli.commands.weights import Weights
from usgan_cli.core.errors import UsganError
from usgan_cli.core.machine.threads import sleep_soon
from usgan_cli.core.system_errors import as_message
from usgan_cli.terminal import console
from usgan_cli.terminal.options import as_command
from usgan_cli.terminal.session import carry_out

PANELS: dict[str, tuple[type[InWorkspace], ...]] = {
    "Data": (Phantom, Prepare, Subsample),
    "GANs": (TrainGan, Generate, Score, Export),
    "Verdict": (TrainClassifier, Ttest, Report, Card, Compare),
    "All of it": (Study, Status, Verify, Clean, Doctor, Weights),
}
"""The commands' options, which carry their names, by heading in help."""
COMMANDS = tuple(command for commands in PANELS.values() for command in commands)
EXIT_PROBLEM, EXIT_INTERRUPTED = 1, 130
INTERRUPTED = "interrupted. What was saved is kept; the same command continues from there."
app = typer.Typer(
    name="usgan",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        console.emit_paths([f"usgan {__version__}"])
        raise typer.Exit


BEGIN = f"""usgan {__version__}: do GAN-made images help a classifier of few medical images?

To begin:
  usgan study demo                      a small whole study of simulated images
  usgan study laptop --source FOLDER    your images, a subfolder for each class
  usgan doctor                          this machine, and which study suits it

All commands: usgan --help
"""


@app.callback()
def usgan(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Do GAN-made images help a classifier trained on a small medical image dataset, and can the answer be trusted?

    Commands share a workspace (--work). In order: prepare, subsample, train-gan, generate, score, train-cls,
    ttest, report; or study, which runs them all.
    """
    if context.invoked_subcommand is None:
        console.emit_text(BEGIN)


for panel, commands in PANELS.items():
    for options in commands:
        app.command(options.COMMAND, rich_help_panel=panel)(as_command(options, carry_out))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a problem the user can solve, 2 wrong usage, 130 interrupted.

    A UsganError becomes one message; a bug keeps its traceback.
    """
    signal.signal(signal.SIGTERM, _terminated)
    sleep_soon()  # before a step loads torch
    terminal = console.Terminal()
    try:
        app(args=arguments)
    except UsganError as error:
        terminal.fail(str(error))
        return EXIT_PROBLEM
    except OSError as error:
        if (problem := as_message(error)) is None:
            raise
        terminal.fail(str(problem))
        return EXIT_PROBLEM
    except MemoryError:
        terminal.fail("This machine's memory is too small for this.\nClose other programs, or work on smaller parts.")
        return EXIT_PROBLEM
    except KeyboardInterrupt:
        terminal.fail(INTERRUPTED)
        return EXIT_INTERRUPTED
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:
            terminal.fail(INTERRUPTED)
        return ended.code if isinstance(ended.code, int) else EXIT_PROBLEM
    return 0


def _terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Let SIGTERM end a command as Ctrl-C does, so that locks and temporary files go."""
    raise KeyboardInterrupt
