"""How the pieces of a hierarchical auto-encoder stand together: to describe pictures, and to draw from noise.

Its latent variables come in groups, each drawn behind those before it. The pieces are layers of one Keras model, by
name, `i` from 0, the coarsest group first:

- `encoder`: a picture to the features of every group;
- `prior0` to `prior<i>`: the state of the decoder to the group's distribution before any picture is seen;
- `posterior<i>`: features, state, prior and noise to what is drawn behind the picture, and its divergence [batch];
- `start`: the decoder's first state; `group<i>`: state and what was drawn to the next state;
- `picture`: the last state to what is known of each pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerazoo.layers.latent import Drawn

Piece = Callable[[str], Any]
"""From a name to the layer."""


def is_hierarchy(model: Any) -> bool:
    """Whether a Keras model is made of these pieces."""
    names = {layer.name for layer in getattr(model, "layers", ())}
    return {"encoder", "prior0", "posterior0", "start", "group0", "picture"} <= names


def described(piece: Piece, features: Sequence[Any], noises: Sequence[Any]) -> tuple[Any, list[Any]]:
    """What is drawn behind pictures that have these features, and the divergence [batch] of each group."""
    state, apart = piece("start")(noises[0]), []
    for index, noise in enumerate(noises):
        prior = piece(f"prior{index}")(state if index else noise)
        behind = [state] if index else []
        drawn, nats = piece(f"posterior{index}")([features[index], *behind, prior, noise])
        state = piece(f"group{index}")([state, drawn])
        apart.append(nats)
    return piece("picture")(state), apart


def generated(piece: Piece, noises: Sequence[Any]) -> Any:
    """What is drawn from noise alone."""
    state = piece("start")(noises[0])
    for index, noise in enumerate(noises):
        prior = piece(f"prior{index}")(state if index else noise)
        state = piece(f"group{index}")([state, Drawn(name=f"drawn{index}")([prior, noise])])
    return piece("picture")(state)


def groups(model: Any) -> list[tuple[int, int, int]]:
    """Height, width and channels of each group's noise, of a model whose pieces are its layers."""
    names = {layer.name for layer in model.layers}
    found: list[tuple[int, int, int]] = []
    while f"posterior{len(found)}" in names:
        found.append(tuple(model.get_layer(f"posterior{len(found)}").inputs[-1].shape[1:]))
    return found


def _pieces(noise: Any, shapes: Sequence[tuple[int, int, int]]) -> list[Any]:
    """Noise [batch, latents] as each group's maps."""
    found, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        found.append(keras.ops.reshape(noise[:, start:end], (-1, *shape)))
        start = end
    return found


def describing(model: Any) -> keras.Model:
    """Pictures and noise [batch, latents] to what is known of each pixel, and divergences in nats [batch, groups].

    Args:
        model: Whose weights it has.
    """
    shapes = groups(model)
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    noise = keras.Input((sum(map(math.prod, shapes)),), name="noise")
    features = model.get_layer("encoder")(image)
    pixels, apart = described(model.get_layer, features, _pieces(noise, shapes))
    return keras.Model([image, noise], [pixels, keras.ops.stack(apart, axis=1)], name="describing")


def generating(model: Any, ending: Any = None) -> keras.Model:
    """Noise [batch, latents] to what is known of each pixel.

    Args:
        model: Whose weights it has.
        ending: A layer behind it.
    """
    shapes = groups(model)
    noise = keras.Input((sum(map(math.prod, shapes)),), name="noise")
    pixels = generated(model.get_layer, _pieces(noise, shapes))
    return keras.Model(noise, pixels if ending is None else ending(pixels), name="decoder")
