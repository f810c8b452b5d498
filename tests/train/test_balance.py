"""Class imbalance: what is drawn, what is learnt, and the measure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.errors import UsageError
from kerazoo.train import balance, losses
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.run import batches, run
from tests.train.common import classifier

COUNTS = (40, 12, 4, 8)
LABELS = np.repeat(np.arange(4), COUNTS)


def skewed() -> Arrays:
    pictures = np.random.default_rng(7).integers(0, 256, (4, 6, 6, 1)).astype(np.uint8)
    return Arrays((pictures[LABELS], LABELS))


def made(kind: str, **changes: Any) -> Any:
    recipe = classifier(data=skewed(), augment=None, **changes)
    return balance.balanced(recipe, kind, LABELS, 4)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 99))
def test_every_class_gets_its_number_and_no_sample_is_favoured(counts: list[int], each: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = balance.resampled(labels, np.random.default_rng(seed), each)
    assert Counter(labels[rows].tolist()) == dict.fromkeys(range(len(counts)), each)
    for kind, count in enumerate(counts):
        times = Counter(rows[labels[rows] == kind].tolist())
        assert set(times.values()) <= {each // count, each // count + 1}


@pytest.mark.parametrize(("kind", "each"), [("over", 40), ("under", 4)])
def test_sampling_makes_all_classes_as_frequent(kind: str, each: int) -> None:
    recipe = made(kind)
    assert len(recipe.data) == 4 * each
    everything = recipe.data.batch(np.arange(len(recipe.data)), np.random.default_rng(0))
    assert np.bincount(everything[1]).tolist() == [each] * 4
    assert recipe.data.fingerprint != skewed().fingerprint
    assert recipe.identity == made(kind).identity != made("none").identity


def test_two_phases_draw_evenly_and_then_as_it_is() -> None:
    recipe = made("two_phase", epochs=6, batch=64)
    first, second = (np.concatenate([np.asarray(batch[1]) for batch in batches(recipe, epoch)]) for epoch in (0, 5))
    assert np.bincount(second).tolist() == list(COUNTS)
    assert np.bincount(first, minlength=4).min() >= 8  # Of 64 where 16 are expected each.


def test_in_the_second_phase_the_last_layer_alone_learns(tmp_path: Any) -> None:
    recipe = made("two_phase", epochs=2)
    first = run(replace(recipe, epochs=1), tmp_path / "out", say=print).state.model
    before = {variable.path: variable.numpy() for variable in first.trainable_variables}
    # Goes on from the file, as after a power cut.
    after = run(recipe, tmp_path / "out", say=print).state.model
    changed = {v.path for v in after.trainable_variables if not np.array_equal(v, before[v.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}
    assert all(layer.trainable for layer in after.layers)


def test_thresholds_are_the_outputs_over_the_priors() -> None:
    step: Any = made("thresholds").step
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0])
    share = np.array(COUNTS) / sum(COUNTS)
    # A network that was trained as ever says p. Ours is trained as if its p had been multiplied by the priors.
    powers = np.exp(logits) * share
    wanted = -np.log(powers / powers.sum(1, keepdims=True))[np.arange(5), labels]
    np.testing.assert_allclose(np.asarray(step.loss(tf.constant(labels), tf.constant(logits))), wanted, rtol=1e-4)


def test_weights_make_every_class_count_the_same() -> None:
    step: Any = made("weights").step
    logits = tf.zeros((len(LABELS), 4))
    values = np.asarray(step.loss(tf.constant(LABELS), logits))
    totals = [values[kind == LABELS].sum() for kind in range(4)]
    assert totals == pytest.approx([totals[0]] * 4, rel=1e-4)
    assert values.mean() == pytest.approx(np.log(4), rel=1e-4)


def test_words_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match=r"balance=ower is not known(.|\n)*over"):
        made("ower")
    step: Any = made("focal").step
    assert step.loss == losses.Classes("focal")
    assert made("none").identity == classifier(data=skewed(), augment=None).identity


@pytest.mark.parametrize("kind", balance.KINDS)
def test_each_kind_learns(kind: str, tmp_path: Any) -> None:
    outcome = run(made(kind, epochs=3), tmp_path / kind, say=print)
    assert outcome.history[-1]["loss"] < outcome.history[0]["loss"]


@given(st.integers(0, 999), st.integers(2, 30), st.booleans())
def test_the_area_is_the_share_of_pairs_in_the_right_order(seed: int, count: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 3, count), rng.random((count, 3))
    scores = np.round(scores, 1) if tied else scores
    found = balance.roc_auc(labels, scores)
    for kind in range(3):
        mine, others = scores[labels == kind, kind], scores[labels != kind, kind]
        if len(mine) and len(others):
            pairs = mine[:, None] - others[None]
            assert found[kind] == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
        else:
            assert np.isnan(found[kind])


def test_the_shares_of_classes_that_do_not_occur() -> None:
    found = balance.priors(np.array([0, 0, 0, 2]), 3)
    assert found.sum() == pytest.approx(1) and (found > 0).all()
