"""`python -m usgan_cli`: the command line without the installed script."""

from usgan_cli.cli import main

main()
