from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from kerazoo.applications import Captioner, captioner
from kerazoo.assets import Assets
from kerazoo.codecs.text import START, placeholder
from kerazoo.errors import UsageError
from tests.conformance.models import fresh

SMALL = captioner.VARIANTS["captioner"].small
RECIPE = Path(__file__).parents[2] / "recipes" / "captioner_scenes.py"


@pytest.mark.parametrize("name", captioner.VARIANTS)
def test_count_by_arithmetic(name):
    config = captioner.VARIANTS[name].config
    words, embedding, units, channels = config.words, config.embedding, config.units, config.channels
    mobilenet = 475_544 - 257_000  # Without its thousand classes.
    state = 256 * channels + channels + 2 * (7 * 7 * channels * units + units)
    decoder = words * embedding + 4 * units * (embedding + units + 1) + (units + 1) * words
    assert mobilenet + state + decoder == captioner.VARIANTS[name].params


def test_a_sentence_at_once_is_one_word_after_the_other():
    model = fresh("captioner").keras
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    before = np.array([[START, 5, 6, 7], [START, 9, 9, 4]], np.int32)
    whole = np.asarray(model([image, before]))
    assert whole.shape == (2, 4, SMALL.words)
    decoder, state = model.get_layer("decoder"), model.get_layer("encoder")(image)
    for place in range(4):
        logits, *state = decoder([before[:, place : place + 1], *map(np.asarray, state)])
        np.testing.assert_allclose(whole[:, place], np.asarray(logits)[:, 0], atol=1e-5)


def test_the_state_tells_where_something_is():
    """What a mean over the grid would not tell apart."""
    encoder = fresh("captioner").keras.get_layer("encoder")
    image = np.full((1, 64, 64, 3), -1, np.float32)
    image[:, :32, :32] = 1
    left, right = (np.asarray(encoder(each)[0]) for each in (image, image[:, :, ::-1].copy()))
    assert np.abs(left - right).max() > 1e-3


def test_a_vocabulary_is_needed_and_must_fit():
    with pytest.raises(UsageError, match="no vocabulary"):
        captioner.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="has 31 words; captioner has 30"):
        captioner.tasks(SMALL, Assets(vocabulary=placeholder(31)))
    assert captioner.tasks(SMALL, Assets(vocabulary=placeholder(30)))["caption"].limit == SMALL.length


def test_wrong_arguments():
    for arguments in ({"words": 0}, {"dropout": 1}, {"input_shape": (16, 16, 3)}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            Captioner(**arguments)


def test_scenes_are_told_by_their_grammar():
    spec = importlib.util.spec_from_file_location("captioner_scenes", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    said = [recipe.scene(np.random.default_rng(number)) for number in range(300)]
    assert {len(sentence.split()) for _, sentence in said} <= {7, 8}
    for picture, sentence in said[:50]:
        words = sentence.split()
        pixels = np.asarray(picture).astype(int)
        # Each colour that is named is there, and the first of two lies left of the other, or above.
        named = [word for word in words if word in recipe.COLOURS]
        middles = [np.argwhere((pixels == recipe.COLOURS[colour]).all(-1)).mean(0) for colour in named]
        if len(set(named)) == 2:
            axis = 1 if "left" in words else 0
            assert middles[0][axis] < middles[1][axis]
        elif len(named) == 1:
            assert (words[-2] == "top") == (middles[0][0] < 112) and (words[-1] == "left") == (middles[0][1] < 112)
