"""Tables of images and labels as sources, and tables of groups beside any source."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from configs import prepare_config
from tiny_data import noise_rows, table

from usgan_cli.core.errors import DataError
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source import classes, csv_table
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.scan import scan

SMALL = prepare_config(size=16, test=12)


def test_a_table_with_groups_and_split(source: Path, tmp_path: Path) -> None:
    rows = [
        (f"source/{path}", name, f"patient {name[0]}{i // 3}", "test" if i <= 5 else "val")
        for path, name, i in noise_rows()
    ]
    head = "path,label,group,split"
    listed = table(tmp_path / "list.csv", head, [(*row[:3], row[3].replace("val", "train")) for row in rows])
    progress = Silent()
    manifest = prepare(SMALL, listed, tmp_path / "data", progress)
    assert (manifest.split_from, manifest.groups_from, manifest.layout) == ("source", "column", "table")
    assert manifest.class_counts("test") == {"benign": 5, "malignant": 5}
    assert manifest.test_share == 10 / 30
    # Patients b1 (3, 4, 5 in the test, none in training): whole; and b0, m0, m1. 6 begins another.
    assert not any("divides" in warning for warning in progress.warnings)
    new = prepare(prepare_config(16, 1, 9, 0, split="new"), listed, tmp_path / "new", Silent())
    assert new.split_from == "usgan"
    side = {image.group: image.split for image in new.images}
    assert all(side[image.group] == image.split for image in new.images)
    assert len(side) == 7 + 4
    assert len(new.of("test")) == 9
    # Validation without a test side is the test side.
    words = {"test": "train", "val": "val"}
    listed = table(tmp_path / "val.csv", head, [(*row[:3], words[row[3]]) for row in rows])
    assert prepare(SMALL, listed, tmp_path / "val", Silent()).class_counts("train") == {"benign": 5, "malignant": 5}


def test_a_split_that_divides_a_group_is_reported(source: Path, tmp_path: Path) -> None:
    rows = [
        (f"source/{path}", name, "one" if i in {5, 6} else f"{name}{i}", "test" if i <= 5 else "train")
        for path, name, i in noise_rows()
    ]
    progress = Silent()
    prepare(SMALL, table(tmp_path / "l.csv", "path,label,group,split", rows), tmp_path / "data", progress)
    assert any("divides 1 group" in warning and "(4 images)" in warning for warning in progress.warnings)


def test_files_that_a_table_lists_in_vain(source: Path, tmp_path: Path) -> None:
    rows = [row[:2] for row in noise_rows(benign=10)]
    rows += [("benign/absent.png", "benign"), ("benign/bad\0.png", "benign"), rows[0], ("list.csv", "benign")]
    listed = table(source / "list.csv", "path,label", rows)
    progress = Silent()
    manifest = prepare(SMALL, listed, tmp_path / "data", progress)
    assert len(manifest.images) == 20
    assert [item.reason for item in manifest.left_out] == [
        csv_table.NO_FILE,
        csv_table.NO_FILE,
        csv_table.LISTED_TWICE,
        classes.NOT_AN_IMAGE,
    ]
    assert any("the file does not exist): benign/absent.png, benign/bad" in w for w in progress.warnings)
    with pytest.raises(DataError, match="Not one of the 2 files"):
        prepare(
            SMALL, table(tmp_path / "l.csv", "path,label", [("x.png", "a"), ("y.png", "b")]), tmp_path / "d", Silent()
        )


def test_one_file_under_two_labels_is_a_conflict(source: Path, tmp_path: Path) -> None:
    rows = [row[:2] for row in noise_rows(benign=10)]
    listed = table(source / "list.csv", "path,label", [*rows, ("benign/benign (1).png", "malignant")])
    manifest = prepare(prepare_config(16, 1, 8), listed, tmp_path / "data", Silent())
    assert manifest.conflicts == [["images/benign/benign-1.png", "images/malignant/benign-1.png"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'"),
        ("path,class\na.png,x\n", "no column 'label'.*'path', 'class'"),
        ("path,label\n", "no line below"),
        ("path,label\na.png,x\nb.png,\n", "line 3: the column 'label' is empty"),
        ("path,label\na.png\n", "line 2: the column 'label' is empty"),
        ("path,label,path\na.png,x,b.png\n", "more than one column 'path'"),
        ('path,label\n"a.png,x\n', "unexpected end"),
        ("path,label,group\na.png,x,1\nb.png,y,\n", "line 3: the column 'group' is empty"),
        ("path,label,split\na.png,x,train\nb.png,y,\n", "column 'split' says '', 'train'"),
        ("path,label,split\na.png,x,1\nb.png,y,2\n", "column 'split' says '1', '2'"),
        ("path,label\na.png,x\nb.png,x\n", "one class, 'x'"),
        ("path,label\na.png,x\nb.png,X\n", "differ only in case"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        scan(tmp_path / "list.csv")
    assert "list.csv" in caught.value.message


def test_tables_as_spreadsheets_write_them(source: Path, tmp_path: Path) -> None:
    for text, encoding in (("Path; Label \n", "utf-8-sig"), ("path\tLABEL\r\n", "utf-8")):
        mark = ";" if ";" in text else "\t"
        end = "\r\n" if "\r" in text else "\n"
        rows = [f"{n}/{n} ({i}).png{mark}{n}{mark}more{end}" for n in ("benign", "malignant") for i in (1, 2)]
        (source / "list.csv").write_text(text + "".join([*rows, end]), encoding=encoding, newline="")
        assert len(scan(source / "list.csv").images) == 4
    (source / "list.csv").write_text("path,label\nä,b\n", encoding="latin-1")
    with pytest.raises(DataError, match="UTF-8"):
        scan(source / "list.csv")


def test_a_table_of_groups_keeps_patients_together(source: Path, tmp_path: Path) -> None:
    rows = [(path, f"p{i // 4}") for path, _, i in noise_rows()]
    groups = table(tmp_path / "groups.csv", "path,group", [*rows, ("benign/other.png", "p9")])
    config = prepare_config(16, 1, 10, reading=SourceOptions(groups=groups))
    progress = Silent()
    for seed in range(5):
        manifest = prepare(replace(config, seed=seed), source, tmp_path / str(seed), progress)
        patient = {
            image.source: group
            for (name, group), image in zip(rows, manifest.images, strict=True)
            if image.source == name
        }
        assert len(patient) == 30
        sides: dict[str, set[str]] = {}
        for image in manifest.images:
            sides.setdefault(patient[image.source], set()).add(image.split)
        assert all(len(found) == 1 for found in sides.values())
    assert manifest.groups_from == "csv"
    assert "p1" not in (tmp_path / "0" / "manifest.json").read_text()  # names of patients are nobody's business
    assert any("1 path of the table of groups name no image" in warning for warning in progress.warnings)
    with pytest.raises(
        DataError, match=r"gives no group to 1 of 30 images \(the first: malignant/malignant \(10\)\.png"
    ):
        prepare(
            replace(config, reading=SourceOptions(groups=table(groups, "path,group", rows[:-1]))),
            source,
            tmp_path / "x",
            progress,
        )
    with pytest.raises(DataError, match="already has the group"):
        scan(source, SourceOptions(groups=table(groups, "path,group", [*rows, (rows[0][0], "other")])))
    with pytest.raises(DataError, match="of one group"):
        scan(source, SourceOptions(groups=table(groups, "path,group", [(row[0], "p") for row in rows])))


def test_copies_join_patients(source: Path, tmp_path: Path) -> None:
    """Two patients who share a picture are one group, whichever of their images it is."""
    shutil.copy(source / "benign" / "benign (1).png", source / "benign" / "copy.png")
    rows = [(path, f"{name}{(i + 1) // 2}") for path, name, i in noise_rows()]
    groups = table(tmp_path / "groups.csv", "path,group", [*rows, ("benign/copy.png", "benign2")])
    manifest = prepare(
        prepare_config(16, 1, 11, reading=SourceOptions(groups=groups)), source, tmp_path / "d", Silent()
    )
    group = {image.source: image.group for image in manifest.images}
    joined = {f"benign/benign ({i}).png" for i in (1, 2, 3, 4)} | {"benign/copy.png"}
    assert {name for name, number in group.items() if number == group["benign/copy.png"]} == joined


@pytest.mark.parametrize(
    "written",
    [
        r"source\{0}\{0} ({1}).png",
        r"source\{0}/{0} ({1}).png",
        r".\source\{0}\{0} ({1}).png",
        "./source/{0}/{0} ({1}).png",
    ],
)
def test_paths_may_have_backslashes(source: Path, tmp_path: Path, written: str) -> None:
    rows = [(written.format(name, i), name) for _, name, i in noise_rows()]
    found = scan(table(tmp_path / "list.csv", "path,label", rows))
    assert len(found.images) == 30 and not found.left_out
    assert found.images[0].relative == "source/benign/benign (1).png"
    assert all(len(found.read(image.name)) > 0 for image in found.images)
    # Twice in two spellings is twice.
    rows.append(("source/benign/benign (1).png", "benign"))
    again = scan(table(tmp_path / "list.csv", "path,label", rows))
    assert [item.reason for item in again.left_out] == [csv_table.LISTED_TWICE]


@pytest.mark.parametrize(("stored", "listed"), [("L\u00e4sion", "La\u0308sion"), ("La\u0308sion", "L\u00e4sion")])
def test_accents_may_be_encoded_in_another_way(source: Path, tmp_path: Path, stored: str, listed: str) -> None:
    (source / "benign").rename(source / stored)
    rows = [(f"source/{path.replace('benign/', listed + '/')}", name) for path, name, _ in noise_rows()]
    assert len(scan(table(tmp_path / "list.csv", "path,label", rows)).images) == 30


def test_a_file_whose_name_has_a_backslash_is_itself(source: Path, tmp_path: Path) -> None:
    shutil.copy(source / "benign" / "benign (1).png", source / "benign\\one.png")
    rows = [("source/benign\\one.png", "benign"), *[row[:2] for row in noise_rows()]]
    found = scan(table(tmp_path / "list.csv", "path,label", [rows[0], *((f"source/{p}", n) for p, n in rows[1:])]))
    assert "source/benign\\one.png" in {image.name for image in found.images}
