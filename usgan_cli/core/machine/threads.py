"""Cores and threads of this machine, for steps that need no torch too."""

from __future__ import annotations

import os
import sys

SPINS = "20000"
"""How often a waiting thread tries again before it sleeps: with fewer, trainings on an idle machine are slower, as
scripts/bench/busy.py shows."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sleep_soon() -> None:
    """Let threads that wait for one another soon sleep, in libraries that are loaded from now on.

    GNU OpenMP's threads try again for milliseconds, in which a thread that they wait for may have no core: where other
    programs compute too, that happens at every step. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def limit_threads(count: int) -> None:
    """Compute with `count` CPU threads in every library, in this process and in those that it starts.

    Libraries read the number from the environment when they are loaded; it is set directly in those loaded already.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(count)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)
