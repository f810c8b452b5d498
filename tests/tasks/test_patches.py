"""The mean of what overlapping patches say, and answers shown on pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks import _patches
from kerazoo.tasks._drawing import LONGEST, palette
from kerazoo.tasks._patches import over_patches
from kerazoo.tasks.segment import Mask, Patches
from tests.tasks.stubs import Stub, again, both, pixels, png, scene, text


def uneven(ops, patches):
    """Probabilities that depend on the pixel and on its place in the patch."""
    side = patches.shape[1]
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    chance = patches[..., :1] / 510.0 + (0.3 * y + 0.2 * x)[None, :, :, None]
    return ops.concat([1.0 - chance, chance], -1)


def expected(grey, patch, stride):
    """Patch by patch onto two sums, as the author's `recompone_overlap` does."""
    height, width = grey.shape
    tall, wide = (max(-(-(side - patch) // stride), 0) * stride + patch for side in (height, width))
    padded = np.pad(grey, ((0, tall - height), (0, wide - width))).astype(np.float32)
    sums, counts = np.zeros((tall, wide, 2)), np.zeros((tall, wide, 1))
    for y in range(0, tall - patch + 1, stride):
        for x in range(0, wide - patch + 1, stride):
            sums[y : y + patch, x : x + patch] += uneven(np_ops, padded[None, y : y + patch, x : x + patch, None])[0]
            counts[y : y + patch, x : x + patch] += 1
    return (sums / counts)[:height, :width]


class np_ops:
    concat = staticmethod(np.concatenate)


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(8, 5), (6, 6), (7, 2), (4, 1)]), st.integers(9, 30))
def test_every_patch_counts_once(height, width, sizes, block):
    patch, stride = sizes
    grey = scene(height, width)[..., 0]
    before, _patches.BLOCK = _patches.BLOCK, block
    try:
        found = over_patches(ops, grey[..., None], patch, stride, lambda each: uneven(ops, each), 2)
    finally:
        _patches.BLOCK = before
    mean = expected(grey, patch, stride)
    assert found.shape == (height, width, 2)
    chance = mean[..., 1] * 255
    # A number that is whole but for rounding may fall on either side.
    assert np.abs(found[..., 1] - np.floor(chance))[np.abs(chance - np.round(chance)) > 1e-3].max(initial=0) == 0
    apart = np.abs(mean[..., 1] - 0.5) > 1e-4
    np.testing.assert_array_equal(found[..., 0][apart], (mean[..., 1] > 0.5)[apart])


@pytest.mark.parametrize("size", [(1, 1), (9, 31), (30, 12)])
def test_as_a_task_on_both_sides(size):
    def network(ops, image):
        chance = image / 255.0
        return {"logits": ops.concat([chance * 0.0 + 0.5, chance], -1) * 9.0}

    task = Patches(("ground", "vessel"), patch=8, stride=5)
    grey = scene(*size)[..., 0]
    host, graph = both(task, {"image_bytes": text(png(grey))}, network=network)
    for answer in (host, graph):
        np.testing.assert_array_equal(pixels(answer["mask_bytes"][0]), grey > 127)
        assert pixels(answer["chance_bytes"][0]).shape == size
    apart = np.abs(pixels(host["chance_bytes"][0]).astype(int) - pixels(graph["chance_bytes"][0]))
    assert apart.max() <= 1
    assert again(task) == task
    result = task.read(host, 0)
    assert list(result.files()) == ["mask.png", "chance.png"]


def test_memory_is_bounded():
    """However large the picture, the network sees one row of patches of a block at a time."""
    network = Stub(ops, {"network": lambda ops, image: {"logits": ops.concat([image, image], -1)}})
    Patches(("a", "b"), patch=4, stride=4).answer(network, {"image_bytes": text(png(np.zeros((8, 1600), np.uint8)))})
    assert max(call["image"].shape[0] for call in network.calls) <= _patches.BLOCK


def test_a_stride_longer_than_the_patch_is_refused():
    with pytest.raises(UsageError, match="leaves pixels out"):
        Patches(("a", "b"), patch=4, stride=5)


def test_the_palette_is_pascal_s():
    assert palette(4).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette(256)[[8, 15, 255]].tolist() == [[64, 0, 0], [192, 128, 128], [224, 224, 192]]


@pytest.mark.parametrize("size", [(1, 1), (40, 60), (30, 2500)])
def test_a_mask_is_shown_on_its_picture(size):
    picture = np.full((*size, 3), 200, np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[:, size[1] // 2 :] = 2
    result = Mask(("ground", "cat", "dog"), (0.5, 0.0, 0.5), png(mask)).on(png(picture))
    files = result.files()
    assert list(files) == ["mask.png", "colours.png", "overlay.png"] and files["mask.png"] == png(mask)
    coloured = Pillow.open(io.BytesIO(files["colours.png"]))
    np.testing.assert_array_equal(np.asarray(coloured), mask)
    assert coloured.convert("RGB").getpixel((size[1] - 1, 0)) == (0, 128, 0)
    overlay = np.asarray(Pillow.open(io.BytesIO(files["overlay.png"])))
    assert max(overlay.shape[:2]) == min(max(size), LONGEST)
    assert overlay[0, -1].tolist() == [80, 156, 80]
    assert size[1] == 1 or overlay[0, 0].tolist() == [200, 200, 200]
