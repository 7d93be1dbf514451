"""The commands as Python functions: their options as keyword arguments, what came of them as the result.

    import usgan_cli as usgan

    usgan.prepare(source="Dataset_BUSI_with_GT", work="work")
    usgan.subsample(n=[100], work="work")
    gan = usgan.train_gan(aug="diffaug", n=100, work="work")
    images = usgan.generate(gan=gan.path, count=300, work="work")
    scored = usgan.score(synthetic=images.path, extractor="efficientnet-lite2", work="work")
    print(scored.status, scored.result["fake"]["fd"])

Functions skip, refuse and continue as the commands do, report progress on standard error (`quiet=True` for warnings
alone), and raise a `UsganError` with the next move where a command would end with a message.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from usgan_cli.commands.card import Card
from usgan_cli.commands.common import InWorkspace
from usgan_cli.commands.generate import Generate
from usgan_cli.commands.phantom import Phantom
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.report import Report
from usgan_cli.commands.score import Score
from usgan_cli.commands.subsample import Subsample
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.commands.ttest import Ttest
from usgan_cli.core.options import Options, options_of
from usgan_cli.core.store.step import Outcome
from usgan_cli.terminal.session import Session, perform

P = ParamSpec("P")
R = TypeVar("R")


def _function(name: str, options: Callable[P, InWorkspace], returns: type[R]) -> Callable[P, R]:
    """Return the function that carries a command out: it has the parameters of the command's options."""

    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        given = options(*args, **{**_from_environment(options), **kwargs})  # type: ignore[arg-type]
        return cast("R", perform(given, Session.of(given)))

    function.__name__ = function.__qualname__ = name
    function.__dict__["__signature__"] = inspect.signature(options).replace(return_annotation=returns)
    function.__doc__ = _documentation(options)
    return function


def _from_environment(options: Any) -> dict[str, str]:
    """Return the options that environment variables give, as they do on the command line."""
    variables = {one.name: one.traits.variable for one in options_of(options) if one.traits.variable}
    return {name: os.environ[variable] for name, variable in variables.items() if os.environ.get(variable)}


def _documentation(options: Any) -> str:
    """Return the command's help, with a paragraph for each option."""
    cls: type[Options] = options
    lines = [inspect.getdoc(cls) or "", "", "Parameters", "----------"]
    for one in options_of(cls):
        kind = " or ".join(map(repr, one.choices)) or " or ".join(kind.__name__ for kind in one.types)
        kind = kind if one.length is None else f"sequence of {kind}"
        lines += [f"{one.name} : {kind}{'' if one.required else ', optional'}", f"    {one.traits.help}"]
    return "\n".join(lines)


phantom = _function("phantom", Phantom, Outcome)
prepare = _function("prepare", Prepare, Outcome)
subsample = _function("subsample", Subsample, list[Outcome])
train_gan = _function("train_gan", TrainGan, Outcome)
generate = _function("generate", Generate, Outcome)
score = _function("score", Score, Outcome)
train_classifier = _function("train_classifier", TrainClassifier, Outcome)
compare = _function("compare", Ttest, Outcome)
report = _function("report", Report, Outcome)
card = _function("card", Card, Outcome)
