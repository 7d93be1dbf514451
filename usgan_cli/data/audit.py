"""The audit of a source: a table for the terminal, and a page that shows copies and conflicts as pictures."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.text import plural
from usgan_cli.data.copies.groups import ConflictPolicy, DuplicatePolicy, Duplicates, Links
from usgan_cli.data.source.decode import Decoded

Side = Literal["train", "test", "dropped"]

SIDES: dict[Side, str] = {"train": "training", "test": "test", "dropped": "dropped"}

_MOST_GROUPS, _MOST_MEMBERS = 200, 24
_JPEG_QUALITY = 85
_EXPECTED = frozenset({"mask", "hidden file"})
"""Reasons to leave a file out that need no list of names."""


@dataclass(frozen=True)
class AuditImage:
    """One image of the source that could be decoded, and where it went."""

    decoded: Decoded
    side: Side


@dataclass(frozen=True)
class Audit:
    """The images of a source, the copies among them, and what was done with both."""

    source: str
    classes: Sequence[str]
    images: Sequence[AuditImage]
    left_out: Sequence[LeftOut]
    duplicates: Duplicates
    """Of `images`, by index."""
    policy: DuplicatePolicy
    conflict_policy: ConflictPolicy
    own_split: bool
    """Whether the split is the one that the source came with."""

    def divided(self) -> list[list[int]]:
        """Return the groups of copies with images on both sides of the split."""
        groups = self.duplicates.repeated
        return [group for group in groups if {"train", "test"} <= {self.images[i].side for i in group}]

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the audit's table: what was counted, and the count."""
        used = [image for image in self.images if image.side != "dropped"]
        rows = [("Decoded", plural(len(self.images), "image"))]
        reasons = Counter(item.reason for item in self.left_out)
        rows += [(f"Left out: {reason}", str(count)) for reason, count in reasons.most_common()]
        if dropped := len(self.images) - len(used):
            rows.append(("Dropped as copies or conflicts", str(dropped)))
        sides = Counter(image.side for image in used)
        rows.append(("Used", f"{len(used)}: {sides['train']} training, {sides['test']} test"))
        for name in self.classes:
            count = Counter(image.side for image in used if image.decoded.source.class_ == name)
            rows.append((f"  {name}", f"{count.total()}: {count['train']} training, {count['test']} test"))
        rows.append(("Original sizes", _sizes(self.images)))
        rows += self._copy_rows()
        rows.append(("Colour overlays", plural(sum(image.decoded.coloured for image in self.images), "image")))
        return rows

    def _copy_rows(self) -> list[tuple[str, str]]:
        copies = self.duplicates
        near_images = {i for pair in copies.near for i in (pair.first, pair.second)}
        near = f"{plural(len(copies.near), 'pair')}, {plural(len(near_images), 'image')}"
        if mirrored := sum(pair.mirrored for pair in copies.near):
            near += f", {mirrored} mirrored"
        return [
            ("Exact copies", _groups_and_images(copies.exact, "picture")),
            ("Near-copies", near),
            ("Groups of copies", _groups_and_images(copies.repeated, "group")),
            ("  on both sides of the split", plural(len(self.divided()), "group")),
            ("Much alike, no copies", plural(len(copies.related), "pair")),
            ("Conflicts of labels", _groups_and_images(copies.conflicts, "picture")),
        ]


def _groups_and_images(groups: Sequence[Sequence[int]], kind: str) -> str:
    return f"{plural(len(groups), kind)}, {plural(sum(map(len, groups)), 'image')}"


@dataclass(frozen=True)
class _Group:
    """Images on the page that belong together."""

    title: str
    facts: str
    images: list[AuditImage]
    more: int
    divided: bool


def render(audit: Audit) -> str:
    """Return the audit as one HTML page that needs no other file."""
    environment = Environment(
        loader=PackageLoader("usgan_cli.data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"thumbnail_uri": _thumbnail_uri, "sides": SIDES}
    copies = audit.duplicates
    links = copies.links()
    groups = sorted(copies.repeated, key=lambda group: (-len(group), group))
    nearest_first = sorted(copies.related, key=lambda near: (-near.score, near.first, near.second))
    related = [((near.first, near.second), near) for near in nearest_first]
    return environment.get_template("audit.html").render(
        audit=audit,
        rows=audit.rows(),
        finding=_finding(audit),
        what_was_done=_what_was_done(audit),
        conflicts=[_group(audit, links, group) for group in copies.conflicts],
        groups=[_group(audit, links, group) for group in groups[:_MOST_GROUPS]],
        more_groups=len(groups[_MOST_GROUPS:]),
        related=[_group(audit, {pair: near}, pair) for pair, near in related[:_MOST_GROUPS]],
        more_related=len(related[_MOST_GROUPS:]),
        lost=[item for item in audit.left_out if item.reason not in _EXPECTED],
    )


def _how_linked(links: Links, indices: Sequence[int]) -> str:
    """Return how the images of a group are linked: "same pixels, agreement 0.90 to 0.97, mirrored"."""
    members = set(indices)
    inside = [pair for (a, b), pair in links.items() if a in members and b in members]
    near = [pair for pair in inside if pair is not None]
    facts = ["same pixels"] if len(near) < len(inside) else []
    if scores := sorted({round(pair.score, 2) for pair in near}):
        facts.append(f"agreement {scores[0]:.2f}" + (f" to {scores[-1]:.2f}" if len(scores) > 1 else ""))
    if any(pair.mirrored for pair in near):
        facts.append("mirrored")
    if len(inside) < len(members) * (len(members) - 1) // 2:
        facts.append(plural(len(inside), "direct link"))
    return ", ".join(facts)


def _group(audit: Audit, links: Links, indices: Sequence[int]) -> _Group:
    images = [audit.images[i] for i in indices]
    sides = Counter(image.side for image in images)
    counts = ", ".join(f"{sides[side]} {SIDES[side]}" for side in SIDES if side in sides)
    divided = {"train", "test"} <= set(sides)
    title = f"{len(images)} images: {counts}"
    return _Group(title, _how_linked(links, indices), images[:_MOST_MEMBERS], len(images[_MOST_MEMBERS:]), divided)


def _finding(audit: Audit) -> str:
    """Return one or two sentences about what matters most."""
    copies = audit.duplicates
    if not copies.repeated:
        return f"No copies were found among the {len(audit.images)} images."
    count = sum(map(len, copies.repeated))
    text = f"{count} of the {len(audit.images)} images are copies or near-copies of one another."
    if divided := audit.divided():
        leaked = sum(audit.images[i].side == "test" for group in divided for i in group)
        test = sum(image.side == "test" for image in audit.images)
        text += f" {leaked} of the {test} test images have a copy in the training set: scores will be too good."
    if copies.conflicts:
        text += f" {plural(len(copies.conflicts), 'picture stands', 'pictures stand')} under more than one label."
    return text


def _what_was_done(audit: Audit) -> str:
    done = {
        "group": "The source's own split was kept, whether it divides copies or not."
        if audit.own_split
        else "Each group of copies was kept on one side of the split.",
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
    sizes = Counter((image.decoded.width, image.decoded.height) for image in images)
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        return f"{width} x {height} pixels, all"
    widths, heights = zip(*sizes.elements(), strict=True)
    return (
        f"{min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high, "
        f"median {median(widths):g} x {median(heights):g} pixels"
    )


def _thumbnail_uri(thumbnail: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(thumbnail).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
