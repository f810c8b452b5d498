"""A picture and a sentence: the score, and the region of each word."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from kerazoo.codecs.image import Image
from kerazoo.codecs.text import SPECIAL, Text, Vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks._chain import smoothed
from kerazoo.tasks.rank import Match, Rank
from tests.tasks.stubs import Stub, again, both, png

WORDS = Vocabulary((*SPECIAL, "red", "green", "blue", "a", "ball"))
TASK = Rank(Image(4, 4), Text(WORDS, 6), (2, 2), False, 3)


def picture(ops, image):
    """The mean colour of each quarter, in 0..1."""
    quarters = [image[:, y : y + 2, x : x + 2] for y in (0, 2) for x in (0, 2)]
    return {"regions": ops.stack([ops.sum(ops.reshape(each, (-1, 4, 3)), 1) / 1020.0 for each in quarters], 1)}


def sentence(ops, tokens):
    """A word of a colour is that colour; others are nothing."""
    table = np.zeros((len(WORDS), 3), np.float32)
    table[[4, 5, 6]] = np.eye(3)
    return {"words": ops.gather(table, tokens)}


PARTS = {"picture": picture, "sentence": sentence}


def quarters(*colours, size=(8, 12)):
    """A picture of four quarters, each of one colour."""
    pixels = np.zeros((*size, 3), np.uint8)
    for (y, x), colour in zip(itertools.product((0, 1), (0, 1)), colours, strict=True):
        pixels[y * size[0] // 2 :, x * size[1] // 2 :] = 0
        rows = slice(y * size[0] // 2, (y + 1) * size[0] // 2)
        pixels[rows, x * size[1] // 2 : (x + 1) * size[1] // 2] = colour
    return png(pixels)


BORDER = 0.3

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def test_words_are_placed_where_they_belong_on_both_op_sets():
    pictures = [quarters(RED, BLACK, BLACK, GREEN), quarters(BLACK, RED, BLACK, BLACK)]
    request = {
        "image_bytes": np.array(pictures, object),
        "text": np.array([b"a Red ball, green", b"green unicorn"], object),
    }
    task = Rank(TASK.input, Text(WORDS, 7), TASK.grid, False, 3)
    host, traced = both(task, request, **PARTS)
    for name, value in host.items():
        if value.dtype == object:
            assert value.tolist() == traced[name].tolist()
        else:
            # A graph may resize to one grey level more.
            np.testing.assert_allclose(traced[name], value, atol=1e-2)
    first, second = (task.read(host, row) for row in range(2))
    assert [word.text for word in first.words] == ["a", "red", "ball", "<unk>", "green"]
    # At their borders quarters are resized with their neighbours.
    assert first.score == pytest.approx(2, abs=BORDER) and second.score == pytest.approx(0)
    assert first.words[1].box == pytest.approx((0, 0, 6, 4)) and first.words[4].box == pytest.approx((6, 4, 12, 8))
    assert first.words[1].score == pytest.approx(1, abs=BORDER) and first.size == (8, 12)
    # What is not known is said, has no place and counts for nothing.
    assert [word.text for word in second.words] == ["green", "<unk>"] and second.words[1].box is None
    assert "not in the vocabulary" in second.rows()[2]
    assert second.to_json()["words"][1] == {"word": "<unk>", "score": 0.0, "box": None}


def test_a_region_may_be_the_whole_picture():
    task = Rank(TASK.input, TASK.sentence, TASK.grid, True, 3)

    def with_all(ops, image):
        """Of the whole picture only what is red is told."""
        found = picture(ops, image)["regions"]
        return {"regions": ops.concat([found, ops.sum(found, 1, keepdims=True) * np.float32([1, 0, 0])], 1)}

    request = {
        "image_bytes": np.array([quarters(RED, RED, BLACK, GREEN)], object),
        "text": np.array([b"red green"], object),
    }
    told = task.read(task.answer(Stub(ops, {**PARTS, "picture": with_all}), request), 0)
    assert told.words[0].box == pytest.approx((0, 0, 12, 8)) and told.words[1].box == pytest.approx((6, 4, 12, 8))
    assert told.score == pytest.approx(3, abs=BORDER)


def test_smoothing_keeps_neighbours_together_and_leaves_the_score():
    def leaning(ops, tokens):
        table = np.zeros((len(WORDS), 3), np.float32)
        table[[4, 5, 7]] = [[1, 0, 0], [0, 1, 0], [0.4, 0.5, 0]]
        return {"words": ops.gather(table, tokens)}

    request = {
        "image_bytes": np.array([quarters(RED, BLACK, BLACK, GREEN)], object),
        "text": np.array([b"a red ball"], object),
    }
    asked = Stub(ops, {**PARTS, "sentence": leaning})
    plain, smooth = (
        each.read(each.answer(asked, request), 0)
        for each in (TASK, Rank(TASK.input, TASK.sentence, TASK.grid, False, 3, smoothing=0.2))
    )
    assert plain.words[0].box != plain.words[1].box and smooth.words[0].box == smooth.words[1].box
    assert plain.score == smooth.score == pytest.approx(1.5, abs=BORDER)


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 50.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_chain_is_as_good_as_the_best_of_all(places, labels, reward, seed):
    # Whole numbers, so that many alignments are equally good.
    table = np.random.default_rng(seed).integers(-4, 5, (places, labels)).astype(np.float32)

    def worth(chosen):
        return table[np.arange(places), chosen].sum() + reward * (np.diff(chosen) == 0).sum()

    best = max(worth(np.array(each)) for each in itertools.product(range(labels), repeat=places))
    assert worth(smoothed(ops, table[None], reward)[0]) == pytest.approx(best)


def test_rows_do_not_meet_in_the_chain():
    table = np.random.default_rng(3).normal(size=(4, 6, 5)).astype(np.float32)
    alone = [smoothed(ops, row[None], 0.7)[0] for row in table]
    np.testing.assert_array_equal(smoothed(ops, table, 0.7), alone)


def test_regions_are_drawn_on_the_picture_each_with_its_words():
    data = quarters(RED, BLACK, BLACK, GREEN, size=(80, 120))
    request = {"image_bytes": np.array([data], object), "text": np.array([b"red green red"], object)}
    told = TASK.read(TASK.answer(Stub(ops, PARTS), request), 0)
    assert told.files() == {}
    drawn = np.asarray(Pillow.open(io.BytesIO(told.on(data).files()["regions.png"])))
    assert drawn.shape == (80, 120, 3)
    assert (drawn != np.asarray(Pillow.open(io.BytesIO(data)))).any()


def test_the_card_brings_it_back():
    task = Rank(TASK.input, TASK.sentence, TASK.grid, True, 3, smoothing=0.5)
    assert again(task) == task


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": b" "}, "empty"),
        ({"text": b"unicorn meets griffin"}, "no word of the text"),
        ({"text": b"a a a a a a a"}, "more than 5 words"),
        ({"image_bytes": b"\xff\xd8\xff torn"}, "picture|image"),
    ],
)
def test_what_cannot_be_ranked_is_an_error(change, said):
    row = {"image_bytes": quarters(RED, BLACK, BLACK, GREEN), "text": b"red", **change}
    with pytest.raises(InputError, match=said):
        TASK.answer(Stub(ops, PARTS), {name: np.array([value], object) for name, value in row.items()})


@pytest.mark.parametrize("smoothing", [-1.0, float("nan")])
def test_what_smoothing_cannot_be(smoothing):
    with pytest.raises(UsageError, match="smoothing"):
        Rank(TASK.input, TASK.sentence, TASK.grid, False, 3, smoothing)


def test_regions_as_good_as_each_other_may_differ_between_engines():
    data = np.array([quarters(RED, RED, BLACK, GREEN)], object)
    expected = dict(TASK.answer(Stub(ops, PARTS), {"image_bytes": data, "text": np.array([b"red green"], object)}))
    other = {**expected, "box": expected["box"].copy()}
    other["box"][0, 0] = (6, 0, 12, 4)
    assert TASK.compare(expected, other)["box"] == 0
    worse = {**other, "word_score": expected["word_score"] * np.array([[0.5, 1, 1, 1, 1, 1]], np.float32)}
    assert TASK.compare(expected, worse)["box"] > 0 and TASK.compare(expected, worse)["word_score"] > 0


def test_a_match_without_words_of_a_place_draws_nothing():
    assert Match(0.0, (), (4, 4), png(np.zeros((4, 4, 3), np.uint8))).rows() == ["   0.000  in all"]
