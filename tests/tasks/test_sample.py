from __future__ import annotations

import numpy as np
import pytest

from kerazoo.errors import InputError
from kerazoo.ops import numpy as ops
from kerazoo.predictor import request_row
from kerazoo.tasks.sample import FromNoise, Sample
from tests.tasks.stubs import Stub, again, both, pixels, text


def spread(ops, noise):
    """Noise laid out as a picture of 2 x 3 pixels."""
    return {"logits": ops.reshape(noise, (-1, 2, 3, 1))}


TASK = Sample(latents=6, height=2, width=3)


def test_the_same_seed_draws_the_same_picture_everywhere():
    seeds = np.array([0, 1, -1, 2**63 - 1, -(2**63)], np.int64)
    host, graph = both(TASK, {"seed": seeds}, decoder=spread)
    drawn = [pixels(png) for png in host["image_bytes"]]
    for first, second in zip(drawn, graph["image_bytes"], strict=True):
        assert np.abs(first.astype(int) - pixels(second)).max() <= 1
    assert len({picture.tobytes() for picture in drawn}) == len(seeds)
    alone = TASK.answer(Stub(ops, {"decoder": spread}), {"seed": seeds[2:3]})
    np.testing.assert_array_equal(pixels(alone["image_bytes"][0]), drawn[2])


def test_brightness_is_the_sigmoid():
    flat = Stub(ops, {"decoder": lambda ops, noise: {"logits": noise.reshape(-1, 2, 3, 1) * 0 + np.float32(np.log(3))}})
    drawn = pixels(TASK.answer(flat, {"seed": np.array([5])})["image_bytes"][0])
    assert (drawn == 191).all()  # 0.75 of 255


def test_result():
    answer = TASK.answer(Stub(ops, {"decoder": spread}), {"seed": np.array([5, 6])})
    assert TASK.read(answer, 1).rows() == ["3 x 2 pixels"]
    assert TASK.read(answer, 1).picture == answer["image_bytes"][1]
    assert again(TASK) == TASK


def test_noise_that_is_given_is_drawn_as_it_is():
    task = FromNoise(latents=6, height=2, width=3)
    noise = ops.normal(np.array([4, 5], np.int64), 6)
    host, graph = both(task, {"noise": noise}, decoder=spread)
    seeds = TASK.answer(Stub(ops, {"decoder": spread}), {"seed": np.array([4, 5])})
    assert list(host["image_bytes"]) == list(seeds["image_bytes"])
    for first, second in zip(host["image_bytes"], graph["image_bytes"], strict=True):
        assert np.abs(pixels(first).astype(int) - pixels(second)).max() <= 1
    assert again(task) == task


# --- of a class -------------------------------------------------------------------------------------------------------

ANIMALS = Sample(latents=6, height=2, width=3, labels=("cat", "dog", "1"))


def flat(ops, noise, label):
    """A picture as bright as its class's number."""
    grey = ops.cast(label, "float32")[:, None] * np.float32(1.0) + noise * np.float32(0)
    return {"logits": ops.reshape(grey, (-1, 2, 3, 1))}


def number(png):
    grey = pixels(png)[0, 0] / 255
    return round(np.log(grey / (1 - grey)))


def test_a_class_is_asked_for_by_name_or_number_or_left_to_the_seed():
    said = text("dog", "0", "2", "1", "", "", "")
    seeds = np.array([5, 5, 5, 5, 3, -1, 2**63 - 1], np.int64)
    # A class that is called 1 is meant before the one whose number that is.
    expected = [1, 0, 2, 2, 0, 2, (2**63 - 1) % 3]
    for answer in both(ANIMALS, {"seed": seeds, "label": said}, decoder=flat):
        assert [number(png) for png in answer["image_bytes"]] == expected
    assert [ANIMALS.turn(seed) for seed in (3, -1)] == [{"label": "cat"}, {"label": "1"}]
    assert again(ANIMALS) == ANIMALS


@pytest.mark.parametrize("label", ["horse", "3", "-1", "Cat", "01"])
def test_a_class_that_there_is_not_is_told_with_those_there_are(label):
    from tensorflow.errors import InvalidArgumentError

    asked = {"seed": np.array([1, 2]), "label": text("cat", label)}
    with pytest.raises(InputError, match="no such label; what can be drawn, by name or number: cat, dog, 1"):
        ANIMALS.answer(Stub(ops, {"decoder": flat}), asked)
    from kerazoo.ops import tensorflow as graph

    with pytest.raises(InvalidArgumentError, match="by name or number: cat, dog, 1"):
        import tensorflow as tf

        tensors = {name: tf.constant(values.tolist()) for name, values in asked.items()}
        ANIMALS.answer(Stub(graph, {"decoder": flat}), tensors)


def test_what_an_item_says_of_its_class():
    assert request_row(ANIMALS, 7) == {"seed": 7, "label": b""}
    assert request_row(ANIMALS, {"seed": 7, "label": 2})["label"] == b"2"
    assert request_row(ANIMALS, {"seed": 7, "label": "dog"})["label"] == b"dog"
    for wrong in (True, 1.5, None, ["dog"]):
        with pytest.raises(InputError, match="label takes the name of a class, or its number"):
            request_row(ANIMALS, {"seed": 7, "label": wrong})
    assert [port.name for port in TASK.request] == ["seed"]


def test_noise_that_is_given_wants_its_class():
    task = FromNoise(latents=6, height=2, width=3, labels=("cat", "dog"))
    noise = ops.normal(np.array([4, 5], np.int64), 6)
    for answer in both(task, {"noise": noise, "label": text("dog", "cat")}, decoder=flat):
        assert [number(png) for png in answer["image_bytes"]] == [1, 0]
    with pytest.raises(InputError, match="no such label"):
        task.answer(Stub(ops, {"decoder": flat}), {"noise": noise, "label": text("dog", "")})
