"""`dream`: a picture in, and out what a network sees in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.image import Normalise
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError, near
from kerazoo.tasks.redraw import Picture

MAX_PIXELS = 2_000_000
"""Largest picture that is dreamt of: its gradient goes through the network at once."""

SMALLEST = 64
"""Least side of a picture in its smallest octave, where that is less than the picture."""

LEAST = 32
"""Least side of a picture: of a smaller one a network halves away what there is."""


@dataclass(frozen=True)
class Dream:
    """Inceptionism: a picture climbs the gradient of some layers' activation, octave after octave.

    Mordvintsev, Olah, Tyka, "Inceptionism: Going Deeper into Neural Networks", Google Research, 2015, and the notebook
    of google/deepdream. The picture begins small; each octave is `ratio` times larger than the one before, gets the
    small one's dream, enlarged, and its own detail, of which nothing is lost. Every step moves the picture a little,
    round its borders, so that the network's grid leaves no trace, and then along the gradient, at a rate that does not
    depend on how steep it is.

    Attributes:
        layers: Names of layers whose maps are to be active.
        normalise: What makes RGB pixels 0..255 the network's input.
        weights: What each layer counts; 1 by default.
        octaves: Sizes that are dreamt at.
        ratio: Of one octave's sides to those of the one before.
        steps: Of ascent in each octave.
        rate: What a step changes a pixel by, on average, in grey levels.
        jitter: Most pixels that a step moves the picture by.
    """

    kind: ClassVar[str] = "dream"
    batched: ClassVar[bool] = False

    layers: tuple[str, ...]
    normalise: Normalise | None = None
    weights: tuple[float, ...] = ()
    octaves: int = 4
    ratio: float = 1.4
    steps: int = 10
    rate: float = 1.5
    jitter: int = 32

    def __post_init__(self) -> None:
        if not self.layers or len(self.weights) not in (0, len(self.layers)):
            raise UsageError(f"layers={self.layers!r} are none, or have other weights: {self.weights!r}.")
        if min(self.octaves, self.steps) < 1 or self.ratio <= 1 or self.rate <= 0 or self.jitter < 0:
            raise UsageError(
                f"octaves={self.octaves!r} and steps={self.steps!r} must be at least 1, ratio={self.ratio!r} more than "
                f"1, rate={self.rate!r} more than 0 and jitter={self.jitter!r} at least 0."
            )

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        # Pixels as they are, of no media: the gradient is theirs, not that of what the network takes.
        shape = (1, None, None, 3)
        gradient, activation = Port("gradient", "float32", shape), Port("activation", "float32", (1,))
        return {"ascent": Signature((Port("pixels", "float32", shape),), (gradient, activation))}

    def derived(self, part: str, model: Any) -> Any:
        """The objective, the mean square of the maps' values, and its gradient.

        Raises:
            UsageError: The network has no such layer, or it has no rows and columns.
        """
        import keras
        import tensorflow as tf

        seen = keras.Model(model.inputs, [layer.output for layer in layers_of(model, self.layers)])
        weights = self.weights or (1.0,) * len(self.layers)

        def ascent(pixels: Any, training: bool = False) -> Any:
            pixels = tf.convert_to_tensor(pixels)
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                # Not called but run: a network's own size is no condition of its convolutions.
                maps = seen.call(pixels if self.normalise is None else self.normalise(pixels), training=False)
                maps = maps if isinstance(maps, (list, tuple)) else [maps]
                value = tf.add_n(
                    [weight * tf.reduce_mean(tf.square(each)) for weight, each in zip(weights, maps, strict=True)]
                )
            return tape.gradient(value, pixels), tf.reshape(value, (1,))

        return ascent

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        pixels = ops.decode_image(request["image_bytes"][0], 3)
        height, width = ops.size(pixels)
        count = ops.cast(height, "int64") * ops.cast(width, "int64")
        ops.check(count <= MAX_PIXELS, f"At most {MAX_PIXELS // 10**6} million pixels are dreamt of; this is more.")
        ops.check(ops.minimum(height, width) >= LEAST, f"Pictures of {LEAST} x {LEAST} pixels or more are dreamt of.")
        random = np.random.RandomState(0)
        detail, dreamt = None, None
        for octave in range(self.octaves):
            small = self.ratio ** (self.octaves - 1 - octave)
            tall, wide = (
                ops.minimum(ops.maximum(ops.cast(ops.cast(side, "float64") / small, "int32"), SMALLEST), side)
                for side in (height, width)
            )
            base = ops.resize(pixels, tall, wide, "bilinear")
            moves = random.randint(-self.jitter, self.jitter + 1, (self.steps, 2)).astype(np.int32)
            start = base if detail is None else base + _stretched(ops, detail, tall, wide)
            dreamt = self._climbed(network.part("ascent"), start, moves)
            detail = dreamt - base
        return {"image_bytes": ops.strings([ops.encode_png(ops.whole(dreamt))])}

    def _climbed(self, ascent: Network, start: Tensor, moves: np.ndarray) -> Tensor:
        """One octave, from float32 pixels [h, w, 3]."""
        ops = ascent.ops

        def more(step: Any, picture: Tensor) -> Any:
            return step < len(moves)

        def climb(step: Any, picture: Tensor) -> tuple[Any, Tensor]:
            move = ops.gather(moves, step)
            moved = _rolled(ops, picture, move[0], move[1])
            gradient = ascent({"pixels": moved[None]})["gradient"][0]
            tall, wide = ops.size(gradient)
            steep = ops.sum(ops.reshape(ops.abs(gradient), (-1,)), 0) / ops.cast(tall * wide * 3, "float32")
            moved = moved + gradient * (np.float32(self.rate) / ops.maximum(steep, np.float32(1e-12)))
            moved = ops.minimum(ops.maximum(moved, np.float32(0)), np.float32(255))
            return step + 1, _rolled(ops, moved, -move[0], -move[1])

        return ops.while_loop(more, climb, (np.int32(0), start))[1]

    def read(self, response: Tensors, row: int) -> Picture:
        return Picture(response["image_bytes"][row])


def layers_of(model: Any, names: tuple[str, ...]) -> list[Any]:
    """Layers of a Keras model that have maps [batch, height, width, channels].

    Raises:
        UsageError: A name is of none; near ones are suggested.
    """
    with_maps = {layer.name: layer for layer in model.layers if len(getattr(layer.output, "shape", ())) == 4}
    for name in names:
        if name not in with_maps:
            others = {layer.name for layer in model.layers}
            why = "has no rows and columns" if name in others else "is not there"
            raise UsageError(f"The layer {name!r} of {model.name} {why}.{near(name, with_maps)}")
    return [with_maps[name] for name in names]


def _rolled(ops: Any, picture: Tensor, down: Any, right: Any) -> Tensor:
    """Pixels [h, w, 3] moved; what leaves on one side comes in on the other."""
    height, width = ops.size(picture)
    ys = (ops.arange(height) - down) % height
    xs = (ops.arange(width) - right) % width
    flat = ops.reshape(picture, (height * width, 3))
    return ops.gather(flat, ys[:, None] * width + xs[None, :])


def _stretched(ops: Any, values: Tensor, tall: Any, wide: Any) -> Tensor:
    """Numbers [h, w, 3] of any sign, larger, between neighbours bilinearly: the edges' middles stay edges' middles."""
    for axis, wanted in ((0, tall), (1, wide)):
        cells = ops.size(values)[axis]
        at = (ops.cast(ops.arange(wanted), "float32") + 0.5) * (
            ops.cast(cells, "float32") / ops.cast(wanted, "float32")
        ) - 0.5
        at = ops.minimum(ops.maximum(at, np.float32(0)), ops.cast(cells - 1, "float32"))
        before = ops.cast(at, "int32")
        after = ops.minimum(before + 1, cells - 1)
        share = ops.reshape(at - ops.cast(before, "float32"), (-1, 1, 1))
        rows = values if axis == 0 else ops.transpose(values, (1, 0, 2))
        low, high = ops.gather(rows, before), ops.gather(rows, after)
        stretched = low + (high - low) * ops.cast(share, "float32")
        values = stretched if axis == 0 else ops.transpose(stretched, (1, 0, 2))
    return values
