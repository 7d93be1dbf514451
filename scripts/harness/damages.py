"""Damage to the files of a finished study, and what the commands that read them make of it."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.places import (
    FROZEN,
    GAN,
    NONE,
    SCORE,
    WORK,
    Command,
    copy_home,
    is_hidden,
    known_commands,
    plain,
    snapshot,
)

DAMAGES = ("empty", "truncate", "bit", "digit", "swap")
PICTURES = ("report/index.html", "report/run.json", "report/figures/")
VERDICTS = ("refused", "unchanged", "mended", "left out", "changed", "traceback")
"""Left out: a picture that is not shown, which a warning names; every number is as it was."""
VERIFIED = 5
"""`usgan verify` is run on one damage of so many."""


def _readers(*lists: tuple[str, ...]) -> tuple[Command, ...]:
    return tuple(Command(" ".join(words[:1]), words) for words in lists)


PREPARE = ("prepare", "work/phantoms", "--size", "32", "--test", "15", "--out", "fresh/data")
SUBSAMPLE = ("subsample", "--n", "12")
TRAIN = ("train-gan", *NONE, *GAN, "--kimg", "0.01", "--out", "fresh/gan")
LONGER = ("train-gan", *NONE, *GAN, "--kimg", "0.04")
GENERATE = ("generate", *NONE, "--count", "6", "--out", "fresh/images")
SCORED = ("score", *NONE, *SCORE, "--out", "fresh/score.json")
REAL = ("train-cls", "--n", "18", *FROZEN, "--out", "fresh/real")
ADDED = ("train-cls", *NONE, "--ratio", "1", *FROZEN, "--out", "fresh/added")
RESUMED = ("train-cls", "--n", "18", *FROZEN)
TTEST = ("ttest", "--n", "18", "--force")
REPORT = ("report", "--force")
STUDY = ("study", "tiny.toml")
STATUS = ("status",)

CONSUMERS: dict[str, tuple[Command, ...]] = {
    "phantoms": _readers(PREPARE, STUDY),
    "data": _readers(SUBSAMPLE, TRAIN, SCORED, REAL),
    "subsets": _readers(TRAIN, REAL, STUDY),
    "gans": _readers(GENERATE, LONGER, REPORT, STUDY),
    "synthetic": _readers(SCORED, ADDED, REPORT),
    "scores": _readers(REPORT, STUDY),
    "classifiers": _readers(RESUMED, TTEST, REPORT),
    "ttests": _readers(REPORT, STUDY),
    "cache": _readers(SCORED, REAL, ADDED),
    "report": _readers(("report",), STUDY),
    "study.json": _readers(STATUS, REPORT, STUDY),
}
"""The commands that read each part of a workspace; what they write lies in `fresh` or replaces what was there."""


@dataclass(frozen=True)
class Result:
    """What a consumer came to: its exit status, what it printed, and the files that it wrote."""

    code: int
    out: str
    err: str
    files: dict[str, str]


def damage(path: Path, kind: str, draws: random.Random) -> str | None:
    """Damage a file in place; return what was done, None if the file cannot be damaged in this way."""
    data = path.read_bytes()
    if kind == "swap" or not data:
        return _swap(path, draws) if data else None
    place = draws.randrange(len(data))
    if kind == "empty":
        changed, said = b"", "emptied"
    elif kind == "truncate":
        changed, said = data[:place], f"cut to {place} of {len(data)} bytes"
    elif kind == "bit":
        bit = draws.randrange(8)
        changed, said = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :], f"bit {bit} of byte {place}"
    else:
        digits = [match.start() for match in re.finditer(rb"\d", data)]
        if not digits or path.suffix in (".png", ".gif", ".safetensors", ".zip", ".npz"):
            return None
        place = draws.choice(digits)
        other = draws.choice([digit for digit in b"0123456789" if digit != data[place]])
        changed = data[:place] + bytes([other]) + data[place + 1 :]
        said = f"digit at byte {place}: {chr(data[place])} becomes {chr(other)}"
    path.write_bytes(changed)
    return said


def _swap(path: Path, draws: random.Random) -> str | None:
    """Exchange a file with another of its kind: one in the same folder, or that of the same name in the next folder."""
    own = path.read_bytes()
    others = [
        other for other in path.parent.iterdir() if other.suffix == path.suffix and not is_hidden(Path(other.name))
    ]
    others += [folder / path.name for folder in path.parent.parent.iterdir() if (folder / path.name).is_file()]
    different = [other for other in sorted(set(others)) if other.is_file() and other.read_bytes() != own]
    if not different:
        return None
    other = draws.choice(different)
    theirs = other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(own)
    return f"exchanged with {other.parent.name}/{other.name}"


def consume(home: Path, command: Command) -> Result:
    """Run a consumer and undo nothing: `home` is used once."""
    before = snapshot(home / WORK)
    ended = plain(home, (*command.words, "--json"))
    after = snapshot(home / WORK)
    written = {name: digest for name, digest in after.items() if before.get(name) != digest}
    fresh = snapshot(home / "fresh") if (home / "fresh").exists() else {}
    files = {**written, **{f"fresh/{name}": digest for name, digest in fresh.items()}}
    return Result(ended.code, ended.out, ended.err, files)


def judge(damaged: Result, sound: Result, finished: dict[str, str], name: str) -> tuple[str, str]:
    """Return what a consumer made of a damage to `name`; `finished` are the files of the undamaged study."""
    if "Traceback (most recent call last)" in damaged.err or (damaged.code == 1 and "Error:" not in damaged.err):
        return "traceback", damaged.err.strip()[-300:].replace("\n", " | ")
    if damaged.code != 0:
        return "refused", damaged.err.partition("Error:")[2].strip().replace("\n", " ")[:300]
    # What was damaged may have been made again, as it was.
    mended = [
        name for name, digest in damaged.files.items() if name not in sound.files and finished.get(name) == digest
    ]
    own = {name: digest for name, digest in damaged.files.items() if name not in mended}
    if own == sound.files and (damaged.out == sound.out or mended):
        return ("mended" if mended else "unchanged"), ", ".join(mended[:3])
    other = sorted(f for f in {*own, *sound.files} if own.get(f) != sound.files.get(f))
    where = f"{len(other)} files differ: {', '.join(other[:4])}" if other else "its output differs"
    warned = name not in sound.err and any(name in line and "Warning: " in line for line in damaged.err.splitlines())
    pictures = all(file.startswith(PICTURES) for file in other)
    if name.endswith(".png") and warned and pictures:
        return "left out", f"{where}, and a warning says why"
    return "changed", f"{where}; said: {damaged.err.strip()[-200:]}".replace("\n", " | ")


def draw_damages(base: Path, count: int, seed: int) -> list[tuple[str, str, int, Command]]:
    """Return the file, the kind, the seed and the consumer of `count` damages.

    The parts of a study take turns, so that each has its share; within a part records come before pictures and the
    report's tables.
    """
    draws = random.Random(seed)
    parts: dict[str, list[str]] = {}
    for name in sorted(snapshot(base / WORK)):
        if (top := name.partition("/")[0]) in CONSUMERS:
            parts.setdefault(top, []).append(name)
    for names in parts.values():
        draws.shuffle(names)
        names.sort(key=lambda name: name.endswith((".png", ".svg", ".md", ".tex")))
    cases: list[tuple[str, str, int, Command]] = []
    turn = 0
    while len(cases) < count:
        for top, names in parts.items():
            name, kind = names[turn // len(DAMAGES) % len(names)], DAMAGES[turn % len(DAMAGES)]
            cases.append((name, kind, draws.randrange(2**31), draws.choice(CONSUMERS[top])))
        turn += 1
    return cases[:count]


class Damages:
    """Runs damages, one after another, in copies of the finished study."""

    def __init__(self, base: Path) -> None:
        self.base, self.home = base, base.with_name("damaged")
        self.finished = snapshot(base / WORK)
        self.sound: dict[tuple[str, ...], Result] = {}
        self.verify = {command.name: command for command in known_commands()}.get("verify")

    def copy(self) -> Path:
        """Return a fresh copy of the finished study."""
        copy_home(self.base, self.home)
        return self.home

    def undamaged(self, command: Command) -> Result:
        """Return what a consumer comes to in the finished study."""
        if command.words not in self.sound:
            self.sound[command.words] = consume(self.copy(), command)
            if self.sound[command.words].code != 0:
                raise SystemExit(f"{command.words} undamaged: {self.sound[command.words].err}")
        return self.sound[command.words]

    def run(self, name: str, kind: str, seed: int, command: Command) -> tuple[str, str] | None:
        """Damage a file and run a consumer; return the verdict and why, None if the damage is not possible."""
        sound = self.undamaged(command)
        said = damage(self.copy() / WORK / name, kind, random.Random(seed))
        if said is None:
            return None
        verdict, why = judge(consume(self.home, command), sound, self.finished, name)
        return verdict, f"{said} / {why}"

    def seen_by_verify(self, name: str, kind: str, seed: int) -> bool | None:
        """Return whether `usgan verify` finds a damage; None if this version has no such command."""
        if self.verify is None:
            return None
        damage(self.copy() / WORK / name, kind, random.Random(seed))
        return plain(self.home, self.verify.words).code == 1


def damage_all(base: Path, seed: int, count: int, only: list[str], quiet: bool) -> list[str]:
    """Do `count` damages, print the table, and return the lines of those that were silently accepted."""
    if count == 0:
        return []
    damages, table, amiss = Damages(base), Counter[tuple[str, str, str]](), []
    seen: Counter[bool | None] = Counter()
    # Some damages are not possible (a digit of a picture): draw more.
    for i, (name, kind, own_seed, command) in enumerate(draw_damages(base, 2 * count, seed)):
        line = f"{name} / {kind} / {own_seed} / {' '.join(command.words[:3])}"
        if sum(table.values()) == count or not all(word in line for word in only):
            continue
        if (judged := damages.run(name, kind, own_seed, command)) is None:
            continue
        verdict, why = judged
        table[name.partition("/")[0], kind, verdict] += 1
        if verdict in ("changed", "traceback"):
            amiss.append(f"{verdict}: {line} / {why}")
        if i % VERIFIED == 0:
            seen[found := damages.seen_by_verify(name, kind, own_seed)] += 1
            why += " / not seen by verify" if found is False else ""
        if not quiet:
            print(f"{verdict}: {line} / {why}", flush=True)
    _print_table(table, seed)
    print(f"`usgan verify` found {seen[True]} of {seen[True] + seen[False]} of them", flush=True)
    return amiss


def _print_table(table: Counter[tuple[str, str, str]], seed: int) -> None:
    """Print how often each kind of damage to each part was refused, mended, without effect, and accepted."""
    print(f"\nDamages, seed {seed}: refused/mended/unchanged/left out/changed by part and kind")
    print(f"{'':14}" + "".join(f"{kind:>14}" for kind in DAMAGES))
    for top in CONSUMERS:
        cells = []
        for kind in DAMAGES:
            counts = [table[top, kind, verdict] for verdict in ("refused", "mended", "unchanged", "left out")]
            cells.append("/".join(map(str, [*counts, table[top, kind, "changed"] + table[top, kind, "traceback"]])))
        print(f"{top:14}" + "".join(cell.rjust(14) for cell in cells))
    totals = {verdict: sum(n for (_, _, v), n in table.items() if v == verdict) for verdict in VERDICTS}
    print(f"{sum(totals.values())} damages: " + ", ".join(f"{n} {verdict}" for verdict, n in totals.items()))
