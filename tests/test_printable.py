import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.printable import human_size, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("photo.jpg", "photo.jpg"),
        ("Füße 猫 \U0001f600 e\u0301", "Füße 猫 \U0001f600 e\u0301"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x7f\x9b2J", r"\x7f\x9b2J"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2028\u2066x\u200b", r"\u2028\u2066x\u200b"),
        ("lone \udc80", r"lone \udc80"),
        ("tag \U000e0041", r"tag \U000e0041"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_is_shown(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text):
    shown = printable(text)
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert printable(shown) == shown


@given(st.text(), st.integers(3, 20))
def test_what_is_cut_is_short_enough_and_says_so(text, most):
    shown = printable(text, most)
    if len(text) > most:
        assert len(shown) <= most
        assert shown.endswith("...")
    else:
        assert shown == printable(text)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (574_710_816, "574.7 MB"), (5 * 10**9, "5.0 GB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_sizes_in_words(size, words):
    assert human_size(size) == words
