"""Commands as functions of a session and their options, for tests that look at what a step does."""

from __future__ import annotations

from typing import Any

from usgan_cli.cli import COMMANDS
from usgan_cli.core.options import options_of
from usgan_cli.terminal.session import Session, step_of

_OPTIONS = {options.COMMAND: options for options in COMMANDS}


def call(command: str, session: Session, **options: Any) -> Any:
    """Return what carrying a command out comes to, in the session's workspace and as the session asks."""
    cls = _OPTIONS[command]
    shared = {name: getattr(session, name) for name in ("force", "refresh", "dry_run", "quiet")}
    known = {one.name for one in options_of(cls)}
    common = {name: value for name, value in shared.items() if name in known}
    typed = cls(work=session.workspace.root, **common, **options)
    return step_of(typed)(typed, session)


def phantom(session: Session, **options: Any) -> Any:
    return call("phantom", session, **options)


def prepare(session: Session, **options: Any) -> Any:
    return call("prepare", session, **options)


def subsample(session: Session, **options: Any) -> Any:
    return call("subsample", session, **options)


def train_gan(session: Session, **options: Any) -> Any:
    return call("train-gan", session, **options)


def generate(session: Session, **options: Any) -> Any:
    return call("generate", session, **options)


def score(session: Session, **options: Any) -> Any:
    return call("score", session, **options)


def train_cls(session: Session, **options: Any) -> Any:
    return call("train-cls", session, **options)


def ttest(session: Session, **options: Any) -> Any:
    return call("ttest", session, **options)


def report(session: Session, **options: Any) -> Any:
    return call("report", session, **options)


def study(session: Session, name: str, **options: Any) -> Any:
    return call("study", session, name=name, **options)


def status(session: Session, **options: Any) -> Any:
    return call("status", session, **options)
