"""What `prepare` reports while it works: files left out, copies, groups, and what a person should look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images.deep import Bits
from usgan_cli.core.progress import Progress
from usgan_cli.core.text import listed, plural
from usgan_cli.data.copies.groups import ConflictPolicy, DuplicatePolicy, Duplicates, Groups, divided
from usgan_cli.data.source import classes, files, masks
from usgan_cli.data.source.contents import ImageSource
from usgan_cli.data.source.decode import UNDECODABLE, Decoded

DARK = 26
"""A tenth of the range of gray levels."""

_GROUPS_FROM = {
    "csv": "the table of groups",
    "folder": "folder",
    "column": "the column group",
    "PatientID": "PatientID",
}


def is_loss(item: LeftOut) -> bool:
    """Return whether someone may believe a file that was left out to be in the dataset."""
    return item.reason not in {masks.MASK, classes.NOT_AN_IMAGE, classes.NOT_CHOSEN, files.HIDDEN}


def reason_of(item: LeftOut) -> str:
    """Return why a file was left out, in its reader's own words."""
    return item.reason.removeprefix(UNDECODABLE).lstrip(": ")


def report_left_out(source: ImageSource, undecodable: Sequence[LeftOut], progress: Progress) -> None:
    """Report the files that are not in the dataset: a warning where someone may believe that they are."""
    every = [*source.left_out, *undecodable]
    if count := sum(item.reason == masks.MASK for item in every):
        progress.note(f"Left out {plural(count, 'mask')} found beside the images.")
    broken = [item for item in undecodable if item.reason.startswith(UNDECODABLE)]
    others = [item for item in every if item not in broken and item.reason not in {masks.MASK, files.HIDDEN}]
    for reason in dict.fromkeys(item.reason for item in others):
        those = [item for item in others if item.reason == reason]
        report = progress.warn if is_loss(those[0]) else progress.note
        report(f"Left out {plural(len(those), 'entry', 'entries')} ({reason}): {listed([i.source for i in those])}.")
    if broken:
        names = [f"{item.source} ({reason_of(item)})" for item in broken]
        progress.warn(f"Left out {plural(len(names), 'image')} that cannot be decoded: {listed(names)}.")


def report_decoded(source: ImageSource, decoded: Sequence[Decoded], size: int, progress: Progress) -> None:
    """Report the groups of images that stay together, and images smaller than the dataset's."""
    if source.unused_groups:
        progress.warn(f"{plural(source.unused_groups, 'path')} of the table of groups name no image.")
    if source.groups_from != "none":
        classes_of: dict[str | None, set[str]] = defaultdict(set)
        for item in decoded:
            classes_of[item.source.group].add(item.source.class_)
        mixed = sum(len(classes) > 1 for classes in classes_of.values())
        several = f"; {mixed} of them have images of several classes" if mixed else ""
        count = plural(len(classes_of), "group")
        progress.note(f"{count} of images by {_GROUPS_FROM[source.groups_from]} stay together{several}.")
    elif source.nested:
        progress.note(
            f"{plural(source.nested, 'image lies', 'images lie')} in folders inside the class folders. "
            "If these are patients, --groups folder keeps each on one side of the split."
        )
    else:
        progress.note(
            "Patients are not known: if one has several images, some may be for training and others for testing. "
            "--groups FILE.csv keeps them together."
        )
    small = sum(min(item.height, item.width) < size for item in decoded)
    if small:
        progress.note(f"{plural(small, 'image')} with a side below {size} pixels had to be enlarged.")


def left_out_by_content(names: Sequence[str]) -> str:
    """Return the warning of images left out for their gray values alone."""
    return f"Left out {plural(len(names), 'entry', 'entries')} ({masks.MASK_BY_CONTENT}): {listed(names)}."


def report_bits(bits: Bits, brightest: Sequence[int], progress: Progress) -> None:
    """Report the range of files with more than 8 bits, and warn if all images are dark."""
    words = {"integers": "0 to {}", "signed": "-{} to {}", "floats": "0 to {}"}
    for carrier, count in bits.of.items():
        if not bits.fixed:
            top = 2**count - 1 if carrier != "signed" else 2 ** (count - 1) - 1
            shown = words[carrier].format(*[top + 1, top] if carrier == "signed" else [top])
            progress.note(
                f"Gray values of more than 8 bits are scaled from {shown} ({plural(count, 'bit')}), the range that "
                "all such images use together. --bits fixes another."
            )
    if brightest and max(brightest) < DARK:
        progress.warn(
            f"All images are dark: none has a gray level above {max(brightest)} of 255. If their files use fewer bits "
            "than they could hold, name how many with --bits."
        )


def report_duplicates(
    duplicates: Duplicates,
    names: Sequence[str],
    policy: DuplicatePolicy,
    conflict_policy: ConflictPolicy,
    progress: Progress,
    *,
    own_split: bool,
) -> None:
    """Warn of copies and of copies under more than one class; `names` are the images' paths in the source.

    `own_split`: the source's own split is kept, which may divide copies.
    """
    if not duplicates.repeated:
        return
    copies = sum(len(group) for group in duplicates.repeated)
    done = {
        "group": f"They are kept on one side of {'every fold' if own_split else 'the split'}.",
        "drop": "The largest original of each is kept.",
        "ignore": "They are ignored (--duplicates ignore).",
    }[policy]
    pictures = plural(len(duplicates.repeated), "picture occurs", "pictures occur")
    exact = sum(len(group) for group in duplicates.exact)
    progress.warn(f"{pictures} more than once ({copies} images; {exact} of them have an exact copy). {done}")
    if duplicates.conflicts:
        conflicts = listed([" = ".join(names[i] for i in group) for group in duplicates.conflicts], "; ")
        stand = plural(len(duplicates.conflicts), "of these stands", "of these stand")
        left_out = " They are left out." if conflict_policy == "drop" else ""
        progress.warn(f"{stand} under more than one class, so a label is wrong: {conflicts}.{left_out}")


def report_split(classes: Sequence[str], total: NDArray[np.int64], test: NDArray[np.int64], progress: Progress) -> None:
    """Report how many images of each class, of `total`, are for training and for testing."""
    share = ", ".join(f"{name} {a}/{b}" for name, a, b in zip(classes, total - test, test, strict=True))
    progress.note(
        f"{plural(total.sum(), 'image')}: {(total - test).sum()} for training, {test.sum()} for testing ({share})."
    )


def report_inexact_split(
    classes: Sequence[str], test: NDArray[np.int64], exact: NDArray[np.int64], progress: Progress
) -> None:
    """Warn where groups prevented the classes' exact shares of the test side."""
    if (test != exact).any():
        got, meant = (", ".join(f"{name} {n}" for name, n in zip(classes, x, strict=True)) for x in (test, exact))
        progress.warn(
            f"Images that must stay together prevent the exact split: the test side has {got} instead of {meant}."
        )


def report_own_split(groups: Groups, in_test: NDArray[np.bool_], progress: Progress) -> None:
    """Warn where the source's own split divides a group."""
    if crossing := divided(groups, in_test):
        progress.warn(
            f"The source's own split divides {plural(len(crossing), 'group')} of copies or of one patient "
            f"({sum(map(len, crossing))} images), so the test side is not independent. Draw another: --split new"
        )


def report_divided(groups: Groups, in_test: NDArray[np.bool_], progress: Progress) -> None:
    """Warn of ignored copies on both sides of the split."""
    if crossing := divided(groups, in_test):
        leaked = sum(int(in_test[group].sum()) for group in crossing)
        progress.warn(
            f"{plural(len(crossing), 'group')} of copies {'lies' if len(crossing) == 1 else 'lie'} on both sides of "
            f"the split: {leaked} of {in_test.sum()} test images have a copy in the training set, and scores will be "
            "too good."
        )
