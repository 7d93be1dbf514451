"""Names from data: one folder each on every file system, and what may not be the name of a class at all."""

from __future__ import annotations

import itertools
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.names import LONGEST_FOLDER, folder_name, folder_names, is_inside, problem_of_class, same_folder
from usgan_cli.core.store.workspace import Workspace

ORDINARY = ["benign", "BI-RADS_4a", "benign (1)", "Läsion", "画像", "v1.2", "a+b", "no finding"]
FOREIGN = st.text(st.characters(codec=None), max_size=300)


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_is_its_own_folder(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../../../evil", "%2E.%2F..%2F..%2Fevil"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "%"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("C:\\x", "C%3A%5Cx"),
        ("CON", "%43ON"),
        ("nul.png", "%6Eul.png"),
        ("Com¹", "%43om¹"),
        ("console", "console"),
        ("-rf", "%2Drf"),
        (".hidden", "%2Ehidden"),
        ("ends.", "ends%2E"),
        ("ends ", "ends%20"),
        ("50 %", "50 %25"),
        ("a~2", "a%7E2"),
        ("a\nb", "a%0Ab"),
        ("\ud800", "%ED%A0%80"),
        ("<b>|*?\":'", "%3Cb%3E%7C%2A%3F%22%3A%27"),
    ],
)
def test_what_a_path_or_a_file_system_would_read_is_encoded(name: str, folder: str) -> None:
    assert folder_name(name) == folder
    if name:
        assert unquote(folder, errors="surrogatepass") == name


@given(FOREIGN)
def test_a_folder_is_one_part_of_a_path_wherever_it_is_made(name: str) -> None:
    folder = folder_name(name)
    assert Path(folder).parts == (folder,)
    assert PureWindowsPath(folder).parts == (folder,)
    assert not folder.startswith((".", "-", "~", " "))
    assert not folder.endswith((".", " "))
    assert len(folder.encode()) <= LONGEST_FOLDER
    assert is_inside(folder)
    if "~" not in folder and name:
        assert unquote(folder, errors="surrogatepass") == name


@given(st.lists(FOREIGN, unique=True, max_size=6))
def test_no_two_classes_share_a_folder(names: list[str]) -> None:
    folders = folder_names(names)
    assert list(folders) == names
    for one, other in itertools.combinations(folders.values(), 2):
        assert same_folder(one) != same_folder(other)


def test_folders_that_differ_in_case_alone_are_numbered() -> None:
    assert folder_names(["Benign", "benign", "BENIGN", "a/b"]) == {
        "Benign": "Benign", "benign": "benign~2", "BENIGN": "BENIGN~3", "a/b": "a%2Fb",
    }  # fmt: skip
    long = "x" * 150
    assert len(set(folder_names([long + "a", long + "b"]).values())) == 2


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("x" * 201, "201 characters"),
        ("a\nb", "a line break (U+000A)"),
        ("a\u2028b", "a line break (U+2028)"),
        ("\x1b[31m", "a control character (U+001B)"),
        ("a\u202eb", "direction of text (U+202E)"),
        ("a\udcff", "half a character (U+DCFF)"),
    ],
)
def test_what_cannot_be_shown_is_no_class(name: str, problem: str) -> None:
    assert problem in (problem_of_class(name) or "")


@pytest.mark.parametrize(
    "name", [*ORDINARY, "[red]", "=1+1", "<b>", "../../x", "CON", "$x$", "نیم\u200cفاصله", "a\u00a0b"]
)
def test_what_can_be_shown_may_be_a_class(name: str) -> None:
    assert problem_of_class(name) is None


@pytest.mark.parametrize("file", ["", "/a", "../a", "a/../../b", "C:/a", "C:a", "\\a", "\\\\host\\a", "a\0b", "."])
def test_a_file_outside_its_folder_is_recognised(file: str) -> None:
    assert not is_inside(file)


@pytest.mark.parametrize("file", ["a.png", "a/b.png", "a%2Fb/seed0.png", "..a/b", "images.zip/0/a.png"])
def test_a_file_inside_its_folder_is_recognised(file: str) -> None:
    assert is_inside(file)


@pytest.mark.parametrize("name", ["../../x", "/etc", "a/b", "..", "ada+diffaug-n100-s0-fold0of5"])
def test_an_artefact_lies_in_its_workspace_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for path in (workspace.named_gan(name), workspace.named_synthetic(name), workspace.score(name)):
        assert path.parent.parent == tmp_path
    assert workspace.named_gan("ada+diffaug-n100-s0-fold0of5").name == "ada+diffaug-n100-s0-fold0of5"
