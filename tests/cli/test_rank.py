"""`kerazoo rank`: which sentence fits a picture, and which picture a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kerazoo import loading
from tests.tasks.test_rank import BLACK, BLUE, GREEN, RED, quarters
from tests.test_ranking import PREDICTOR


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(loading, "load", lambda *arguments: PREDICTOR)
    (tmp_path / "red.png").write_bytes(quarters(RED, BLACK, BLACK, BLACK))
    (tmp_path / "cold.png").write_bytes(quarters(BLUE, GREEN, BLACK, BLACK))
    return tmp_path


def test_a_picture_and_sentences_best_first(kerazoo: Any, folder: Path) -> None:
    done = kerazoo("rank", folder / "cold.png", "--sentence", "a red ball", "--sentence", "green blue")
    assert done.status == 0, done.err
    first, second = done.out.splitlines()
    assert first.endswith("cold.png  green blue") and second.endswith("cold.png  a red ball")
    assert float(first.split()[0]) > float(second.split()[0])


def test_a_sentence_is_looked_for_in_a_folder(kerazoo: Any, folder: Path) -> None:
    done = kerazoo("rank", folder, "--sentence", "a red ball", "--top", "1", "--json")
    assert done.status == 0, done.err
    (best,) = done.rows[0]["top"]
    assert best["input"] == str(folder / "red.png") and best["text"] == "a red ball" and best["score"] > 0


def test_what_is_not_known_and_what_is_no_picture_are_said(kerazoo: Any, folder: Path) -> None:
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    done = kerazoo("rank", folder, "--sentence", "a red unicorn")
    assert done.status == 3
    assert "not counted: unicorn" in done.err and "torn.png: error" in done.err
    assert len(done.out.splitlines()) == 2
    for text in ("", "unicorn"):
        refused = kerazoo("rank", folder, "--sentence", text)
        assert refused.status == 3 and refused.out == ""
    assert kerazoo("rank", folder).status == 2
