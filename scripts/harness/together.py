"""Two processes at once on one artefact, and readers beside a writer."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from harness.disturb import reference_of
from harness.places import WORK, Command, Reference, copy_home, known_commands, leftovers, plain, run_command, snapshot
from harness.processes import Child, Ended
from harness.shim import Event, Shim

SLOW_S = 0.01
"""A writer with readers beside it waits this long at each file-system event, so that they meet it in every state."""


def _slow(_shim: Shim, _event: Event) -> None:
    time.sleep(SLOW_S)


def _start(home: Path, words: tuple[str, ...], *, slow: bool = False) -> Child:
    return run_command(home, words, Shim(home / WORK, _slow, 1) if slow else None)


def _problem(ended: Ended) -> str | None:
    if ended.traceback:
        return f"traceback: {ended.err.strip()[-300:]}"
    if ended.code not in (0, 1) or (ended.code == 1 and "Error:" not in ended.err):
        return f"exit status {ended.code}: {ended.err.strip()[-300:]}"
    return None


def two_at_once(home: Path, command: Command, reference: Reference, draws: random.Random) -> str | None:
    """Run a command twice at the same time; return what is amiss."""
    first = _start(home, command.words, slow=draws.random() < 0.5)
    time.sleep(draws.uniform(0, 0.2))
    second = _start(home, command.words)
    ended = (first.wait(), second.wait())
    if problem := _problem(ended[0]) or _problem(ended[1]):
        return problem
    if all(one.code != 0 for one in ended):
        return f"neither finished: {ended[0].err.strip()[-200:]} | {ended[1].err.strip()[-200:]}"
    again = plain(home, command.words)
    if again.code != 0:
        return f"run again: {again.err.strip()[-300:]}"
    if (now := snapshot(home / WORK)) != reference.after:
        names = sorted(n for n in {*now, *reference.after} if now.get(n) != reference.after.get(n))
        return f"{len(names)} files differ: {', '.join(names[:4])}"
    return f"left over: {', '.join(left)}" if (left := leftovers(home / WORK)) else None


def readers_meanwhile(home: Path, command: Command, reference: Reference, draws: random.Random) -> str | None:
    """Run commands that read while a slow one writes; return what is amiss."""
    readers = [c for c in known_commands() if c.name in ("status", "verify")]
    readers.append(Command("report", ("report", "--out", "seen", "--force")))
    readers.append(Command("ttest", ("ttest", "--n", "18", "--dry-run")))
    readers.append(Command("generate", ("generate", "--aug", "none", "--n", "18", "--count", "2", "--dry-run")))
    writer = _start(home, command.words, slow=True)
    problem = None
    while not writer.poll() and problem is None:
        problem = _problem(_start(home, draws.choice(readers).words).wait())
    ended = writer.wait()
    if problem := problem or _problem(ended):
        return problem
    if ended.code != 0:
        return f"the writer: {ended.err.strip()[-300:]}"
    now = snapshot(home / WORK)
    return None if now == reference.after else "the writer's result differs"


def run_together(base: Path, seed: int, count: int, only: list[str], quiet: bool) -> list[str]:
    """Run `count` cases, print their counts, and return the lines of those where something was amiss."""
    if count == 0:
        return []
    draws, home = random.Random(seed), base.with_name("together")
    kinds: dict[str, Callable[[Path, Command, Reference, random.Random], str | None]] = {
        "two at once": two_at_once,
        "readers meanwhile": readers_meanwhile,
    }
    writers = [
        command
        for command in known_commands()
        if command.name not in ("status", "doctor", "weights", "verify", "clean")
    ]
    references: dict[str, Reference] = {}
    amiss: list[str] = []
    table: Counter[tuple[str, bool]] = Counter()
    for i in range(count):
        kind = list(kinds)[i % 2]
        command = draws.choice(writers)
        own_seed = draws.randrange(2**31)
        line = f"{kind} / {command.name} / {own_seed}"
        if not all(word in line for word in only):
            continue
        if command.name not in references:
            references[command.name] = reference_of(base, home, command)
        copy_home(base, home, command.without)
        problem = kinds[kind](home, command, references[command.name], random.Random(own_seed))
        table[kind, problem is None] += 1
        if not quiet:
            print(f"{'fine' if problem is None else 'amiss'}: {line} / {problem or ''}", flush=True)
        if problem is not None:
            amiss.append(f"{line}: {problem}")
    for kind in kinds:
        print(f"{kind}: {table[kind, True]} of {table[kind, True] + table[kind, False]} fine", flush=True)
    return amiss
