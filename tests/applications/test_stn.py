import io
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerazoo
from kerazoo.applications import stn
from kerazoo.applications.stn import SpatialTransformer
from kerazoo.errors import UsageError
from tests.applications.common import close, pictures

SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"
IDENTITY = (1, 0, 0, 0, 1, 0)


def test_count_by_arithmetic():
    # 42 is pooled to 21, 5x5 windows leave 17, pooled to 8, 5x5 windows leave 4.
    localisation = (25 + 1) * 20 + (25 * 20 + 1) * 20 + (4 * 4 * 20 + 1) * 20 + 21 * 6
    # 21 is pooled to 10 and 5.
    classifier = (81 + 1) * 32 + (49 * 32 + 1) * 32 + (5 * 5 * 32 + 1) * 256 + 257 * 10
    model = SpatialTransformer(weights=None)
    assert model.count_params() == stn.VARIANTS["stn"].params == localisation + classifier == 277_544


def part(model, name):
    return keras.Model(model.input, model.get_layer(name).output)


def test_before_it_learns_it_shows_the_picture_as_it_is():
    model, x = SpatialTransformer(weights=None), pictures(2, 42, 42, 1)
    np.testing.assert_array_equal(part(model, "theta")(x), [IDENTITY] * 2)
    np.testing.assert_allclose(part(model, "transformed")(x), x, atol=1e-5)


def test_what_it_shows_is_what_the_answer_comes_from():
    """The classifier sees nothing but what the transformer lets through."""
    model, x = SpatialTransformer(weights=None), pictures(2, 42, 42, 1)
    model.get_layer("theta").bias.assign([1, 0, 5, 0, 1, 0])
    np.testing.assert_array_equal(model(x)[0], model(x)[1])
    model.get_layer("theta").bias.assign([-1, 0, 0, 0, 1, 0])
    mirrored = SpatialTransformer(weights=None)
    for mine, theirs in zip(mirrored.weights, model.weights, strict=True):
        mine.assign(theirs)
    mirrored.get_layer("theta").bias.assign(IDENTITY)
    close(model(x), mirrored(x[:, :, ::-1]), 1e-4)


def test_the_first_step_moves_the_transformer():
    model, x = SpatialTransformer(weights=None), np.abs(pictures(4, 42, 42, 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(x)))
    gradients = tape.gradient(loss, model.get_layer("theta").weights)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize(("pooling", "shape"), [(None, (1, 5, 5, 32)), ("avg", (1, 32)), ("max", (1, 32))])
def test_features(pooling, shape):
    model = SpatialTransformer(weights=None, include_top=False, pooling=pooling)
    assert model(pictures(1, 42, 42, 1)).shape == shape


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 60, 3), (65, 29, 2)])
def test_other_sizes(shape):
    assert SpatialTransformer(weights=None, input_shape=shape, classes=4)(pictures(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize(("shape", "told"), [((27, 40, 1), "at least 28"), ((None, None, 1), "a fixed size")])
def test_sizes_that_do_not_fit(shape, told):
    with pytest.raises(UsageError, match=told):
        SpatialTransformer(weights=None, input_shape=shape)
    if None not in shape:  # The limit is the architecture's own.
        with pytest.raises(ValueError):
            stn.build(stn.Config("stn", shape))


def seven(turn, size, left, top):
    """The example's digit, turned and scaled, somewhere on a black square."""
    digit = Image.open(SEVEN).convert("L")
    digit = digit.resize((size, size), Image.Resampling.BILINEAR).rotate(turn, Image.Resampling.BILINEAR)
    canvas = Image.new("L", (42, 42))
    canvas.paste(digit, (left, top))
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


PLACES = [(0, 28, 7, 7), (40, 28, 0, 0), (-40, 28, 14, 14), (30, 33, 9, 0), (-30, 20, 1, 21), (0, 20, 20, 2)]


@pytest.mark.parametrize("place", PLACES)
def test_reads_a_seven_wherever_it_lies(place):
    answer = kerazoo.load("stn:mnist-rts", engine="keras")(seven(*place))
    assert answer.indices[0] == 7


def test_it_learned_to_undo_the_turn_and_the_move():
    """What the classifier is shown of turned and moved digits is more alike than what the network is shown."""
    model = SpatialTransformer()
    shown = np.stack([np.asarray(Image.open(io.BytesIO(seven(*place)))) for place in PLACES])[..., None] / 255
    straight = np.asarray(part(model, "transformed")(shown.astype(np.float32)))

    def unlike(x):
        flat = x.reshape(len(x), -1)
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return 1 - (flat @ flat.T)[np.triu_indices(len(x), 1)].mean()

    assert unlike(straight) < 0.6 * unlike(shown)
