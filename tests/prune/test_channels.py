"""Channels that hang together go together, and a network without them answers as one where they are zero."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kerazoo.errors import UsageError
from kerazoo.prune.channels import Traced, families, trace
from kerazoo.prune.graph import kernels
from kerazoo.prune.surgery import without
from kerazoo.prune.widths import Choice, going
from tests.prune import networks


def silence(traced: Traced, gone: np.ndarray) -> None:
    """Makes the channels zero in the network that was traced, wherever they are made or scaled."""
    lost = set(gone.tolist())
    for side in traced.sides:
        if not side.makes and len(side.variable.shape) > 1:
            continue
        values = np.moveaxis(side.variable.numpy(), side.axis, 0)
        values[[group in lost for group in traced.groups(side.channels).tolist()]] = 0
        side.variable.assign(np.moveaxis(values, 0, side.axis))


def work(model: Any) -> int:
    return sum(kernel.multiply_adds for kernel in kernels(model))


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("method", ["magnitude", "random"])
@pytest.mark.parametrize("kind", networks.KINDS)
def test_without_its_zero_channels_a_network_answers_as_before(kind: str, method: str, scope: str) -> None:
    model = networks.KINDS[kind]()
    before = work(model)
    traced, gone = going(model, Choice(0.4, method, scope, multiple=4))
    silence(traced, gone)
    made = without(model, traced, gone)
    x = networks.pictures()
    expected, got = (np.asarray(each(x, training=False)) for each in (model, made))
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    assert work(made) <= 0.6 * before
    assert made.count_params() < model.count_params()
    assert [layer.name for layer in made.layers] == [layer.name for layer in model.layers]
    assert made.output_shape == model.output_shape


@pytest.mark.parametrize("kind", networks.KINDS)
def test_a_narrower_network_is_saved_and_loaded_by_keras_alone(kind: str, tmp_path: Any) -> None:
    model = networks.KINDS[kind]()
    made = without(model, *going(model, Choice(0.3, multiple=4)))
    made.save(tmp_path / "narrow.keras")
    again = keras.models.load_model(tmp_path / "narrow.keras")
    x = networks.pictures()
    np.testing.assert_allclose(np.asarray(again(x)), np.asarray(made(x)), atol=1e-5)


def test_additions_tie_and_padding_with_zeros_does_not() -> None:
    sizes = sorted(len(groups) for groups in families(trace(networks.residual())))
    # The places of the zeros, which conv4 alone makes; conv1; conv0, conv2 and the middle of conv4 as one; conv3.
    assert sizes == [8, 16, 16, 24]


def test_depthwise_outputs_go_with_their_inputs() -> None:
    traced = trace(networks.separable())
    (inputs,), outputs = traced.calls["dw2"]
    assert traced.groups(outputs).tolist() == np.repeat(traced.groups(inputs), 2).tolist()


def test_what_goes_in_and_out_stays() -> None:
    model = networks.plain()
    traced = trace(model)
    free = traced.free()
    assert not free & set(traced.groups(traced.calls["predictions"][1]).tolist())
    assert not free & set(traced.groups(traced.calls["conv1"][0][0]).tolist())


def test_layers_that_are_not_known_keep_their_channels() -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(8, 3, name="before")(inputs)
    x = keras.layers.LayerNormalization(name="strange")(x)
    x = keras.layers.Conv2D(8, 3, name="after")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="top")(x))
    made = without(model, *going(model, Choice(0.2, multiple=2)))
    assert made.get_layer("before").filters == 8
    assert made.get_layer("after").filters < 8


def test_a_layer_used_twice_loses_the_same_channels_once() -> None:
    inputs = keras.Input((8, 8, 4), name="image")
    shared = keras.layers.Conv2D(8, 3, padding="same", name="shared")
    x = keras.layers.Conv2D(8, 1, name="first")(inputs)
    x = shared(keras.layers.ReLU(name="relu")(shared(x)))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="top")(x))
    made = without(model, *going(model, Choice(0.4, multiple=2)))
    kernel = made.get_layer("shared").kernel
    assert kernel.shape[2] == kernel.shape[3] < 8


def test_gradients_choose_the_channels_that_the_loss_does_not_miss() -> None:
    model = networks.plain()
    gradients = {variable.path: np.ones(variable.shape) for variable in model.weights}
    gradients["conv1/kernel"][..., :8] = 0.0
    gradients["conv1/bias"][:8] = 0.0
    made = without(model, *going(model, Choice(0.3, "gradient", "layer", multiple=8), gradients))
    old, new = (each.get_layer("conv1").kernel.numpy() for each in (model, made))
    np.testing.assert_array_equal(new, old[..., 8:])


def test_more_than_there_is_to_take_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"at most 0\.\d+ can go"):
        going(networks.plain(), Choice(0.99))
    inputs = keras.Input((8, 8, 3))
    alone = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="only")(inputs), name="alone")
    with pytest.raises(UsageError, match="No channel of alone can go"):
        going(alone, Choice(0.5))
    with pytest.raises(UsageError, match="No channel"):
        going(networks.plain(), Choice(0.1, keep=("*",)))
