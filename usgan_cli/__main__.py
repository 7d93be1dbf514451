"""`python -m usgan_cli`: the command line without the installed script."""

import sys

from usgan_cli.cli import run

sys.exit(run())
