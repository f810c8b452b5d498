"""A network with other activations, dropout, batch normalisation or initial values, and all else as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras, own_layers

ACTIVATIONS = ("relu", "selu", "swish", "tanh", "scaled_tanh", "elu", "gelu", "leaky_relu", "sigmoid")
"""Words for what follows hidden layers; `scaled_tanh` is that of LeCun et al. 1998, the others are Keras'."""

_STAYS = ("linear", "softmax", "sigmoid", "hard_sigmoid")
"""Activations that are no hidden layer's: the end, and gates."""


@dataclass(frozen=True)
class Remodelled:
    """Makes a network and changes it.

    Attributes:
        make: Makes the network, a functional Keras model.
        activation: Of `ACTIVATIONS`, for every hidden layer; empty: as it is. With `selu` kernels are drawn from
            LeCun's normal distribution (Klambauer et al., arXiv:1706.02515, section 2).
        dropout: Rate of the dropout layers that there are, or of one before the last layer with weights where there
            are none (Srivastava et al., JMLR 15, 2014). 0 leaves the network as it is.
        alpha_dropout: The same with `AlphaDropout`, which keeps the mean and variance of SELUs.
        batch_norm: Normalise between each hidden convolution or dense layer and its activation (Ioffe and Szegedy,
            arXiv:1502.03167, section 3.2).
        zero_gamma: Let each residual branch begin as nothing: the last scale in it is 0 (Goyal et al.,
            arXiv:1706.02677, section 5.1; He et al., arXiv:1812.01187, section 3.1).
        fresh: Whether what `make` gives has learnt nothing yet, so that kernels may be drawn anew.
    """

    make: Callable[[], Any]
    activation: str = ""
    dropout: float = 0.0
    alpha_dropout: float = 0.0
    batch_norm: bool = False
    zero_gamma: bool = False
    fresh: bool = True

    def __post_init__(self) -> None:
        if self.activation and self.activation not in ACTIVATIONS:
            raise UsageError(
                f"activation={self.activation} is not known; known are {', '.join(ACTIVATIONS)}."
                f"{near(self.activation, ACTIVATIONS)}"
            )
        for name in ("dropout", "alpha_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is no share of at least 0 and less than 1.")
        if self.dropout and self.alpha_dropout:
            raise UsageError("dropout and alpha_dropout were both asked for; one of them is enough.")

    def __call__(self) -> Any:
        model = self.make()
        if self.activation or self.dropout or self.alpha_dropout or self.batch_norm:
            model = self._changed(model)
        if self.zero_gamma:
            zero_gamma(model)
        return model

    def _changed(self, model: Any) -> Any:
        layers = keras.layers
        last = [layer for layer in model.layers if layer.weights][-1].name
        hidden = {layer.name for layer in model.layers if _hidden(layer) and layer.name != last}
        normed = {
            layer.name
            for layer in model.layers
            if self.batch_norm and layer.name != last and hasattr(layer, "kernel") and not _is_normed(model, layer)
        }
        dropped = {layer.name for layer in model.layers if isinstance(layer, layers.Dropout | layers.AlphaDropout)}
        rate = self.dropout or self.alpha_dropout
        drop = layers.AlphaDropout if self.alpha_dropout else layers.Dropout
        activation: Any = own_layers.scaled_tanh if self.activation == "scaled_tanh" else self.activation
        redrawn = self.fresh and self.activation == "selu"
        after: dict[str, Any] = {}  # What follows a normalised layer: its activation.

        def clone(layer: Any) -> Any:
            if layer.name in dropped and rate:
                return drop(rate, name=layer.name)
            config = layer.get_config()
            if layer.name in hidden and activation:
                if "activation" not in config:  # A layer of its own: ReLU, LeakyReLU.
                    return layers.Activation(activation, name=layer.name)
                config["activation"] = keras.activations.serialize(keras.activations.get(activation))
            if redrawn and "kernel_initializer" in config and layer.name != last:
                config["kernel_initializer"] = "lecun_normal"
            if layer.name in normed and "activation" in config:
                after[layer.name] = keras.activations.deserialize(config["activation"])
                config["activation"] = "linear"
            return type(layer).from_config(config)

        def call(layer: Any, *inputs: Any, **options: Any) -> Any:
            if layer.name == last and rate and not dropped:
                inputs = (drop(rate, name=f"{last}_dropout")(inputs[0]), *inputs[1:])
            outputs = layer(*inputs, **options)
            if layer.name in normed:
                outputs = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{layer.name}_norm")(outputs)
                if after.get(layer.name) is not None and after[layer.name] is not keras.activations.linear:
                    outputs = layers.Activation(after[layer.name], name=f"{layer.name}_activation")(outputs)
            return outputs

        made = keras.models.clone_model(model, clone_function=clone, call_function=call)
        if not redrawn:
            old: Mapping[str, Any] = {layer.name: layer for layer in model.layers}
            for layer in made.layers:
                if layer.name in old and layer.weights:
                    layer.set_weights(old[layer.name].get_weights())
        return made


def _hidden(layer: Any) -> bool:
    """Whether the layer ends in a hidden layer's activation."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.ELU):
        return True
    activation = getattr(layer, "activation", None)
    return activation is not None and getattr(activation, "__name__", "") not in _STAYS


def _sources(layer: Any) -> list[Any]:
    """The layers whose outputs a layer takes."""
    return [node.operation for node in layer._inbound_nodes[0].parent_nodes] if layer._inbound_nodes else []


def _is_normed(model: Any, layer: Any) -> bool:
    takers = [other for other in model.layers if any(each is layer for each in _sources(other))]
    return any(isinstance(taker, keras.layers.BatchNormalization) for taker in takers)


def zero_gamma(model: Any) -> list[str]:
    """Sets the last scale of every residual branch to 0, and names the layers.

    Of the normalisations that a sum takes, the one with the most layers before it is the branch's; the other, if there
    is one, is the shortcut's.

    Raises:
        UsageError: No residual branch ends in a normalisation with a scale.
    """
    depth: dict[str, int] = {}
    for layer in model.layers:
        depth[layer.name] = 1 + max((depth.get(each.name, 0) for each in _sources(layer)), default=0)
    done = []
    for layer in model.layers:
        norms = [
            each
            for each in (_sources(layer) if isinstance(layer, keras.layers.Add) else ())
            if isinstance(each, keras.layers.BatchNormalization) and each.gamma is not None
        ]
        if norms:
            chosen = max(norms, key=lambda each: depth[each.name])
            chosen.gamma.assign(keras.ops.zeros_like(chosen.gamma))
            done.append(chosen.name)
    if not done:
        raise UsageError(f"zero_gamma: no residual branch of {model.name} ends in a normalisation with a scale.")
    return done
