"""Of one picture the sentence that fits best, of one sentence the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kerazoo import ranking
from kerazoo.errors import InputError, UsageError
from kerazoo.inputs import Source
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Failure, Predictor
from tests.tasks.stubs import Stub
from tests.tasks.test_rank import BLACK, BLUE, BORDER, GREEN, PARTS, RED, TASK, quarters

PREDICTOR = Predictor("made_up", TASK, "keras", lambda request: {}, network=Stub(ops, PARTS))
PICTURES = [quarters(RED, BLACK, BLACK, BLACK), quarters(BLUE, GREEN, BLACK, BLACK)]
SENTENCES = ["a red ball", "green blue", "blue"]


def test_of_one_picture_the_sentences_and_of_one_sentence_the_pictures() -> None:
    assert [pair.sentence for pair in ranking.ranked(PREDICTOR, PICTURES[1:], SENTENCES)] == [
        "green blue", "blue", "a red ball",
    ]  # fmt: skip
    found = ranking.ranked(PREDICTOR, PICTURES, ["a red ball"])
    assert [pair.picture for pair in found] == PICTURES
    assert [pair.score for pair in found] == pytest.approx([1, 0], abs=BORDER)


def test_scores_are_those_of_each_pair_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BATCH", 2)
    found = np.stack([scores for _, scores in ranking.scored(PREDICTOR, PICTURES, SENTENCES)])
    for row, picture in enumerate(PICTURES):
        for column, text in enumerate(SENTENCES):
            request = {"image_bytes": np.array([picture], object), "text": np.array([text.encode()], object)}
            assert TASK.answer(Stub(ops, PARTS), request)["score"] == pytest.approx(found[row, column])


def test_a_predictor_answers_one_pair() -> None:
    predictor = replace(PREDICTOR, answer=lambda request: TASK.answer(Stub(ops, PARTS), request))
    match: Any = predictor({"image_bytes": PICTURES[0], "text": "red ball"})
    assert [word.text for word in match.words] == ["red", "ball"] and set(match.files()) == {"regions.png"}


def test_a_bad_picture_is_a_row_and_the_others_go_on() -> None:
    def torn() -> Any:
        raise InputError("torn")

    given: list[Any] = [b"\xff\xd8\xff torn", Source("x.png", torn), PICTURES[0]]
    first, second, third = (scores for _, scores in ranking.scored(PREDICTOR, given, ["red"]))
    assert isinstance(first, Failure) and isinstance(second, Failure)
    assert third.tolist() == pytest.approx([1], abs=BORDER)
    with pytest.raises(InputError):
        ranking.ranked(PREDICTOR, given, ["red"])


def test_sentences_that_say_nothing_are_refused() -> None:
    for sentences, said in (([], "no sentence"), (["red", ""], "empty"), (["unicorn"], "no word of the text")):
        with pytest.raises(InputError, match=said):
            ranking.scored(PREDICTOR, PICTURES, sentences)
    assert ranking.unknown(PREDICTOR, ["a Red unicorn", "unicorn, ball"]) == ["unicorn", ","]


def test_models_that_do_something_else_are_refused() -> None:
    from kerazoo.tasks.classify import Classify

    other = replace(PREDICTOR, task=Classify(TASK.input, ("a", "b")))
    with pytest.raises(UsageError, match="does classify"):
        ranking.scored(other, PICTURES, ["red"])
    with pytest.raises(UsageError, match="one pair after the other"):
        ranking.scored(replace(PREDICTOR, network=None), PICTURES, ["red"])
