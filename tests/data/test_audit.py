"""The audit: its table counts right, its page needs no other file and names every conflict."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.data.audit import Audit, AuditImage, Side, render
from usgan_cli.data.copies.groups import find_duplicates
from usgan_cli.data.copies.near import NearPair
from usgan_cli.data.source.contents import SourceImage
from usgan_cli.data.source.decode import Decoded

PICTURE = np.tile(np.arange(128, dtype=np.uint8), (128, 1))


def image(source: str, side: Side, width: int = 300, *, coloured: bool = False) -> AuditImage:
    listed = SourceImage(source, source, source.partition("/")[0])
    return AuditImage(Decoded(listed, source, "", "", 200, width, coloured, 200, "many", PICTURE), side)


@pytest.fixture
def audit() -> Audit:
    images = [
        image("benign/1 <b>.png", "train"),
        image("malignant/1.png", "test", 400),
        image("benign/2.png", "train", coloured=True),
        image("benign/3.png", "test"),
        image("malignant/2.png", "dropped"),
        image("malignant/3.png", "train"),
    ]
    pairs = [
        NearPair(0, 3, 0.9, mirrored=False),
        NearPair(2, 4, 0.61, mirrored=True),
        NearPair(2, 5, 0.3, mirrored=False),
    ]
    found = find_duplicates("aabcde", [item.decoded.source.class_ for item in images], pairs)
    left_out = [LeftOut(source="benign/1_mask.png", reason="mask"), LeftOut(source="benign/x.png", reason="broken")]
    return Audit("Scans", ["benign", "malignant"], images, left_out, found, "ignore", "keep", own_split=False)


def test_the_table_counts(audit: Audit) -> None:
    assert dict(audit.rows()) == {
        "Decoded": "6 images",
        "Left out: mask": "1",
        "Left out: broken": "1",
        "Dropped as copies or conflicts": "1",
        "Used": "5: 3 training, 2 test",
        "  benign": "3: 2 training, 1 test",
        "  malignant": "2: 1 training, 1 test",
        "Original sizes": "300 to 400 wide, 200 to 200 high, median 300 x 200 pixels",
        "Exact copies": "1 picture, 2 images",
        "Near-copies": "2 pairs, 4 images, 1 mirrored",
        "Groups of copies": "2 groups, 5 images",
        "  on both sides of the split": "1 group",
        "Much alike, no copies": "1 pair",
        "Conflicts of labels": "2 pictures, 5 images",
        "Colour overlays": "1 image",
    }


class Page(HTMLParser):
    """Text, pictures and addresses of a page; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img":
            self.pictures.append(found["alt"] or "")
        self.addresses += [found[name] or "" for name in ("src", "href") if name in found]
        if tag not in {"img", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_shows_every_copy(audit: Audit) -> None:
    page = Page(render(audit))
    assert page.open == []
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert "url(" not in render(audit)
    text = " ".join(page.text.split())
    assert "5 of the 6 images are copies or near-copies of one another" in text
    assert "2 of the 2 test images have a copy in the training set" in text
    assert "2 pictures stand under more than one label" in text
    assert "Copies were ignored" in text
    assert "benign/x.png broken" in text
    assert "1_mask" not in text
    # Conflicts (3 + 2), groups (3 + 2), the similar pair (2).
    assert len(page.pictures) == 12
    assert "benign, benign/1 <b>.png" in page.pictures
    assert re.search(r"Conflict 2 2 images: 1 training, 1 dropped; agreement 0\.61, mirrored", text)
    assert re.search(r"Group 1 3 images: 1 training, 2 test; same pixels, agreement 0\.90", text)
    assert "On both sides of the split." in text


def test_nothing_found_is_said() -> None:
    images = [image("benign/1.png", "train"), image("malignant/1.png", "test")]
    found = find_duplicates("ab", [0, 1])
    audit = Audit("Scans", ["benign", "malignant"], images, [], found, "group", "keep", own_split=False)
    page = Page(render(audit))
    assert "No copies were found among the 2 images." in page.text
    assert page.pictures == []
    assert dict(audit.rows())["Original sizes"] == "300 x 200 pixels, all"


def test_the_template_is_in_the_package() -> None:
    assert files("usgan_cli.data").joinpath("templates/audit.html").is_file()
