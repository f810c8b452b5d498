"""Networks learn: by the step of `kerazoo.train` a handful of samples is fitted, saved, and answered alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerazoo import own
from kerazoo.engines import keras as keras_engine
from kerazoo.train import losses, product
from kerazoo.train import state as state_
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.translate import worded
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.supervised import Supervised
from tests.conformance.models import asked, converting, family, flat, fresh

ROWS, STEPS = 4, 60


@dataclass(frozen=True)
class Handful:
    """Samples that a network can learn by heart.

    Attributes:
        inputs: Of the whole network, one array each.
        known: What the loss takes beside the output.
        loss: Of the known and the output.
        rate: Of learning.
    """

    inputs: list[np.ndarray]
    known: list[np.ndarray]
    loss: Callable[..., Any] = losses.cross_entropy
    rate: float = 1e-3


def _seen(made: Any, rows: int) -> list[np.ndarray]:
    """What the one network sees of golden requests."""
    inputs = dict(asked(made, keras_engine.network(made), rows).calls[0].inputs)
    if made.normalise is not None:
        inputs["image"] = made.normalise(inputs["image"])
    return [np.asarray(inputs[port.name]) for port in next(iter(made.task.parts.values())).inputs]


def classify(made: Any) -> Handful:
    inputs = _seen(made, ROWS)
    known = [np.arange(len(inputs[0])) % made.task.units]
    if inputs[0].dtype.kind == "i":  # Golden texts are all the same.
        inputs = [np.random.RandomState(0).randint(4, 20, inputs[0].shape).astype(np.int32)]
        return Handful(inputs, known, rate=1e-2)
    return Handful(inputs, known)


def segment(made: Any) -> Handful:
    """Light pixels and dark ones."""
    (image,) = _seen(made, ROWS)
    height, width = made.keras.output.shape[1:3]
    rows, columns = (
        (np.arange(extent) + 0.5) * (image.shape[axis] / extent) for axis, extent in ((1, height), (2, width))
    )
    light = image[:, rows.astype(int)][:, :, columns.astype(int)].mean(-1)
    return Handful([image], [(light > np.median(light)).astype(np.int32)], rate=3e-3)


def redraw(made: Any) -> Handful:
    """The same picture, at the size of the output."""
    (image,) = _seen(made, ROWS)
    times = made.keras(image[:1]).shape[1] // image.shape[1]
    return Handful([image], [image.repeat(times, 1).repeat(times, 2)], losses.squared)


def sample(made: Any) -> Handful:
    """Pictures to themselves; of an adversarial pair noise, and classes, to verdicts, through both halves."""
    shape, random = (ROWS, *made.keras.inputs[0].shape[1:]), np.random.RandomState(0)
    if len(shape) == 2:
        verdicts = np.array([[1.0], [-1.0]] * (ROWS // 2), np.float32)
        told = [np.arange(ROWS, dtype=np.int32) % len(made.task.labels)] if made.task.labels else []
        return Handful([random.standard_normal(shape).astype(np.float32), *told], [verdicts], losses.squared)
    pictures = (random.uniform(size=shape) > 0.5).astype(np.float32)
    return Handful([pictures], [pictures], family(made.name).reconstruction())


def nodes(made: Any) -> Handful:
    inputs = _seen(made, 1)
    # Rows of many features sum to 1: each weighs little.
    return Handful(inputs, [np.arange(len(inputs[0])) % len(made.task.labels)], rate=5e-2)


def translate(made: Any) -> Handful:
    random, inputs = np.random.RandomState(0), made.keras.inputs
    lengths = [each.shape[1] or inputs[0].shape[1] for each in inputs]  # Any number of words may be written at once.
    source, target = (random.randint(4, 20, (ROWS, length)).astype(np.int32) for length in lengths)
    before = np.concatenate([np.full((ROWS, 1), 2, np.int32), target[:, :-1]], 1)
    return Handful([source, before], [target], worded(losses.cross_entropy), rate=5e-3)


def separate(made: Any) -> Handful:
    """Low frequencies are one stem's, high ones the other's."""
    (seen,) = _seen(made, 1)
    seen = seen / seen.max()
    low = np.broadcast_to((np.arange(seen.shape[2]) < seen.shape[2] // 4)[:, None], seen.shape)
    whole = seen if made.task.output == "magnitudes" else 1.0
    known = np.concatenate([low * whole, ~low * whole], -1).astype(np.float32)
    return Handful([seen], [known], losses.squared, rate=1e-2)


def pose(made: Any) -> Handful:
    """Any heat at each place."""
    inputs, random = _seen(made, ROWS), np.random.RandomState(0)
    heat = random.uniform(size=(ROWS, *made.keras.output.shape[1:])).astype(np.float32)
    return Handful(inputs, [heat], losses.squared, rate=3e-3)


def detect(made: Any) -> Handful:
    """Any logits at each place of every output."""
    inputs, random = _seen(made, ROWS), np.random.RandomState(0)
    known = [random.uniform(size=(ROWS, *output.shape[1:])).astype(np.float32) for output in made.keras.outputs]

    def loss(coarse: Any, output: Any, *finer: Any) -> Any:
        return sum(losses.squared(*pair) for pair in zip((coarse, *finer), output, strict=True))

    return Handful(inputs, known, loss, rate=3e-3)


def rank(made: Any) -> Handful:
    """Each picture's sentence before the others'."""
    image, tokens = made.keras.inputs
    random = np.random.RandomState(0)
    pictures = random.uniform(-1, 1, (ROWS, *image.shape[1:])).astype(np.float32)
    said = random.randint(4, 20, (ROWS, tokens.shape[1])).astype(np.int32)
    return Handful([pictures, said], [np.arange(ROWS)], losses.Ranking(), rate=3e-3)


def taught(made: Any) -> Handful:
    """For a kind of which the table has nothing: the answers of the same network with other weights."""
    random = np.random.RandomState(0)

    def like(tensor: Any) -> np.ndarray:
        shape = [ROWS, *(side or 8 for side in tensor.shape[1:])]
        if keras.backend.is_int_dtype(tensor.dtype):
            return random.randint(1, 20, shape).astype(tensor.dtype)
        return random.uniform(size=shape).astype(tensor.dtype)

    inputs = [like(tensor) for tensor in made.keras.inputs]
    before = made.keras.get_weights()
    made.keras.set_weights([array * random.uniform(0.5, 1.5, array.shape) for array in before])
    outputs = [np.asarray(each) for each in keras.tree.flatten(made.keras(_given(inputs), training=False))]
    made.keras.set_weights(before)

    def loss(first: Any, output: Any, *others: Any) -> Any:
        pairs = zip((first, *others), keras.tree.flatten(output), strict=True)
        return sum(keras.ops.mean(keras.ops.square(known - each)) for known, each in pairs)

    # A table alone moves by the rate at each step, and no deeper weight helps it.
    return Handful(inputs, outputs, loss, rate=1e-3 if len(made.keras.layers) > 2 else 3e-2)


HANDFULS = {
    each.__name__: each for each in (classify, detect, pose, segment, redraw, sample, nodes, separate, translate, rank)
}


def _given(inputs: list[np.ndarray]) -> Any:
    return inputs if len(inputs) > 1 else inputs[0]


@converting
def test_a_handful_is_learnt_saved_and_answered_alike(name: str, tmp_path: Path) -> None:
    made = fresh(name)
    model = made.keras
    for layer in flat(model):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # So that the losses of two steps can be compared.
    handful = HANDFULS.get(made.task.kind, taught)(made)
    batch = (*handful.inputs, *handful.known)
    recipe = Recipe(
        name,
        lambda: model,
        Arrays(tuple(array[None] for array in batch)),
        Supervised(handful.loss, inputs=len(handful.inputs)),
        Optimizer("adam", settings={"clipnorm": 1.0}),
        Constant(handful.rate),
    )
    state = state_.begin(recipe)
    before = [variable.numpy().copy() for variable in model.trainable_variables]
    assert before
    history: list[float] = []
    while len(history) < STEPS and (len(history) < 2 or min(history) > history[0] / 2):
        state, figures = recipe.step(state, batch)
        history.append(figures["loss"])
    assert np.isfinite(history).all()
    assert min(history) <= history[0] / 2, history
    for variable, old in zip(model.trainable_variables, before, strict=True):
        new = variable.numpy()
        assert np.isfinite(new).all(), variable.path
        assert not np.array_equal(new, old), f"{variable.path} did not change"

    # Saving compares the answers of what it wrote with those of the model.
    path = product.save(model, tmp_path / "model.keras", made.tasks, made.normalise, recipe, {"loss": history[-1]})
    again = own.find(path).build()
    assert again.task == made.task and again.normalise == made.normalise
    for one, other in zip(model.get_weights(), again.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
