"""A tiny colour classifier and its artefacts: large enough to tell colours apart, quick enough to export at will."""

from __future__ import annotations

import functools

import numpy as np

from kerazoo import registry
from kerazoo.codecs.image import Image, Normalise
from kerazoo.tasks.classify import Classify
from tests.conformance.models import fill

LABELS = ("ant", "bee", "cat", "dog", "eel")


@functools.cache
def tiny() -> registry.Built:
    import keras

    inputs = keras.Input((24, 24, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(len(LABELS), name="logits")(x), name="tiny")
    fill(model)
    # Answers far apart, so that a grey level more or less from resizing cannot change them.
    model.get_layer("logits").kernel.assign(np.array(model.get_layer("logits").kernel) * 4)
    task = Classify(Image(24, 24), LABELS)
    return registry.Built(
        "tiny:test", model, {task.kind: task}, Normalise("rgb", 2 / 255, (1.0, 1.1, 0.9), (1.0, 0.9, 1.1)), "ab" * 32
    )
