"""Which weights go: exactly as many as were asked for, and the right ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.errors import UsageError
from kerazoo.prune import masks
from kerazoo.prune.graph import Kernel, classifier, kernels
from kerazoo.prune.schedules import Gradual, OneShot
from tests.prune import networks

shares = st.floats(0.0, 1.0, exclude_max=True)
scores = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=40), min_size=1, max_size=4).map(
    lambda rows: {str(number): np.array(row, float) for number, row in enumerate(rows)}
)


@given(scores, shares)
@settings(max_examples=60)
def test_exactly_that_share_goes_and_what_goes_scores_no_more_than_what_stays(found, share) -> None:
    made = masks.unstructured(found, share, "global")
    kept = np.concatenate([made[name] for name in found])
    values = np.concatenate(list(found.values()))
    assert (~kept).sum() == round(share * len(kept))
    if kept.any() and not kept.all():
        assert values[~kept].max() <= values[kept].min()
    for name, mask in masks.unstructured(found, share, "layer").items():
        assert (~mask).sum() == round(share * mask.size), name


@given(scores, shares, shares, st.sampled_from(masks.SCOPES))
@settings(max_examples=60)
def test_what_is_zero_stays_zero(found, first, second, scope) -> None:
    low, high = sorted((first, second))
    before = masks.unstructured(found, low, scope)
    after = masks.unstructured({name: -value for name, value in found.items()}, high, scope, before)
    for name, mask in after.items():
        assert not (mask & ~before[name]).any()


def _kernel(shape: tuple[int, ...], name: str = "conv") -> Kernel:
    return Kernel(name, keras.Variable(np.random.default_rng(0).normal(size=shape), name=name), 1)


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (8, 3), (1, 1, 12, 2)])
def test_two_of_every_four_weights_of_an_output_stay_and_they_are_the_largest(shape) -> None:
    kernel = _kernel(shape)
    mask = masks.two_of_four([kernel], masks.magnitude([kernel]))[kernel.path]
    fours = mask.reshape(-1, 4, shape[-1])
    assert (fours.sum(1) == 2).all()
    values = np.abs(kernel.variable.numpy()).reshape(fours.shape)
    assert (np.where(fours, values, np.inf).min(1) >= np.where(fours, -np.inf, values).max(1)).all()


def test_fours_that_do_not_come_out_even_are_named_with_what_to_do() -> None:
    found = [_kernel((3, 3, 3, 8), "first"), _kernel((8, 8), "second")]
    with pytest.raises(UsageError, match=r"first \(27\)(.|\n)*--keep first"):
        masks.two_of_four(found, masks.magnitude(found))
    depthwise = kernels(networks.separable(), ["conv*", "pw*"])
    with pytest.raises(UsageError, match=r"dw1 \(9\), dw2 \(9\)"):
        masks.two_of_four(depthwise, masks.magnitude(depthwise))


def test_random_scores_depend_on_the_seed_and_the_layer_alone() -> None:
    found = kernels(networks.plain())
    one, same, other = (masks.random(found, seed) for seed in (1, 1, 2))
    for path in one:
        assert np.array_equal(one[path], same[path])
        assert not np.array_equal(one[path], other[path])


def test_the_cubic_schedule_is_that_of_the_paper() -> None:
    course = Gradual(0.8, end=100, begin=20, every=10, first=0.1)
    assert [course.at(step) for step in (0, 19, 25, 101)] == [None] * 4
    assert course.at(20) == pytest.approx(0.1)
    assert course.at(60) == pytest.approx(0.8 - 0.7 * 0.5**3)
    assert course.at(100) == 0.8
    steps = [share for step in range(200) if (share := course.at(step)) is not None]
    assert steps == sorted(steps)
    assert len(steps) == 9
    assert [OneShot(0.5).at(step) for step in (0, 1)] == [0.5, None]


@given(st.integers(0, 50), st.integers(0, 300), st.integers(1, 70), st.floats(0.01, 0.99))
@settings(max_examples=60)
def test_whatever_the_steps_the_schedule_arrives(begin, length, every, final) -> None:
    course = Gradual(final, end=begin + length, begin=begin, every=every)
    found = [share for step in range(begin + length + 1) if (share := course.at(step)) is not None]
    assert found[-1] == final
    assert all(0 <= share <= final + 1e-9 for share in found)


def test_multiply_adds_are_those_of_the_books() -> None:
    found = {kernel.layer: kernel.multiply_adds for kernel in kernels(networks.separable())}
    assert found["conv1"] == 8 * 8 * 3 * 3 * 3 * 8
    assert found["dw2"] == 8 * 8 * 3 * 3 * 16 * 2
    assert found["pw2"] == 8 * 8 * 3 * 3 * 32 * 16
    assert found["conv_preds"] == 16 * 4
    assert classifier(networks.plain()) == "predictions"


def test_a_model_without_such_layers_says_so() -> None:
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs), name="none")
    with pytest.raises(UsageError, match="none has no layer that can be pruned"):
        kernels(model)
    with pytest.raises(UsageError, match="--keep conv9: plain has no such layer; it has conv1"):
        kernels(networks.plain(), ["conv9"])
    with pytest.raises(UsageError, match="leaves nothing"):
        kernels(networks.plain(), ["*"])
