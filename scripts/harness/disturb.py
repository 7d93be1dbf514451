"""Faults while a command works."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from harness.places import (
    COMMANDS,
    WORK,
    Command,
    Reference,
    copy_home,
    known_commands,
    leftovers,
    plain,
    run_command,
    snapshot,
)
from harness.processes import Ended, limit_file_size
from harness.shim import FAULTS, SIGNALS, Shim, fault_action, removed_place

VERDICTS = ("survived", "lost", "half-written", "traceback")
CLOCK_JUMPS_S = (-20 * 365 * 86400.0, -3600.0, 3600.0, 60 * 365 * 86400.0)


def reference_of(base: Path, home: Path, command: Command) -> Reference:
    """Run a command undisturbed, and count its events."""
    copy_home(base, home, command.without)
    work, counted = home / WORK, home / "events"
    before = snapshot(work)
    shim = Shim(work)

    def count(_move: Callable[[float], None]) -> None:
        real_exit = os._exit

        def note_and_exit(code: int) -> None:
            counted.write_text(str(shim.count))
            real_exit(code)

        os._exit = note_and_exit  # type: ignore[assignment]

    ended = run_command(home, command.words, shim, count).wait()
    if ended.code != 0:
        raise SystemExit(f"{command.name} undisturbed: exit status {ended.code}\n{ended.err}")
    after = snapshot(work)
    sizes = sorted({(work / name).stat().st_size for name in after if before.get(name) != after[name]})
    return Reference(before, after, int(counted.read_text()), sizes)


def disturbed(home: Path, command: Command, fault: str, at: int, amount: float) -> Ended:
    """Run a command with a fault at event `at`; for the size limit and the clock `amount` says how much."""
    work = home / WORK
    shim = Shim(work)

    def prepare(move: Callable[[float], None]) -> None:
        if fault == "size limit":
            limit_file_size(int(amount))
            return
        shim.at, shim.act = at, fault_action(fault, move, amount)
        if fault == "clock":
            for path in work.rglob("*"):
                os.utime(path, (max(0.0, 1.75e9 + amount),) * 2)

    ended = run_command(home, command.words, shim, prepare).wait()
    gone = removed_place(work)
    if gone.exists():
        if work.exists():
            shutil.rmtree(work)
        gone.rename(work)
    return ended


def verdict_of(home: Path, command: Command, reference: Reference, fault: str, ended: Ended) -> tuple[str, str]:
    """Return what became of the command and its workspace, and why."""
    work = home / WORK
    allowed = {0, 1} | ({130, -SIGNALS[fault]} if fault in SIGNALS else set())
    if ended.traceback:
        return "traceback", _tail(ended.err)
    if ended.code not in allowed:
        return "traceback", f"exit status {ended.code}: {_tail(ended.err)}"
    if ended.code == 1 and "Error:" not in ended.err:
        return "traceback", f"exit status 1 without a message: {_tail(ended.err)}"
    if bad := reference.half_written(work):
        return "half-written", ", ".join(bad)
    if ended.code == 0 and fault != "removed" and snapshot(work) != reference.after:
        return "lost", f"exit status 0 with other files: {_differences(snapshot(work), reference.after)}"
    again = plain(home, command.words)
    if again.traceback:
        return "traceback", "when run again: " + _tail(again.err)
    if again.code != 0:
        return "lost", f"run again: exit status {again.code}: {_tail(again.err)}"
    if (now := snapshot(work)) != reference.after:
        return "lost", f"run again: {_differences(now, reference.after)}"
    if left := leftovers(work):
        return "lost", f"left over: {', '.join(left)}"
    return "survived", ended.err.strip().rpartition("Error:")[2].strip().replace("\n", " ")[:200]


def _tail(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-4:])[-400:]


def _differences(now: dict[str, str], wanted: dict[str, str]) -> str:
    names = sorted(name for name in {*now, *wanted} if now.get(name) != wanted.get(name))
    return f"{len(names)} files differ: {', '.join(names[:4])}"


def draw_cases(references: dict[str, Reference], count: int, seed: int) -> list[tuple[str, str, int, float]]:
    """Spread `count` faults evenly over commands and kinds; the events are drawn."""
    draws = random.Random(seed)
    slow = {command.name for command in COMMANDS if command.slow}
    cells = [(name, fault) for name in references for fault in FAULTS]
    often = [(name, fault) for name, fault in cells if name not in slow]
    cases = []
    for i in range(count):
        name, fault = cells[i] if i < len(cells) else often[(i - len(cells)) % len(often)]
        reference = references[name]
        at, amount = draws.randint(1, max(reference.events, 1)), 0.0
        if fault == "size limit":
            amount = float(draws.choice([max(size // 2, 1) for size in reference.sizes] or [100]))
        elif fault == "clock":
            amount = draws.choice(CLOCK_JUMPS_S)
        cases.append((name, fault, at, amount))
    return cases


def disturb_all(base: Path, seed: int, count: int, only: list[str], quiet: bool) -> list[str]:
    """Run `count` faults, print the table, and return the lines of those that were not survived."""
    if count == 0:
        return []
    home = base.with_name("disturbed")
    commands = {command.name: command for command in known_commands()}
    references = {name: reference_of(base, home, command) for name, command in commands.items()}
    table: Counter[tuple[str, str, str]] = Counter()
    amiss = []
    for name, fault, at, amount in draw_cases(references, count, seed):
        line = f"{name} / {fault} / event {at} of {references[name].events}" + (f" / {amount:g}" if amount else "")
        if not all(word in line for word in only):
            continue
        copy_home(base, home, commands[name].without)
        ended = disturbed(home, commands[name], fault, at, amount)
        verdict, why = verdict_of(home, commands[name], references[name], fault, ended)
        table[name, fault, verdict] += 1
        if not quiet:
            print(f"{verdict}: {line} / exit {ended.code} / {why}", flush=True)
        if verdict != "survived":
            amiss.append(f"{verdict}: {line}: {why}")
    print(f"\nFaults, seed {seed}: survived of all, by command and fault")
    print(f"{'':24}" + "".join(f"{fault:>12}" for fault in FAULTS))
    for name in references:
        cells = []
        for fault in FAULTS:
            counts = {verdict: table[name, fault, verdict] for verdict in VERDICTS}
            cells.append(f"{counts['survived']}/{sum(counts.values())}".rjust(12))
        print(f"{name:24}" + "".join(cells))
    totals = {verdict: sum(n for (_, _, v), n in table.items() if v == verdict) for verdict in VERDICTS}
    print(f"{sum(totals.values())} faults: " + ", ".join(f"{n} {verdict}" for verdict, n in totals.items()), flush=True)
    return amiss
