"""JSON in TF Serving's dialect: `NaN` and infinities are numbers, what follows the first value is ignored, the first of
two equal keys wins, nesting may be as deep as the text is long, and texts need not be UTF-8.

Python's own parser does what is usual, fast; what it refuses is read again here, for what it cannot read and for the
words and the place of an error.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

from kerazoo.serve import budget
from kerazoo.serve.wire.status import Status, invalid

UNDECODABLE = "surrogateescape"
"""Bytes that are not UTF-8 live on in Python's strings as lone surrogates."""

CUT = 256
"""How much of a value is quoted in a message."""

_ODD = re.compile(r"\\u[dD][89a-fA-F]|\d{40}")
_SPACE = re.compile(r"[ \n\r\t]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)")
_FRACTION = re.compile(r"\.\d+")
_EXPONENT = re.compile(r"[eE][+-]?\d+")
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "Inf": float("inf"),
    "-Infinity": float("-inf"),
    "-Inf": float("-inf"),
}
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class _TooBig(ValueError):
    pass


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _TooBig
    return value


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        made = dict(reversed(pairs))
        made = {key: made[key] for key, _ in pairs}
    return made


ENTRY, LIST, OBJECT = 64, 128, 320
"""Bytes that a value, a list and an object need at most once they are read and on their way to becoming an array."""

PATIENCE = 1 << 14
"""So many values are read between two looks whether anybody still waits for them."""

_fast = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_float)


def parse(data: bytes) -> Any:
    """The first value of a text.

    Raises:
        Status: There is none, or it is not JSON; with TF Serving's words and the offset in bytes.
    """
    if not data:
        raise invalid("JSON Parse error: The document is empty")
    _spend(data)
    text = data.decode("utf-8", UNDECODABLE).removeprefix("\ufeff")
    start = _SPACE.match(text).end()  # type: ignore[union-attr]
    if _ODD.search(text):
        # Python takes halves of pairs, which would be mistaken for undecodable bytes, and whole numbers of any length.
        return _Reader(text).value()
    try:
        return _fast.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return _Reader(text).value()


def _spend(data: bytes) -> None:
    """Spends what a text needs when it is read, before it is: twenty times its length, where it is all brackets.

    Raises:
        Status: It is too much.
    """
    if len(data) < PATIENCE:
        budget.spend(len(data) * OBJECT // 2)
        return
    values = ENTRY * data.count(b",") + LIST * data.count(b"[") + OBJECT * data.count(b"{")
    budget.spend(values + len(data) * (1 if data.isascii() else 4))


class _Reader:
    """Reads without recursion: a list of the containers that are open takes the place of the call stack."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self) -> Any:
        root: list[Any] = []
        open_: list[tuple[Any, str]] = [(root, "")]  # Containers and, for objects, the key that waits for its value.
        for count in itertools.count(1):
            if count % PATIENCE == 0:
                budget.check()
            self._space()
            container, key = open_[-1]
            item = self._open_or_scalar()
            self._put(container, key, item)
            if isinstance(item, (dict, list)) and not self._closes(item):
                open_.append((item, self._key() if isinstance(item, dict) else ""))
                continue
            while len(open_) > 1:
                container, _ = open_[-1]
                self._space()
                if self._take(","):
                    open_[-1] = (container, self._key() if isinstance(container, dict) else "")
                    break
                if not self._closes(container):
                    missing = (
                        "} after an object member." if isinstance(container, dict) else "] after an array element."
                    )
                    raise self._error(f"Missing a comma or {missing}")
                open_.pop()
            if len(open_) == 1:
                return root[0]

    @staticmethod
    def _put(container: Any, key: str, item: Any) -> None:
        if isinstance(container, dict):
            container.setdefault(key, item)
        else:
            container.append(item)

    def _closes(self, container: Any) -> bool:
        self._space()
        return self._take("}" if isinstance(container, dict) else "]")

    def _space(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]

    def _take(self, word: str) -> bool:
        found = self.text.startswith(word, self.at)
        self.at += len(word) * found
        return found

    def _key(self) -> str:
        self._space()
        if not self.text.startswith('"', self.at):
            raise self._error("Missing a name for object member.")
        key = self._string()
        self._space()
        if not self._take(":"):
            raise self._error("Missing a colon after a name of object member.")
        return key

    def _open_or_scalar(self) -> Any:
        if self._take("{"):
            return {}
        if self._take("["):
            return []
        if self.text.startswith('"', self.at):
            return self._string()
        for word, value in _WORDS.items():
            if self._take(word):
                return value
        if self.at == len(self.text) and not self.text.strip(" \n\r\t"):
            raise self._error("The document is empty.")
        return self._number()

    def _number(self) -> int | float:
        start = self.at
        whole = _NUMBER.match(self.text, start)
        if whole is None:
            raise self._error("Invalid value.")
        self.at = whole.end()
        real = False
        for pattern, marks, missing in (
            (_FRACTION, ".", "Miss fraction part in number."),
            (_EXPONENT, "eE", "Miss exponent in number."),
        ):
            if self.text[self.at : self.at + 1] and self.text[self.at] in marks:
                part = pattern.match(self.text, self.at)
                if part is None:
                    self.at += 1
                    raise self._error(missing)
                self.at, real = part.end(), True
        digits = self.text[start : self.at]
        try:
            # Longer whole numbers fit no integer of the wire.
            return _float(digits) if real or len(digits) > 40 else int(digits)
        except _TooBig:
            self.at = start
            raise self._error("Number too big to be stored in double.") from None

    def _string(self) -> str:
        start = self.at
        self.at += 1
        parts = []
        while True:
            plain = _PLAIN.match(self.text, self.at)
            parts.append(plain.group())  # type: ignore[union-attr]
            self.at = plain.end()  # type: ignore[union-attr]
            mark = self.text[self.at : self.at + 1]
            if mark == '"':
                self.at += 1
                return "".join(parts)
            if not mark:
                self.at = start
                raise self._error("Missing a closing quotation mark in string.")
            if mark != "\\":
                raise self._error("Invalid encoding in string.")
            parts.append(self._escape())

    def _escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _ESCAPES and letter:
            self.at += 2
            return _ESCAPES[letter]
        if letter != "u":
            raise self._error("Invalid escape character in string.")
        high = self._hex(self.at + 2)
        self.at += 6
        if 0xD800 <= high <= 0xDBFF and self.text.startswith("\\u", self.at):
            low = self._hex(self.at + 2)
            if 0xDC00 <= low <= 0xDFFF:
                self.at += 6
                return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        if 0xD800 <= high <= 0xDFFF:
            raise self._error("The surrogate pair in string is invalid.")
        return chr(high)

    def _hex(self, at: int) -> int:
        digits = self.text[at : at + 4]
        if not re.fullmatch("[0-9a-fA-F]{4}", digits):
            raise self._error("Incorrect hex digit after \\u escape in string.")
        return int(digits, 16)

    def _error(self, reason: str) -> Status:
        offset = len(self.text[: self.at].encode("utf-8", UNDECODABLE))
        return invalid(f"JSON Parse error: {reason} at offset: {offset}")


def kind(value: Any) -> str:
    """What a value is called in messages."""
    if value is None or isinstance(value, bool):
        return "Null" if value is None else str(value)
    return (
        "Object" if isinstance(value, dict) else {"list": "Array", "str": "String"}.get(type(value).__name__, "Number")
    )


def quoted(value: Any) -> str:
    """A value as JSON, cut for a message; never deeper than what is shown."""
    out, length = [], 0
    for piece in _pieces(value):
        out.append(piece)
        length += len(piece)
        if length > CUT:
            break
    text = "".join(out)
    return text if len(text) <= CUT else text[:CUT] + "..."


def _pieces(value: Any) -> Iterator[str]:
    stack: list[Any] = [iter([("", value)])]
    ends = [""]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            yield ends.pop()
            continue
        before, item = entry
        yield before
        if isinstance(item, dict):
            yield "{"
            stack.append((f"{',' if i else ''}{string(k)}:", v) for i, (k, v) in enumerate(item.items()))
            ends.append("}")
        elif isinstance(item, list):
            yield "["
            stack.append((("," if i else ""), v) for i, v in enumerate(item))
            ends.append("]")
        else:
            yield string(item) if isinstance(item, str) else json.dumps(item)


def string(text: str) -> str:
    """A text as JSON; what was not UTF-8 stays what it was when the whole is encoded with `UNDECODABLE`."""
    return encode_basestring(text)


def is_base64(value: Any) -> bool:
    """Whether a value is binary: an object with the sole key `b64` and a text."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def unbase64(text: str) -> bytes:
    """The bytes of standard base64, whose padding may be absent.

    Raises:
        Status: It is not base64.
    """
    try:
        bare = text.rstrip("=")
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise invalid("Unable to base64 decode") from None
