#!/usr/bin/env bash
# Lint, types and tests, with their own set-up. Arguments go to pytest: scripts/test.sh tests/gan

USGAN_EXTRAS=dev
source "$(dirname "$0")/setup.sh"
touch .venv/.usgan-dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"
