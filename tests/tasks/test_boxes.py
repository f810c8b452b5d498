from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.ops import numpy as host
from kerazoo.ops import tensorflow as graph
from kerazoo.tasks._boxes import nms


def both(boxes, scores, *arguments, **options):
    """What NumPy says, after holding a traced graph's answer to it, bit by bit."""
    said = nms(host, boxes, scores, *arguments, **options)
    specs = [tf.TensorSpec((None, *each.shape[1:]), tf.float32) for each in (boxes, scores)]
    traced = tf.function(lambda b, s: nms(graph, b, s, *arguments, **options), input_signature=specs, autograph=False)
    for mine, theirs in zip(said, traced(boxes, scores), strict=True):
        assert theirs.dtype.as_numpy_dtype == mine.dtype
        np.testing.assert_array_equal(theirs.numpy(), mine)
    return said


def one_by_one(boxes, scores, count, overlap, least):
    """The definition, for one picture: (score, box, class) that stay."""
    pairs = [(scores[b, c], b, c) for b in range(scores.shape[0]) for c in range(scores.shape[1])]
    stay: list[tuple[float, int, int]] = []
    for score, b, c in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if score > least and not any(c == d and iou(boxes[a], boxes[b]) > overlap for _, a, d in stay):
            stay.append((score, b, c))
    return stay[:count]


def iou(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


@settings(max_examples=25, derandomize=True)
@given(
    st.integers(0, 10**6), st.integers(1, 2), st.integers(1, 14), st.integers(1, 3), st.integers(1, 12),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 0.4]),
)  # fmt: skip
def test_it_is_what_its_definition_says(seed, batch, many, classes, count, overlap, least):
    rng = np.random.default_rng(seed)
    corner, size = rng.integers(0, 6, (batch, many, 2)), rng.integers(0, 6, (batch, many, 2))
    boxes = np.concatenate([corner, corner + size], -1).astype(np.float32)
    # Few different scores, so that ties are many.
    scores = (rng.integers(0, 6, (batch, many, classes)) / 5).astype(np.float32)
    box, score, kind, found = both(boxes, scores, count, overlap, least)
    assert box.shape == (batch, count, 4) and score.shape == kind.shape == (batch, count)
    for row in range(batch):
        stay = one_by_one(boxes[row], scores[row], count, overlap, least)
        assert found[row] == len(stay)
        assert score[row].tolist() == [each for each, _, _ in stay] + [0] * (count - len(stay))
        assert kind[row].tolist() == [c for _, _, c in stay] + [0] * (count - len(stay))
        np.testing.assert_array_equal(box[row, : len(stay)], boxes[row, [b for _, b, _ in stay]].reshape(-1, 4))
        assert not box[row, len(stay) :].any()


def test_it_is_what_tensorflow_says():
    rng = np.random.default_rng(1)
    corner, size = rng.uniform(0, 80, (2, 300, 2)), rng.uniform(2, 30, (2, 300, 2))
    boxes = np.concatenate([corner, corner + size], -1).astype(np.float32)
    scores = rng.uniform(0, 1, (2, 300, 5)).astype(np.float32)
    box, score, kind, found = both(boxes, scores, 50, 0.45, 0.25, candidates=1500)
    theirs = tf.image.combined_non_max_suppression(
        boxes[:, :, None], scores, 300, 50, iou_threshold=0.45, score_threshold=0.25, clip_boxes=False
    )
    np.testing.assert_allclose(box, theirs[0], rtol=1e-6)
    np.testing.assert_array_equal(score, theirs[1])
    np.testing.assert_array_equal(kind, theirs[2])
    np.testing.assert_array_equal(found, theirs[3])


def test_a_chain_is_resolved_from_its_strongest_end():
    # Each box overlaps its neighbours alone: every second one stays, however long the chain is.
    top = np.arange(40, dtype=np.float32)
    boxes = np.stack([top, top * 0, top + 1.6, top * 0 + 1], -1)[None]
    scores = np.linspace(1, 0.1, 40, dtype=np.float32)[None, :, None]
    box, _, _, found = both(boxes, scores, 40, 0.2)
    assert found[0] == 20
    assert box[0, :20, 0].tolist() == list(range(0, 40, 2))


def test_only_the_strongest_are_looked_at():
    boxes = np.zeros((1, 6, 4), np.float32) + np.array([0, 0, 1, 1], np.float32)
    boxes += np.arange(6, dtype=np.float32)[:, None] * 2
    scores = np.array([0.1, 0.9, 0.3, 0.8, 0.2, 0.7], np.float32)[None, :, None]
    *_, found = both(boxes, scores, 6, candidates=3)
    assert found.tolist() == [3]


@pytest.mark.parametrize("batch", [0, 3])
def test_nothing_above_the_least_is_nothing(batch):
    boxes, scores = np.ones((batch, 4, 4), np.float32), np.full((batch, 4, 2), 0.1, np.float32)
    _, score, _, found = both(boxes, scores, 5, least=0.5)
    assert found.tolist() == [0] * batch
    assert not score.any()
