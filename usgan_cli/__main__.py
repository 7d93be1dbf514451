"""The program's beginning: `usgan`, and `python -m usgan_cli`. It can be interrupted before anything is loaded."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

EXIT_INTERRUPTED = 130


def main() -> int:
    """Load the command line and run it; Ctrl-C and SIGTERM end it without a traceback from the first moment on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as a shell sets it for background jobs
            signal.signal(number, _leave)
    from usgan_cli.cli import run

    for number, handler in before.items():
        signal.signal(number, handler)
    try:
        return run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but the end of the process


def _leave(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """End the process: while modules are loaded there is nothing to save, and loading may not swallow an exception."""
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
