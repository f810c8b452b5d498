"""What a training begins from: a variant with fresh weights, pretrained ones, or a file of one's own."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import own, registry, tasks
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task
from kerazoo.errors import UsageError, WeightsUnavailable, near
from kerazoo.lazy import keras
from kerazoo.own.files import SUFFIXES
from kerazoo.train.unfold import unfold


@dataclass(frozen=True)
class Start:
    """A model before it is trained.

    Attributes:
        word: As it was asked for.
        kind: What it does.
        variant: Name of the variant; `None` for a file of one's own that no builder here made.
        config: The variant's sizes, at the picture size that its weights were trained at.
        built: With its weights; `None` for fresh ones.
        task: What it does; `None` where fresh weights lack what the task is made of, such as a vocabulary.
        normalise: What its weights want done to pixels; for fresh ones what the variant's published weights want.
    """

    word: str
    kind: str
    variant: str | None
    config: Any
    built: registry.Built | None
    task: Task | None
    normalise: Normalise | None

    @property
    def family(self) -> Any:
        return registry.variants()[self.variant][0] if self.variant else None

    @property
    def fingerprint(self) -> str:
        return f"{self.word} {self.config} {self.built.weights_sha256 if self.built else 'fresh'}"


def find(word: str) -> Start:
    """The model of a word: a bare variant means fresh weights here, `variant:weights` and files mean their own.

    Raises:
        UnknownModel, UsageError, WeightsUnavailable: There is none.
    """
    if word in registry.variants():
        return _fresh(word)
    if ":" not in word and Path(word).suffix != SUFFIXES[0]:
        known = registry.variants()
        raise UsageError(f"{word!r} is no variant and no .keras file.{near(word, known)} `kerazoo models` lists all.")
    subject = own.find(word)
    built = subject.build()
    if built.adapter is not None:
        raise UsageError(f"{word} was exported elsewhere and cannot be trained; name the .keras file it came from.")
    variant: str | None
    if isinstance(subject, registry.Model):
        variant, config = subject.variant, registry.config_of(subject)
    else:
        variant, config = _sizes(built.config)
    return Start(word, built.task.kind, variant, config, built, built.task, built.normalise)


def _fresh(variant: str) -> Start:
    model = registry.Model(variant, variant)
    task = None
    normalise = getattr(model.family, "NORMALISE", None)
    # There may be no vocabulary, which the data will give; or one of the published weights, which is not at hand.
    with contextlib.suppress(UsageError):
        task = next(iter(registry.tasks_of(model)[0].values()))
    with contextlib.suppress(UsageError, WeightsUnavailable):
        _, normalise = registry.tasks_of(registry.Model(variant, variant, registry.find(variant).entry))
    return Start(variant, model.described.task, variant, model.described.config, None, task, normalise)


def _sizes(stored: Mapping[str, Any] | None) -> tuple[str | None, Any]:
    """The variant and the config that a card names, where this version knows them."""
    fields = dict(stored or {})
    variant = fields.pop("variant", None)
    if variant not in registry.variants():
        return None, None
    cls = type(registry.variants()[variant][1].config)
    if fields.keys() != {each.name for each in dataclasses.fields(cls)}:
        return None, None
    return variant, tasks.from_plain(cls, fields)


@dataclass(frozen=True)
class Network:
    """Makes the network that a recipe trains.

    Attributes:
        start: What it begins from.
        config: Sizes to build; `None` for the file's own network.
        classes: Outputs of a new top for a file's own network; `None` keeps the top that it has.
        freeze: `none`, `body` (all but the top), or how many of the first layers with weights stay as they are.
        sample: Some of the inputs, by which folded batch normalisation is made trainable.
    """

    start: Start
    config: Any = None
    classes: int | None = None
    freeze: str = "none"
    sample: np.ndarray | None = field(default=None, repr=False)

    def __call__(self) -> Any:
        model, top = self._made()
        if self.start.built is not None and self.sample is not None:
            unfold(model, self.sample)
        layers = [layer for layer in model.layers if layer.weights]
        if self.freeze == "body":
            frozen = [layer for layer in layers if layer.name not in top]
        else:
            frozen = layers[: 0 if self.freeze == "none" else int(self.freeze)]
        for layer in frozen:
            layer.trainable = False
        if not model.trainable_variables:
            raise UsageError(f"--freeze {self.freeze} leaves nothing to learn: {len(layers)} layers have weights.")
        return model

    def _made(self) -> tuple[Any, set[str]]:
        """The network, and the names of the layers of its top."""
        start = self.start
        old: Any = start.built.keras if start.built else None
        if self.config is None:
            # Trained in place it would be another one the next time.
            model = keras.models.clone_model(old)
            model.set_weights(old.get_weights())
            if self.classes is None:
                return model, {[layer.name for layer in model.layers if layer.weights][-1]}
            return _with_top(model, self.classes), {"predictions"}
        model = start.family.build(self.config)
        if old is None:
            begin = getattr(start.family, "first_weights", None)
            if begin is not None:
                begin(model)
            return model, _ends(model)
        known = {(layer.name, number): one for layer in old.layers for number, one in enumerate(layer.weights)}
        fresh, ends = set(), _ends(model)
        for layer in model.layers:
            for number, variable in enumerate(layer.weights):
                same = known.get((layer.name, number))
                if same is not None and same.shape == variable.shape:
                    variable.assign(same)
                else:
                    fresh.add(layer.name)
                    if layer.name in ends and number == 0 and not hasattr(layer, "layers"):
                        # A new top over trained maps begins with no opinion; whatever else is drawn is wrong, loudly.
                        variable.assign(keras.ops.zeros_like(variable))
        if len(fresh) > max(1, len(model.layers) // 4):
            raise UsageError(f"The weights of {start.word} do not fit these sizes: {', '.join(sorted(fresh)[:3])}, ...")
        prior = getattr(start.family, "prior", None)
        if prior is not None:
            for name in sorted(fresh & ends):
                prior(model.get_layer(name))
        return model, fresh or ends


def _ends(model: Any) -> set[str]:
    """Names of the layers with weights that make the outputs; of several outputs each may have its own."""
    weighing = [layer.name for layer in model.layers if layer.weights]
    # What makes an output need be no layer: `keras.ops.depth_to_space` is an operation.
    made = {output._keras_history.operation.name for output in model.outputs}
    return made if made <= set(weighing) else {weighing[-1]}


def _with_top(model: Any, classes: int) -> Any:
    """The network with a new dense layer in place of its last, ending in logits."""
    layers = list(model.layers)
    while layers and not layers[-1].weights and isinstance(layers[-1], keras.layers.Activation | keras.layers.Softmax):
        layers.pop()
    last = layers[-1]
    if not isinstance(last, keras.layers.Dense) or len(last.output.shape) != 2:
        raise UsageError(
            f"{model.name} ends in {last.name} ({type(last).__name__}), not in a dense layer that can be replaced for "
            f"{classes} other classes.\nGive it such a top in Keras, and save it with kerazoo.save."
        )
    taken = {layer.name for layer in layers[:-1]}
    name = next(name for name in ("predictions", *(f"predictions_{n}" for n in range(2, 99))) if name not in taken)
    return keras.Model(
        model.input, keras.layers.Dense(classes, kernel_initializer="zeros", name=name)(last.input), name=model.name
    )


def resized(config: Any, size: int) -> Any:
    """The config for square pictures of another size."""
    return replace(config, input_shape=(size, size, config.input_shape[2]))
