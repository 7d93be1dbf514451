#!/usr/bin/env bash
# Lint, types and tests, with their own set-up. Arguments go to pytest: scripts/test.sh tests/gan

USGAN_EXTRAS=dev
source "$(dirname "$0")/setup.sh"
touch .venv/.usgan-dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# Two processes, each with whole files, so that fixtures of a file are made once.
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
