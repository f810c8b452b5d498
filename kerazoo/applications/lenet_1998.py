"""LeNet-5 as it was in 1998.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
    1998, section II.B, figures 2 and 3, table I, equation 9 and appendix A.
Reference weights: none were published; `lenet5_1998:mnist` is trained by `recipes/lenet5_1998_mnist.py`.
Variants: `lenet5_1998`, 60,000 parameters: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164. `lenet5` is the
    modern reading.
Differs: the paper prints the bitmaps that the output units stand for only as a picture; those of `GLYPHS` were drawn
    for this file. They are constants of the layer, not weights. The output is minus the paper's distance, so that the
    nearest class has the largest number and a softmax over it is the paper's posterior without its rubbish class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers

__all__ = ["LeNet5_1998"]

TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)
"""The maps of S2 that each map of C3 sees (table I)."""

SPREAD = 2.4
"""Initial weights are uniform within this, divided by the inputs of their unit, of 0 (appendix A)."""

ROWS = """
.#####.  ...#...  .#####.  .#####.  .....#.  #######  ..####.  #######  .#####.  .#####.
##...##  ..##...  ##...##  ##...##  ....##.  ##.....  .##....  ##...##  ##...##  ##...##
##...##  .###...  .....##  .....##  ...###.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...#...  .....##  .....##  ..####.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...#...  ....##.  .....##  .##.##.  ######.  ##.....  ....##.  .##.##.  ##...##
##...##  ...#...  ...##..  ..####.  ##..##.  .....##  ######.  ...##..  ..###..  .######
##...##  ...#...  ..##...  .....##  ##..##.  .....##  ##...##  ...##..  .##.##.  .....##
##...##  ...#...  .##....  .....##  #######  .....##  ##...##  ..##...  ##...##  .....##
##...##  ...#...  ##.....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
##...##  ...#...  ##.....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ....##.
##...##  ...#...  ##.....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ...##..
.#####.  .#####.  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .###...
"""

GLYPHS = tuple(
    tuple(1.0 if dot == "#" else -1.0 for row in digit for dot in row)
    for digit in zip(*(line.split() for line in ROWS.split("\n") if line), strict=True)
)
"""What F6 says of a perfect digit: for each of the ten a bitmap 12 high and 7 wide, row by row, ink 1 and paper -1."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """What every classifier's config holds; the sizes are the paper's."""


VARIANTS = {
    "lenet5_1998": Variant(
        Config("lenet5_1998", (32, 32, 1), classes=10), params=60_000, input=(32, 32, 1), task="classify"
    ),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Grey pictures [batch, 32, 32, 1], paper -0.1 and ink 1.175, to minus the distances [batch, classes]."""
    layers, squash = keras.layers, own_layers.scaled_tanh
    if config.include_top and (config.classes > len(GLYPHS) or None in config.input_shape):
        raise UsageError(
            f"input_shape={config.input_shape!r} with classes={config.classes} does not fit lenet5_1998: with its top "
            f"it takes pictures of a fixed size, and its glyphs are those of the {len(GLYPHS)} digits. "
            "Use include_top=False with a layer of your own."
        )
    inputs = x = entrance(config, input_tensor)
    x = layers.Conv2D(6, 5, activation=squash, **_initial(25 * x.shape[-1]), name="c1")(x)
    x = own_layers.Subsampling2D(SPREAD, name="s2")(x)
    x = layers.Activation(squash, name="s2_squash")(x)
    x = own_layers.TableConv2D(TABLE, 5, squash, SPREAD, name="c3")(x)
    x = own_layers.Subsampling2D(SPREAD, name="s4")(x)
    x = layers.Activation(squash, name="s4_squash")(x)
    x = layers.Conv2D(120, 5, activation=squash, **_initial(25 * x.shape[-1]), name="c5")(x)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(len(GLYPHS[0]), activation=squash, **_initial(x.shape[-1]), name="f6")(x)
    x = own_layers.RadialBasis(GLYPHS[: config.classes], name="output")(x)
    return finish(config, inputs, layers.Activation(config.activation, name="predictions")(x))


def _initial(inputs: int) -> dict[str, Any]:
    limit = SPREAD / inputs
    return {f"{weight}_initializer": keras.initializers.RandomUniform(-limit, limit) for weight in ("kernel", "bias")}


def loss(rubbish: float = 10.0) -> Any:
    """The paper's loss: the penalty of the right class, and a competition of all of them (equation 9).

    `y[right] + log(exp(-rubbish) + sum(exp(-y)))`, `y` being the distances: the cross-entropy of a softmax with one
    class more whose distance never changes, so that what is already farther away than that is not pushed on.

    Args:
        rubbish: The paper's j; it does not say how large.
    """
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def penalty(labels: Any, logits: Any) -> Any:
        ops = keras.ops
        return entropy(labels, ops.pad(logits, [[0, 0], [0, 1]], constant_values=-rubbish))

    return penalty


LeNet5_1998 = builder(
    __name__,
    "lenet5_1998",
    "LeNet5_1998",
    "LeCun et al. 1998, with its table, its sub-sampling and its glyphs.",
    least=32,
)
