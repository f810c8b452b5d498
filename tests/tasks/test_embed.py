"""Pictures and sentences as vectors."""

from __future__ import annotations

import io
import json

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.codecs.text import SPECIAL, Text, Vocabulary
from kerazoo.ops import numpy as ops
from kerazoo.tasks.embed import Embed, Vector
from tests.tasks.stubs import Stub, again, both, png, scene, text


def means(ops, image):
    """Mean red, green and blue."""
    return {"embedding": ops.sum(ops.sum(image, 1), 1) / 48.0}


PICTURE = Embed(Image(6, 8), size=3)


def test_a_picture_is_its_vector_on_both_op_sets():
    pictures = scene(6, 8), scene(6, 8)[::-1] // 2
    host, graph = both(PICTURE, {"image_bytes": text(*map(png, pictures))}, network=means)
    expected = np.stack([picture.reshape(-1, 3).mean(0) for picture in pictures])
    for answer in (host, graph):
        np.testing.assert_allclose(answer["vector"], expected, rtol=1e-5)


def test_unit_vectors_keep_their_direction_and_nothing_stays_nothing():
    task = Embed(Image(6, 8), size=3, part="encoder", unit=True)
    black = np.zeros((6, 8, 3), np.uint8)
    host, graph = both(task, {"image_bytes": text(png(scene(6, 8)), png(black))}, encoder=means)
    plain = PICTURE.answer(Stub(ops, {"network": means}), {"image_bytes": text(png(scene(6, 8)))})["vector"][0]
    for answer in (host, graph):
        np.testing.assert_allclose(answer["vector"][0], plain / np.linalg.norm(plain), rtol=1e-5)
        assert answer["vector"][1].tolist() == [0, 0, 0]


def test_a_sentence_is_a_vector_too():
    task = Embed(Text(Vocabulary((*SPECIAL, "good", "film")), length=4), size=2)

    def counts(ops, tokens):
        return {"embedding": ops.stack([ops.sum(ops.cast(tokens == word, "float32"), 1) for word in (4, 5)], -1)}

    host, graph = both(task, {"text": text("good good film", "film")}, network=counts)
    for answer in (host, graph):
        assert answer["vector"].tolist() == [[2, 1], [0, 1]]
    assert again(task) == task


def test_result():
    numbers = np.array([0.1, -2, 1 / 3, 4e-8, 5, 6, 7], np.float32)
    result = PICTURE.read({"vector": np.stack([numbers * 0, numbers])}, 1)
    assert isinstance(result, Vector)
    assert result.rows() == ["7 numbers: 0.1 -2 0.3333 4e-08 5 6 ..."]
    told = json.loads(json.dumps(result.to_json(limit=1)))
    np.testing.assert_array_equal(np.array(told["vector"], np.float32), numbers)
    assert told["vector"][0] == 0.1, "no digits that float32 does not hold"
    (name,) = files = result.files()
    assert name == "vector.npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(files[name])), numbers)
