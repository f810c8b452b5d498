from __future__ import annotations

import numpy as np

from kerazoo.ops import numpy as ops
from kerazoo.tasks.sample import FromNoise, Sample
from tests.tasks.stubs import Stub, again, both, pixels


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
