"""Changes to files that a reader must either understand or refuse: of bytes, of lines, and of JSON and TOML values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

Mutation = Callable[[bytes, random.Random, list[bytes]], bytes]
WORDS = (
    b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\n", b"\r", b'"', b"'", b",", b"\\", b"{", b"[" * 3000, b"nan", b"inf",
    b"-1", b"1e999", b"9" * 5000, b"0x10", b"../../x", b"/etc/passwd", b"\xe2\x80\xae", b"\x1b[31m", b"=1+1", b"%s",
    b"\xff" * 4, b"\xff" * 8, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f", b"PK\x05\x06",
)  # fmt: skip
TEXTS = (
    "",
    "\0",
    "\n",
    "a/b",
    "../x",
    "/x",
    "C:\\x",
    "con",
    ".",
    "..",
    "x" * 5000,
    "[red]",
    "=1+1",
    "<b>",
    "\u202e",
    "é",
    "$x",
)
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0.0",
    "1" * 5000,
    '"\\ud800"',
    "[" * 3000 + "]" * 3000,
    "1.5e-320",
    "{}",
)
VALUES: tuple[Any, ...] = (None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**70, 0.5, -0.5, 1e308, [], {}, *TEXTS)
MARK = "\ue000raw\ue000"


def change_bytes(data: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    """Flip bits, cut, insert, repeat or overwrite, one to four times."""
    for _ in range(draws.choice((1, 1, 1, 2, 4))):
        data = _change_once(data, draws, others)
    return data


def _change_once(data: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    if not data:
        return draws.choice(WORDS)
    # Headers decide the most, so half of all changes are among the first bytes.
    last = min(len(data), 256) if draws.random() < 0.5 else len(data)
    i = draws.randrange(last)
    j = min(len(data), i + draws.choice((1, 2, 4, 8, 64, 1024)))
    match draws.randrange(8):
        case 0:
            return data[:i] + bytes([data[i] ^ 1 << draws.randrange(8)]) + data[i + 1 :]
        case 1:
            return data[:i]
        case 2:
            return data[:i] + data[j:]
        case 3:
            return data[:i] + data[i:j] * draws.choice((2, 3, 50)) + data[j:]
        case 4:
            word = draws.choice(WORDS)
            return data[:i] + word + data[i:]
        case 5:
            word = draws.choice(WORDS)
            return data[:i] + word + data[i + len(word) :]
        case 6:
            other = draws.choice(others)
            k = draws.randrange(len(other) + 1)
            return data[:i] + other[k:]
        case _:
            return data[:i] + draws.randbytes(j - i) + data[j:]


def change_lines(data: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    """Change the cells and lines of a table or of a text file."""
    if draws.random() < 0.3:
        return change_bytes(data, draws, others)
    lines = data.split(b"\n")
    i = draws.randrange(len(lines))
    match draws.randrange(5):
        case 0:
            del lines[i]
        case 1:
            lines.insert(i, lines[draws.randrange(len(lines))])
        case 2:
            cells = lines[i].split(b",")
            cells[draws.randrange(len(cells))] = draws.choice(WORDS)
            lines[i] = b",".join(cells)
        case 3:
            cells = lines[i].split(b",")
            draws.shuffle(cells)
            lines[i] = b",".join(cells[: draws.randint(0, len(cells))])
        case _:
            key, equals, _ = lines[i].partition(b"=")
            lines[i] = key + equals + b" " + draws.choice((*WORDS, b"[]", b"{}", b"true", b"1979-05-27", b"[1, 'a']"))
    return b"\n".join(lines)


def change_json(data: bytes, draws: random.Random, others: list[bytes]) -> bytes:
    """Change a value, a key or the shape of a JSON document, or of one line of several."""
    if draws.random() < 0.15:
        return change_bytes(data, draws, others)
    lines = data.splitlines(keepends=True)
    if len(lines) > 1 and data[:1] == b"{" and lines[0].rstrip().endswith(b"}"):
        i = draws.randrange(len(lines))
        return b"".join([*lines[:i], _change_document(lines[i], draws), *lines[i + 1 :]])
    return _change_document(data, draws)


def _change_document(data: bytes, draws: random.Random) -> bytes:
    body = json.loads(data)
    raws: list[str] = []
    for _ in range(draws.choice((1, 1, 1, 2, 3))):
        nodes = list(_containers(body))
        if not nodes:
            break
        # A list of a thousand images is one choice as much as a field is.
        _change_node(draws.choice(nodes), draws, raws)
    text = json.dumps(body, indent=1)
    for raw in raws:
        text = text.replace(json.dumps(MARK), raw, 1)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _change_node(node: Any, draws: random.Random, raws: list[str]) -> None:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = draws.choice(keys)
    match draws.randrange(6):
        case 0 | 1:
            node[key] = draws.choice(VALUES)
        case 2:
            raws.append(draws.choice(RAW))
            node[key] = MARK
        case 3:
            del node[key]
        case 4:
            node[key], node[other] = node[(other := draws.choice(keys))], node[key]
        case _:
            if isinstance(node, dict):
                node[draws.choice((*TEXTS, "extra"))] = node[key]
            else:
                node.extend([node[key]] * draws.choice((1, 2, 50)))


def _containers(value: Any) -> list[Any]:
    found, waiting = [], [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            found.append(value)
            waiting += list(value.values()) if isinstance(value, dict) else value[:20]
    return found
