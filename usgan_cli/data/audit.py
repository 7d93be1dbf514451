"""What preparing found, for people: a table for the terminal and a page with the copies and conflicts as pictures."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.store import files
from usgan_cli.data.copies.groups import Duplicates
from usgan_cli.data.copies.near import NearPair

Side = Literal["train", "test", "dropped"]

SIDES: dict[Side, str] = {"train": "training", "test": "test", "dropped": "dropped"}

_MOST_GROUPS, _MOST_MEMBERS = 200, 24
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class AuditImage:
    """One image of the source that could be decoded.

    Attributes
    ----------
    source : str
        Path in the source.
    label : str
    side : "train", "test" or "dropped"
        Where it went.
    height, width : int
        Original size, pixels.
    coloured : bool
        Whether coloured pixels are burnt in.
    thumbnail : uint8 array [128, 128]
    """

    source: str
    label: str
    side: Side
    height: int
    width: int
    coloured: bool
    thumbnail: Pixels


@dataclass(frozen=True)
class Audit:
    """What preparing found in a source and did with it.

    Attributes
    ----------
    source : str
        Name of the source.
    classes : sequence of str
    images : sequence of AuditImage
    left_out : sequence of LeftOut
        What is not among `images`.
    duplicates : Duplicates
        Of `images`, by index.
    policy : str
        What was done with duplicates: "group", "drop" or "ignore".
    conflict_policy : str
        What was done with conflicts: "keep" or "drop".
    """

    source: str
    classes: Sequence[str]
    images: Sequence[AuditImage]
    left_out: Sequence[LeftOut]
    duplicates: Duplicates
    policy: str
    conflict_policy: str

    def used(self) -> list[AuditImage]:
        """Return the images of the dataset."""
        return [image for image in self.images if image.side != "dropped"]

    def divided(self) -> list[list[int]]:
        """Return the groups of copies with images on both sides of the split."""
        sides = ((group, {self.images[i].side for i in group}) for group in self.duplicates.repeated)
        return [group for group, found in sides if {"train", "test"} <= found]

    def rows(self) -> list[tuple[str, str]]:
        """Return the table of the audit: what, and how much of it."""
        used, dropped = self.used(), len(self.images) - len(self.used())
        rows = [("Decoded", _plural(len(self.images), "image"))]
        reasons = Counter(item.reason for item in self.left_out)
        rows += [(f"Left out: {reason}", str(count)) for reason, count in reasons.most_common()]
        if dropped:
            rows.append(("Dropped as copies or conflicts", str(dropped)))
        sides = Counter(image.side for image in used)
        rows.append(("Used", f"{len(used)}: {sides['train']} training, {sides['test']} test"))
        for name in self.classes:
            count = Counter(image.side for image in used if image.label == name)
            rows.append((f"  {name}", f"{count.total()}: {count['train']} training, {count['test']} test"))
        rows.append(("Original sizes", _sizes(self.images)))
        rows += self._copy_rows()
        rows.append(("Colour overlays", _plural(sum(image.coloured for image in self.images), "image")))
        return rows

    def _copy_rows(self) -> list[tuple[str, str]]:
        found = self.duplicates
        exact = sum(len(group) for group in found.exact)
        touched = {i for pair in found.near for i in (pair.first, pair.second)}
        grouped = sum(len(group) for group in found.repeated)
        mirrored = sum(pair.mirrored for pair in found.near)
        rows = [
            ("Exact copies", f"{_plural(len(found.exact), 'picture')}, {_plural(exact, 'image')}"),
            (
                "Near-copies",
                f"{_plural(len(found.near), 'pair')}, {_plural(len(touched), 'image')}"
                + (f", {mirrored} mirrored" if mirrored else ""),
            ),
            ("Groups of copies", f"{_plural(len(found.repeated), 'group')}, {_plural(grouped, 'image')}"),
            ("  on both sides of the split", _plural(len(self.divided()), "group")),
            ("Much alike, no copies", _plural(len(found.related), "pair")),
        ]
        wrong = sum(len(group) for group in found.conflicts)
        rows.append(("Conflicts of labels", f"{_plural(len(found.conflicts), 'picture')}, {_plural(wrong, 'image')}"))
        return rows


@dataclass(frozen=True)
class _Shown:
    """An image on the page."""

    image: AuditImage
    jpeg: bytes
    side: str


@dataclass(frozen=True)
class _Group:
    """Images on the page that belong together."""

    title: str
    facts: str
    members: list[_Shown]
    more: int
    divided: bool


def write_audit(path: Path, audit: Audit) -> None:
    """Write the audit as one HTML page that needs no other file."""
    files.write_text(path, render(audit))


def render(audit: Audit) -> str:
    """Return the audit as HTML."""
    environment = Environment(
        loader=PackageLoader("usgan_cli.data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["data_uri"] = _data_uri
    found = audit.duplicates
    links = _Links(found)
    groups = sorted(found.repeated, key=lambda group: (-len(group), group))
    related = sorted(found.related, key=lambda pair: (-pair.score, pair.first, pair.second))
    return environment.get_template("audit.html").render(
        audit=audit,
        rows=audit.rows(),
        finding=_finding(audit),
        what_was_done=_what_was_done(audit),
        conflicts=[_group(audit, links, group) for group in found.conflicts],
        groups=[_group(audit, links, group) for group in groups[:_MOST_GROUPS]],
        more_groups=len(groups[_MOST_GROUPS:]),
        related=[_pair(audit, pair) for pair in related[:_MOST_GROUPS]],
        more_related=len(related[_MOST_GROUPS:]),
        lost=[item for item in audit.left_out if item.reason not in _EXPECTED],
    )


_EXPECTED = frozenset({"mask", "hidden file"})
"""Reasons to leave a file out that need no list of names."""


class _Links:
    """Scores of the direct links between images."""

    def __init__(self, duplicates: Duplicates) -> None:
        near = {(pair.first, pair.second): pair for pair in duplicates.near}
        stands = {i: group[0] for group in duplicates.exact for i in group}
        self.pairs = {(a, b): near.get(self._key(stands, a, b)) for a, b in duplicates.links()}

    @staticmethod
    def _key(stands: dict[int, int], a: int, b: int) -> tuple[int, int]:
        first, second = sorted((stands.get(a, a), stands.get(b, b)))
        return first, second

    def within(self, members: Sequence[int]) -> str:
        """Say how the members of a group are linked."""
        inside = set(members)
        pairs = [pair for (a, b), pair in self.pairs.items() if a in inside and b in inside]
        scores = sorted({round(pair.score, 2) for pair in pairs if pair is not None})
        said = []
        if any(pair is None for pair in pairs):
            said.append("same pixels")
        if scores:
            said.append(f"agreement {scores[0]:.2f}" + (f" to {scores[-1]:.2f}" if len(scores) > 1 else ""))
        mirrored = sum(pair is not None and pair.mirrored for pair in pairs)
        if mirrored:
            said.append("mirrored")
        if len(pairs) < len(inside) * (len(inside) - 1) // 2:
            said.append(f"{_plural(len(pairs), 'direct link')}")
        return ", ".join(said)


def _group(audit: Audit, links: _Links, members: Sequence[int]) -> _Group:
    return _assembled(audit, members, links.within(members))


def _pair(audit: Audit, pair: NearPair) -> _Group:
    facts = f"agreement {pair.score:.2f}" + (", mirrored" if pair.mirrored else "")
    return _assembled(audit, [pair.first, pair.second], facts)


def _assembled(audit: Audit, members: Sequence[int], facts: str) -> _Group:
    images = [audit.images[i] for i in members]
    sides = Counter(image.side for image in images)
    divided = {"train", "test"} <= set(sides)
    where = ", ".join(f"{sides[side]} {SIDES[side]}" for side in SIDES if side in sides)
    shown = [_Shown(image, _jpeg(image.thumbnail), SIDES[image.side]) for image in images[:_MOST_MEMBERS]]
    return _Group(f"{len(images)} images: {where}", facts, shown, len(images[_MOST_MEMBERS:]), divided)


def _finding(audit: Audit) -> str:
    """Say in one or two sentences what matters most."""
    found, used = audit.duplicates, audit.used()
    grouped = sum(len(group) for group in found.repeated)
    if not found.repeated:
        return f"No copies were found among the {len(audit.images)} images."
    said = f"{grouped} of the {len(audit.images)} images are copies or near-copies of one another."
    divided = audit.divided()
    if divided:
        leaked = sum(audit.images[i].side == "test" for group in divided for i in group)
        test = sum(image.side == "test" for image in used)
        said += f" {leaked} of the {test} test images have a copy in the training set: scores will be too good."
    if found.conflicts:
        one = len(found.conflicts) == 1
        said += f" {_plural(len(found.conflicts), 'picture')} {'stands' if one else 'stand'} under more than one label."
    return said


def _what_was_done(audit: Audit) -> str:
    done = {
        "group": "Each group of copies was kept on one side of the split.",
        "drop": "Of copies, the largest original was kept and the others dropped.",
        "ignore": "Copies were ignored when the split was drawn, as in the published protocol.",
    }[audit.policy]
    if audit.duplicates.conflicts:
        dropped = audit.conflict_policy == "drop"
        done += " Images under conflicting labels were " + ("dropped." if dropped else "kept as they are.")
    return done


def _sizes(images: Sequence[AuditImage]) -> str:
    if not images:
        return "none"
    sizes = Counter((image.width, image.height) for image in images)
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        return f"{width} x {height} pixels, all"
    widths, heights = [image.width for image in images], [image.height for image in images]
    return (
        f"{min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high, "
        f"median {median(widths):g} x {median(heights):g} pixels"
    )


def _plural(count: int, one: str) -> str:
    return f"{count} {one if count == 1 else one + 's'}"


def _jpeg(thumbnail: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(thumbnail).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
