"""What people read: text of others made harmless for a terminal, which obeys what it is sent; sizes in words."""

from __future__ import annotations

import unicodedata

_REFUSED = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's general categories of controls, invisible formats (those of writing direction too), lone surrogates, and
line and paragraph separators."""


def printable(text: str, most: int | None = None) -> str:
    r"""The text with everything that steers a terminal, breaks a line or turns the writing direction escaped.

    An escape code becomes `\x1b`, a line break `\n`, U+202E `\u202e`; letters of all scripts, accents and emoji stay.

    Args:
        most: Longest answer in characters; what is longer ends in `...`.
    """
    if most is not None and len(text) > most:
        # Cut before escaping: the text of others can be of any length.
        return printable(text[:most], None)[: most - 3] + "..."
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(letter) for letter in text)


def human_size(size: int) -> str:
    """`574.7 MB` for 574710816 bytes, in powers of 1000."""
    amount, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.95:
            break
        amount, unit = amount / 1000, larger
    return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def _escaped(letter: str) -> str:
    if unicodedata.category(letter) not in _REFUSED:
        return letter
    return letter.encode("unicode_escape").decode("ascii")
