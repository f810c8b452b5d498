"""Losses of the papers, against their formulas in NumPy and against Keras' own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.codecs.image import Normalise
from kerazoo.errors import UsageError
from kerazoo.train import losses

LABELS = np.array([2, 0, 1, 2])
LOGITS = np.random.default_rng(0).normal(0, 2, (4, 3)).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
SIGMOID = 1 / (1 + np.exp(-LOGITS))

BY_HAND = {
    "cross_entropy": -np.log(SOFTMAX[np.arange(4), LABELS]),
    "kl": -np.log(SOFTMAX[np.arange(4), LABELS]),  # Of what is certain: the entropy is 0.
    "binary_cross_entropy": -(ONE_HOT * np.log(SIGMOID) + (1 - ONE_HOT) * np.log(1 - SIGMOID)).mean(1),
    "mse": ((SOFTMAX - ONE_HOT) ** 2).mean(1),
    "mae": np.abs(SOFTMAX - ONE_HOT).mean(1),
    "msle": ((np.log1p(SOFTMAX) - np.log1p(ONE_HOT)) ** 2).mean(1),
    "hinge": np.maximum(0, 1 - (2 * ONE_HOT - 1) * LOGITS).mean(1),
    # Keras takes the other classes' outputs for 0 at least.
    "categorical_hinge": np.maximum(0, 1 + np.where(ONE_HOT > 0, 0, LOGITS).max(1) - LOGITS[np.arange(4), LABELS]),
    "focal": (
        -0.25 * ONE_HOT * (1 - SIGMOID) ** 2 * np.log(SIGMOID) - 0.75 * (1 - ONE_HOT) * SIGMOID**2 * np.log(1 - SIGMOID)
    ).sum(1),
}


@pytest.mark.parametrize("kind", [*losses.KINDS, "focal"])
def test_each_word_is_its_formula_of_numbers_and_of_shares(kind: str) -> None:
    loss = losses.Classes(kind)
    logits = tf.constant(LOGITS)
    for labels in (LABELS, LABELS.astype(np.uint8), ONE_HOT):
        np.testing.assert_allclose(np.asarray(loss(tf.constant(labels), logits)), BY_HAND[kind], rtol=2e-4, atol=1e-5)


def test_a_loss_that_is_not_known_is_refused_with_a_near_one() -> None:
    with pytest.raises(UsageError, match=r"loss=hing is not known(.|\n)*hinge"):
        losses.Classes("hing")


@given(st.integers(2, 9), st.floats(0, 0.9), st.integers(0, 99))
def test_smoothed_labels_are_shares_as_in_the_paper(classes: int, smoothing: float, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, 5)
    found = np.asarray(losses.shares(tf.constant(labels), classes, smoothing))
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[np.arange(5), labels], 1 - smoothing, rtol=1e-5)
    others = found[np.arange(classes) != labels[:, None]]
    np.testing.assert_allclose(others, smoothing / (classes - 1), rtol=1e-4, atol=1e-7)


def test_accuracy_of_mixed_labels_counts_the_larger_share() -> None:
    mixed = np.array([[0.6, 0.4], [0.2, 0.8]], np.float32)
    logits = tf.constant([[1.0, 0.0], [1.0, 0.0]])
    assert float(losses.accuracy(tf.constant(mixed), logits)) == 0.5
    assert float(losses.accuracy(tf.constant([0, 0]), logits, "what a teacher said")) == 1.0


def test_focal_loss_is_keras_own_where_that_is_exact() -> None:
    theirs = keras.losses.BinaryFocalCrossentropy(True, 0.25, 2.0, from_logits=True, reduction=None)
    terms = np.asarray(losses.focal_terms(tf.constant(ONE_HOT), tf.constant(LOGITS)))
    np.testing.assert_allclose(terms.mean(1), np.asarray(theirs(ONE_HOT, LOGITS)), rtol=1e-4)


@pytest.mark.parametrize("size", [0.0, 30.0, 200.0, 1e4])
def test_focal_loss_and_its_gradient_are_finite_however_sure_the_network_is(size: float) -> None:
    logits = tf.Variable([[-size, size], [size, -size]])
    targets = tf.constant([[1.0, 0.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        value = losses.focal(targets, logits)
    slope = tape.gradient(value, logits).numpy()
    assert np.isfinite(float(value)) and np.isfinite(slope).all()
    if size >= 30:
        # Wrong by `size`: both terms are as large as the distance, over two positives.
        assert float(value) == pytest.approx((0.25 + 0.75) * size / 2, rel=1e-4)
        assert slope[0] == pytest.approx([-0.125, 0.375], rel=1e-3) and np.abs(slope[1]).max() < 1e-6


def test_focal_loss_is_over_positives_and_leaves_anchors_out() -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(2, 50, 3)).astype(np.float32), np.zeros((2, 50, 3), np.float32)
    terms = np.asarray(losses.focal_terms(tf.constant(targets), tf.constant(logits)))
    # Without positives: over 1.
    assert float(losses.focal(tf.constant(targets), tf.constant(logits))) == pytest.approx(terms.sum(), rel=1e-4)
    targets[0, :4, 1] = 1
    counted = np.ones((2, 50, 1), np.float32)
    counted[1] = 0
    found = losses.focal(tf.constant(targets), tf.constant(logits), tf.constant(counted))
    terms = np.asarray(losses.focal_terms(tf.constant(targets[:1]), tf.constant(logits[:1])))
    assert float(found) == pytest.approx(terms.sum() / 4, rel=1e-4)


def seeing() -> Any:
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3, activation="relu", name="near")(inputs)
    x = layers.Conv2D(2, 3, 2, name="far")(x)
    return keras.Model(inputs, layers.Dense(4, name="top")(layers.Flatten(name="flat")(x)), name="seeing")


def test_perceptual_loss_is_the_mean_squared_difference_of_feature_maps() -> None:
    model, rng = seeing(), np.random.default_rng(0)
    one, other = (tf.constant(rng.random((2, 12, 10, 1)), tf.float32) for _ in range(2))  # Another size than its own.
    prepare = Normalise("gray", 1.0, (0.5,))
    features = losses.features_of(model, ["near", "far"], prepare)
    loss = losses.Perceptual(features, weights=(1.0, 3.0), pixels=0.5)
    assert float(loss(one, one)) == 0
    near = [tf.nn.relu(tf.nn.conv2d(each - 0.5, model.get_layer("near").kernel, 1, "VALID")) for each in (one, other)]
    far = [tf.nn.conv2d(each, model.get_layer("far").kernel, 2, "VALID") for each in near]
    parts = [float(tf.reduce_mean((a - b) ** 2)) for a, b in (near, far, (one, other))]
    assert float(loss(one, other)) == pytest.approx(parts[0] + 3 * parts[1] + 0.5 * parts[2], rel=1e-4)


def test_perceptual_loss_teaches_pictures() -> None:
    model = seeing()
    features = losses.features_of(model, ["near"])
    made = tf.Variable(np.random.default_rng(1).random((1, 8, 8, 1)).astype(np.float32))
    with tf.GradientTape() as tape:
        value = losses.Perceptual(features)(tf.zeros((1, 8, 8, 1)), made)
    assert np.abs(tape.gradient(value, made)).max() > 0
    with pytest.raises(UsageError, match=r"seeing has no layer 'nea'(.|\n)*near"):
        losses.features_of(model, ["nea"])


@given(st.integers(1, 6), st.floats(0, 3), st.integers(0, 999))
def test_ranking_is_the_papers_double_loop(count: int, margin: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, kinds = random.normal(0, 2, (count, count)).astype(np.float32), random.integers(0, count, count)
    expected = np.zeros(count)
    for k in range(count):
        for other in range(count):
            if kinds[other] != kinds[k]:
                expected[k] += max(0, scores[k, other] - scores[k, k] + margin)
                expected[k] += max(0, scores[other, k] - scores[k, k] + margin)
    found = losses.Ranking(margin)(tf.constant(kinds), tf.constant(scores))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-5)
