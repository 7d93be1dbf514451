"""The tables of what each GAN learned by heart: copies among its images, and how its saved generators went on."""

from __future__ import annotations

from usgan_cli.core.formats.score import (
    COPIES_FOUND,
    NEARER,
    Copying,
    Memorization,
    SnapshotScore,
    SnapshotsRecord,
    distance_name,
)
from usgan_cli.core.table import Cell, Column, Interval, Table, Words
from usgan_cli.core.text import gan_label, number
from usgan_cli.reporting.groups import ScoreGroup, SnapshotGroup
from usgan_cli.reporting.tables import LEAD, GanRow, by_subset

VERDICTS = {"none": "no sign of copies", "some": "some may be copies", "copies": "copies"}


def copying_table(group: ScoreGroup) -> Table:
    """Return how many images lie as close to real ones as copies would, for every GAN that was checked."""
    training, test, authentic = "As close to a training image, %", "As close to a test image, %", "Authentic, %"
    columns: list[Column[GanRow[Memorization]]] = [
        *LEAD,
        Words("GAN", "gan", lambda row: gan_label(row.key.aug)),
        Words("Verdict", "verdict", lambda row: _verdict(row.record)),
        _share("By features", "train_features", training),
        _share("By pixels", "train_pixels", training),
        _share("By features", "test_features", test),
        _share("By pixels", "test_pixels", test),
        Column("GAN", "authenticity", lambda row: row.record.authenticity, 0, 100, group=authentic),
        Column("Test images", "authenticity_test", lambda row: row.record.authenticity_test, 0, 100, group=authentic),
        Column("C_T", "c_t", lambda row: row.record.c_t, 1),
        Column("Used", "test_count", lambda row: row.record.test_count, group="Test images"),
        Column("Left out", "left_out", lambda row: row.record.left_out, group="Test images"),
    ]
    rows = [GanRow(key, score.memorization) for key, score in group.items if score.memorization is not None]
    caption = (
        "Share of generated images that lie as close to a real image as only the closest 1 % of other real images do; "
        "in brackets the share of those real images. A generator that has learned the distribution has about as many; "
        "one that stores its training images has more."
    )
    notes = [
        "Authentic: not closer to the nearest training image than that one’s own nearest training image. Shares that "
        "are far above the real images’ within four fifths of that distance make the verdict. C_T (Meehan et al. "
        f"2020): below {number(NEARER, 0)} the generated images are nearer to the training images than test images "
        f"are, above {number(-NEARER, 0)} further away. Test images that are "
        f"copies of training images are left out, since they would make copying look normal. {COPIES_FOUND}"
    ]
    return Table.of(f"copies{group.suffix}", caption, columns, by_subset(rows), notes)


def _verdict(memorization: Memorization) -> Cell:
    return Cell(VERDICTS[memorization.verdict], (memorization.verdict,), strong=memorization.verdict != "none")


def _share(title: str, side: str, group: str) -> Column[GanRow[Memorization]]:
    """Return the column of the share of images too close to real ones, by its field of `Memorization`."""

    def value(row: GanRow[Memorization]) -> Cell:
        copying: Copying = getattr(row.record, side)
        share, expected = 100 * copying.share, 100 * copying.expected
        return Cell(number(share, 1), (share, expected), f"({number(expected, 1)})", strong=copying.verdict != "none")

    key = side.replace("train_", "training_")
    return Column(title, key, value, group=group, endings=("", "_real"))


def _kimg(snapshot: SnapshotScore | None) -> float | None:
    return None if snapshot is None else snapshot.kimg


def snapshots_table(group: SnapshotGroup) -> Table:
    """Return for every training with saved generators the best of them and the last."""
    distance = distance_name(group.settings.extractor)
    columns: list[Column[GanRow[SnapshotsRecord]]] = [
        *LEAD,
        Words("GAN", "gan", lambda row: gan_label(row.key.aug)),
        Column("Saved", "saved", lambda row: len(row.record.snapshots)),
        Column("At kimg", "best_kimg", lambda row: row.record.best.kimg, None, group="Best"),
        Interval(distance, "best_fd", lambda row: (row.record.best.fd, row.record.best.fd_interval), 1, group="Best"),
        Column("Copies, %", "best_copies", lambda row: row.record.best.copies, 1, 100, group="Best"),
        Column("At kimg", "last_kimg", lambda row: row.record.last.kimg, None, group="Last"),
        Interval(distance, "last_fd", lambda row: (row.record.last.fd, row.record.last.fd_interval), 1, group="Last"),
        Column("Copies, %", "last_copies", lambda row: row.record.last.copies, 1, 100, group="Last"),
        Column("Copies from kimg", "copying_kimg", lambda row: _kimg(row.record.first_copying), None),
    ]
    by = "its own training images" if group.settings.best_by == "fd_train" else "the test images"
    caption = (
        f"Saved generators of each training: {distance} to the {group.settings.reference_count} test images of the "
        f"best one, which is the nearest to {by}, and of the last. Copies: share of images clearly too close to a "
        "training image; where the verdict on the last one is copies, since when."
    )
    rows = [GanRow(key, record) for key, record in group.items]
    return Table.of(
        f"snapshots{group.suffix}", caption, columns, by_subset(rows), group.apart("Measured with other settings")
    )
