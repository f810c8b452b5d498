from __future__ import annotations

import numpy as np
import pytest

from kerazoo.codecs.image import Image
from kerazoo.codecs.text import END, SPECIAL, START, Vocabulary
from kerazoo.contract import Port
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks.caption import Caption
from tests.tasks.stubs import Stub, again, both, png

WORDS = Vocabulary((*SPECIAL, "a", "dark", "light", "picture", "."))
TASK = Caption(Image(2, 2), WORDS, (Port("h", "float32", (None, 1)),), limit=6)
AFTER = {START: "a", 4: None, 5: "picture", 6: "picture", 7: ".", 8: SPECIAL[END]}


def encoder(ops, image):
    """How light the picture is, from 0 to 1."""
    return {"h": ops.reshape(image, (-1, 12))[:, :1] / 255.0}


def decoder(ops, token, h):
    """A sentence by rote, but for the word that tells light from dark."""
    table = np.zeros((len(WORDS), len(WORDS)), np.float32)
    for before, word in AFTER.items():
        if word is not None:
            table[before, WORDS.index(word)] = 9.0
    logits = ops.gather(table, token)[:, 0]
    tells = ops.cast(token == WORDS.index("a"), "float32")
    dark, light = ((np.arange(len(WORDS)) == WORDS.index(word)).astype(np.float32) for word in ("dark", "light"))
    logits = logits + tells * (18.0 * h * light + 18.0 * (1.0 - h) * dark)
    return {"logits": logits[:, None], "next_h": h}


PARTS = {"encoder": encoder, "decoder": decoder}
PICTURES = np.array([png(np.full((5, 4, 3), level, np.uint8)) for level in (250, 10, 200)], object)


@pytest.mark.parametrize("changes", [{}, {"search": "beam"}, {"search": "beam", "width": 1}])
def test_pictures_are_told_alike_on_both_op_sets(changes):
    task = Caption(TASK.input, WORDS, TASK.states, limit=6, **changes)
    host, graph = both(task, {"image_bytes": PICTURES}, **PARTS)
    said = [task.read(host, row) for row in range(3)]
    assert [each.text for each in said] == ["a light picture.", "a dark picture.", "a light picture."]
    assert graph["caption"].tolist() == host["caption"].tolist()
    np.testing.assert_allclose(graph["score"], host["score"], rtol=1e-5)
    assert said[0].score > said[2].score
    assert said[0].rows() == [said[0].text] == [said[0].to_json()["text"]]
    assert said[0].files() == {"text.txt": b"a light picture.\n"}


def test_a_sentence_ends_at_its_limit():
    short = Caption(TASK.input, WORDS, TASK.states, limit=2)
    response = short.answer(Stub(ops, PARTS), {"image_bytes": PICTURES[:1]})
    assert response["caption"].tolist() == [b"a light"]


def test_what_is_no_picture_is_an_error():
    with pytest.raises(InputError):
        TASK.answer(Stub(ops, PARTS), {"image_bytes": np.array([b"\xff\xd8\xff torn"], object)})


def test_the_card_brings_it_back():
    assert again(TASK) == TASK


@pytest.mark.parametrize("wrong", [{"search": "deep"}, {"width": 0}, {"limit": 0}, {"length_penalty": -1.0}])
def test_what_it_cannot_be(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Caption(TASK.input, WORDS, TASK.states, **wrong)
