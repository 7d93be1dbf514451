"""Numbers, p-values, times, counts and lists in words."""

from __future__ import annotations

import pytest

from usgan_cli.core import text


@pytest.mark.parametrize(
    ("p", "words", "equals", "mark"),
    [
        (None, "-", "= –", ""),
        (0.0004, "< 0.001", "< 0.001", "***"),
        (0.001, "0.001", "= 0.001", "**"),
        (0.0099, "0.010", "= 0.010", "**"),
        (0.01, "0.010", "= 0.010", "*"),
        (0.05, "0.050", "= 0.050", ""),
        (1.0, "1.000", "= 1.000", ""),
    ],
)
def test_p_values(p: float | None, words: str, equals: str, mark: str) -> None:
    assert (text.p_text(p), text.p_equals(p), text.stars(p)) == (words, equals, mark)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (86399.9, "1 d 00 h"),
        (1e6, "11 d 13 h"),
    ],
)
def test_lengths_of_time_carry_over(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "digits", "sign", "words"),
    [
        (-1.25, 1, False, "−1.2"),
        (-0.04, 1, True, "0.0"),
        (0.04, 1, True, "0.0"),
        (2.5, 1, True, "+2.5"),
        (0.5, None, False, "0.5"),
    ],
)
def test_a_number_has_a_true_minus_and_a_zero_no_sign(value: float, digits: int | None, sign: bool, words: str) -> None:
    assert text.number(value, digits, sign=sign) == words


def test_lists() -> None:
    assert [text.joined(items) for items in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert text.joined("abcde", 2) == "a, b and 3 more"
    assert text.listed([str(i) for i in range(12)], "; ") == "0; 1; 2; 3; 4; 5; 6; 7; 8; 9; and 2 more"
    assert text.listed(["two\nlines"]) == r"two\nlines"


def test_counts_and_names() -> None:
    assert [text.all_of(n, "image") for n in (1, 2)] == ["the one image", "all 2 images"]
    assert [text.plural(n, "entry", "entries") for n in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
    assert [text.gan_label(aug) for aug in ("none", "ada", "mine")] == ["StyleGAN2", "StyleGAN2 + ADA", "mine"]
    assert text.training_label(None) == "Real alone"
    assert text.training_label("diffaug", 0.5, "strict") == "+ 50 % DiffAug (strict)"
    assert text.short_digests(f"net@{'0123456789abcdef' * 4} and 12345678") == "net@01234567 and 12345678"
