"""What of a study fits into a night: changes of its file, each of which would do, tried before they are said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from usgan_cli.study.config import StudyConfig
from usgan_cli.study.plan import primary_size

NIGHT_S = 8 * 3600.0
LEAST_REPEATS = 3
"""Repeats below which a study does not promise much."""
LEAST_KIMG, LEAST_MINUTES = 2.0, 1.0
"""Trainings shorter than this are not worth a study."""
LONGEST_KIMG = 1000.0
"""Where proposals begin for a study that leaves the length to its preset."""
NICE = (7.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0)

Length = Callable[[StudyConfig], float]
"""Returns the seconds of a study."""


@dataclass(frozen=True)
class Change:
    """Keys of a study's file with other values, and the study that they make."""

    text: str
    seconds: float
    config: StudyConfig


def fits_of_a_night(config: StudyConfig, length: Length, night_s: float = NIGHT_S) -> list[Change]:
    """Return changes that make a study fit, at most one of each kind; none if it fits as it is.

    Shorter trainings, fewer repeats, fewer sizes; if none of them does alone, all of them together.
    """
    if length(config) <= night_s:
        return []
    single = [
        _first(_shorter(config), length, night_s),
        _first(_fewer_repeats(config), length, night_s),
        _first(_fewer_sizes(config), length, night_s),
    ]
    found = [change for change in single if change is not None]
    if found:
        return found
    together = _first(_all_together(config), length, night_s)
    return [] if together is None else [together]


def _first(changes: Iterator[tuple[str, StudyConfig]], length: Length, night_s: float) -> Change | None:
    for text, changed in changes:
        if (seconds := length(changed)) <= night_s:
            return Change(text, seconds, changed)
    return None


def _shorter(config: StudyConfig) -> Iterator[tuple[str, StudyConfig]]:
    """Yield studies with shorter trainings, in numbers that read well, the longest first; no GAN trains longer."""
    gan = config.gan
    key, now, least = ("minutes", gan.minutes, LEAST_MINUTES) if gan.minutes else ("kimg", gan.kimg, LEAST_KIMG)
    lengths = [LONGEST_KIMG if now is None else now, *(table.get(key, 0) for table in config.gans.values())]
    for value in _below(max(lengths), least):
        own = {aug: {**table, key: value} for aug, table in config.gans.items() if table.get(key, 0) > value}
        general = {} if now is not None and now <= value else {key: value}
        places = [*(["gan"] if general else []), *(f"gan.{aug}" for aug in own)]
        text = ", ".join(f"{place}.{key} = {value:g}" for place in places)
        yield text, replace(config, gan=gan.replace(**general), gans={**config.gans, **own})


def _below(value: float, least: float) -> Iterator[float]:
    power = 10.0**9
    while power * NICE[0] >= least:
        yield from (part * power for part in NICE if least <= part * power < value)
        power /= 10


def _fewer_repeats(config: StudyConfig) -> Iterator[tuple[str, StudyConfig]]:
    seeds = config.grid.seeds
    for count in range(len(seeds) - 1, LEAST_REPEATS - 1, -1):
        kept = seeds[:count]
        yield f"grid.seeds = {list(kept)}", replace(config, grid=config.grid.replace(seeds=kept))


def _fewer_sizes(config: StudyConfig) -> Iterator[tuple[str, StudyConfig]]:
    for count in range(len(config.grid.sizes) - 1, 0, -1):
        kept = _smallest_sizes(config, count)
        yield f"grid.sizes = {list(kept)}", replace(config, grid=config.grid.replace(sizes=kept))


def _smallest_sizes(config: StudyConfig, count: int) -> tuple[int, ...]:
    """Return so many of the smallest sizes, the largest first; the primary comparison's is always among them."""
    needed = primary_size(config)
    kept = sorted(config.grid.sizes, key=lambda n: (n != needed, n))[:count]
    return tuple(sorted(kept, reverse=True))


def _all_together(config: StudyConfig) -> Iterator[tuple[str, StudyConfig]]:
    """Yield studies of the two smallest sizes and the fewest repeats with shorter trainings, then of one size."""
    seeds = config.grid.seeds[:LEAST_REPEATS]
    for count in (2, 1):
        sizes = _smallest_sizes(config, count)
        small = replace(config, grid=config.grid.replace(sizes=sizes, seeds=seeds))
        for text, changed in _shorter(small):
            yield f"grid.sizes = {list(sizes)}, grid.seeds = {list(seeds)}, {text}", changed
