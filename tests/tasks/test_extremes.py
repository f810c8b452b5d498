"""Pictures of one pixel, and of more than are decoded, to the tasks that answer of the picture's own size."""

import functools
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from kerazoo.codecs.image import Image
from kerazoo.errors import InputError
from kerazoo.ops import numpy as ops
from kerazoo.ops import pictures
from kerazoo.tasks.detect import Anchored, Anchors, Head, Retina
from kerazoo.tasks.segment import Tiled, Whole
from tests.tasks.stubs import Stub, png, text

LABELS = ("left", "right")


def heads(ops, image):
    return {"head0": np.full((len(image), 2, 2, 7), -9.0, np.float32)}


def moves(ops, image):
    return {"moves": np.zeros((len(image), 12, 4), np.float32), "logits": np.full((len(image), 12, 2), -9.0, "f")}


def maps(ops, image):
    return {"logits": np.concatenate([image[..., :1], 127.5 - 0.0 * image[..., :1]], -1)}


CASES = {
    "detect": (Anchored(Image(64, 64), LABELS, (Head(32, ((40.0, 30.0),)),)), heads),
    "detect, letterbox": (Anchored(Image(64, 64, fill="letterbox"), LABELS, (Head(32, ((40.0, 30.0),)),)), heads),
    "detect, anchors": (Retina(Image(64, 64, resize=32, fill="corner"), LABELS, Anchors((32,), ((32.0,),))), moves),
    "segment, whole": (Whole(Image(32, 48), LABELS), maps),
    "segment, tiles": (Tiled(LABELS, tile=16, shrink=0), maps),
}
every_case = pytest.mark.parametrize(("task", "network"), CASES.values(), ids=CASES)


@functools.cache
def plain(height, width):
    """A picture of a byte for eight pixels: white."""
    out = io.BytesIO()
    Pillow.new("1", (width, height), 1).save(out, "PNG")
    return out.getvalue()


@every_case
def test_one_pixel_is_answered(task, network):
    result = task.read(
        task.answer(Stub(ops, {"network": network}), {"image_bytes": text(png(np.zeros((1, 1, 3), np.uint8)))}), 0
    )
    told = result.to_json()
    assert told["boxes"] == [] if "boxes" in told else told["share"] == {"left": 0.0, "right": 1.0}


@every_case
def test_more_pixels_than_are_decoded_are_refused_before_they_take_any_memory(task, network):
    data, memory = plain(8_000, 12_000), pictures.decoding.get().memory
    memory.highest = memory.taken
    with pytest.raises(InputError, match=r"too large to decode: .*96000000 pixels"):
        task.answer(Stub(ops, {"network": network}), {"image_bytes": text(data)})
    assert memory.highest == 0


@pytest.mark.slow
@every_case
def test_a_picture_as_large_as_they_may_be_takes_no_more_than_pictures_may(task, network):
    """As long as a side may be; tiles go through the network a few at a time."""
    memory = pictures.decoding.get().memory
    memory.highest = memory.taken
    answer = task.answer(Stub(ops, {"network": network}), {"image_bytes": text(plain(10, 65_000))})
    assert 0 < memory.highest <= memory.most and memory.taken == 0
    assert task.read(answer, 0).to_json()
