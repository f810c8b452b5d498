from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from kerazoo.applications import VisualSemantic, visual_semantic
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, UNKNOWN, placeholder
from kerazoo.errors import UsageError
from tests.conformance.models import fresh

NAME = "visual_semantic_small"
SMALL = visual_semantic.VARIANTS[NAME].small
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", visual_semantic.VARIANTS)
def test_count_by_arithmetic(name):
    config = visual_semantic.VARIANTS[name].config
    words, embedding, units, space = config.words, config.embedding, config.units, config.space
    # A quarter-width MobileNet, of its thousand classes and, for the finer grid, its last two blocks stripped.
    behind = 0 if config.blocks == 13 else (9 * 128 + 4 * 128 + 128 * 256 + 4 * 256) + (256 * (9 + 4 + 256 + 4))
    channels, regions = (256, 50) if config.blocks == 13 else (128, 196)
    picture = 218_544 - behind + (channels + 1) * space + regions * space
    sentence = words * embedding + (embedding + 1) * units + 2 * (units + 1) * units + (units + 1) * space
    assert picture + sentence == visual_semantic.VARIANTS[name].params


def test_scores_are_the_sum_over_words_of_the_best_region():
    model = fresh(NAME).keras
    random = np.random.default_rng(0)
    image = random.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    tokens = np.array([[5, 6, 7, END, 0, 0, 0, 0], [8, 9, END, 0, 0, 0, 0, 0], [5, UNKNOWN, 9, 4, 5, 6, 7, END]])
    scores = np.asarray(model([image, tokens.astype(np.int32)]))
    regions = np.asarray(model.get_layer("picture")(image))
    words = np.asarray(model.get_layer("sentence")(tokens.astype(np.int32)))
    assert scores.shape == (2, 3) and regions.shape == (2, 16, SMALL.space) and words.shape == (3, 8, SMALL.space)
    for picture in range(2):
        for sentence in range(3):
            total = 0.0
            for place, token in enumerate(tokens[sentence]):
                if token >= 4:
                    total += max(float(region @ words[sentence, place]) for region in regions[picture])
            assert scores[picture, sentence] == pytest.approx(total, rel=1e-4)


def test_a_word_is_read_as_the_paper_writes_it():
    """Equations 2 to 6, one word after the other, in both directions."""
    sentence = fresh(NAME).keras.get_layer("sentence")
    weights = {variable.path.rpartition("sentence/")[2]: variable.numpy() for variable in sentence.weights}
    tokens = [5, 9, 7]

    def dense(name, value):
        return value @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    told = [np.maximum(dense("entrance", weights["word_embedding/embeddings"][token]), 0) for token in tokens]
    ahead, back = np.zeros((3, SMALL.units)), np.zeros((3, SMALL.units))
    state = np.zeros(SMALL.units)
    for place in range(3):
        ahead[place] = state = np.maximum(told[place] + dense("forward", state), 0)
    state = np.zeros(SMALL.units)
    for place in (2, 1, 0):
        back[place] = state = np.maximum(told[place] + dense("backward", state), 0)
    expected = np.maximum(dense("word", ahead + back), 0)
    found = np.asarray(sentence(np.array([[*tokens, END, 0, 0, 0, 0]], np.int32)))[0]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-4, atol=1e-5)
    assert (found[3:] == 0).all()


def test_a_region_knows_where_it_is():
    picture = fresh(NAME).keras.get_layer("picture")
    flat = np.asarray(picture(np.zeros((1, 64, 64, 3), np.float32)))[0].reshape(4, 4, -1)
    # In the middle all that is seen is alike.
    assert np.abs(flat[1, 1] - flat[2, 2]).max() > 1e-3


def test_a_vocabulary_is_needed_and_must_fit():
    with pytest.raises(UsageError, match="no vocabulary"):
        visual_semantic.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match=f"has 31 words; {NAME} has 30"):
        visual_semantic.tasks(SMALL, Assets(vocabulary=placeholder(31)))
    task = visual_semantic.tasks(SMALL, Assets(vocabulary=placeholder(30)))["rank"]
    assert task.grid == (4, 4) and task.sentence.length == SMALL.length and not task.full


def test_wrong_arguments():
    for arguments in ({"words": 0}, {"dropout": 1}, {"input_shape": (16, 16, 3)}, {"blocks": 7}, {"weights": "mine"}):
        with pytest.raises(UsageError):
            VisualSemantic(**arguments)


def test_things_of_a_scene_are_where_they_are_said_to_be():
    spec = importlib.util.spec_from_file_location("captioner_scenes", RECIPES / "captioner_scenes.py")
    scenes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenes)
    for number in range(40):
        picture, sentence, boxes = scenes.located(np.random.default_rng(number))
        pixels = np.asarray(picture)
        named = [word for word in sentence.split() if word in scenes.COLOURS]
        assert len(named) == len(boxes)
        for colour, (left, top, right, bottom) in zip(named, boxes, strict=True):
            assert tuple(pixels[round((top + bottom) / 2), round((left + right) / 2)]) == scenes.COLOURS[colour]
