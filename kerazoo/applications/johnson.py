"""Feed-forward style transfer and perceptual super-resolution.

Paper: Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, section 3.1 and its supplementary material; instance normalisation after Ulyanov et al.,
    arXiv:1607.08022.
Reference weights: the authors' are Torch7 files for personal use; those of lengstrom/fast-style-transfer (form
    `faststyle`) in the order of their variables.
Variants: `johnson_style`, c9s1-32,d64,d128,R128 five times,u64,u32,c9s1-3, 1,679,235 parameters; `johnson_style_half`,
    16-32-64, the size of the authors' released models with instance normalisation, 424,899. `faststyle`, lengstrom's
    form, 1,677,638: no biases, every convolution normalised, zeros around. `johnson_sr_x4` and `johnson_sr_x8`:
    c9s1-64, R64 four times, two or three times u64, c9s1-3, 403,267 and 440,451 with moving statistics.
Differs: pictures are RGB in 0..255 as they are, where the authors take BGR less ImageNet's mean; their first and last
    layers differ so far. What is drawn is `150 tanh(x) + 127.5` for all, lengstrom's way to that range. Style nets are
    normalised by instance, as the authors' later models; the paper's have batch normalisation, as the super-resolution
    here. The paper matches the histogram of what it enlarges to that of the small picture afterwards; this does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._builder import Weights, assembled, picture_shape
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.redraw import Repaint

__all__ = ["FastStyle", "JohnsonSR", "JohnsonStyle"]

COLOUR = (None, None, 3)


@dataclass(frozen=True)
class Config:
    """Sizes of a transformer of pictures.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels; the first two `None` for any that 4 divides.
        widths: Maps at the whole, half and quarter size.
        blocks: Residual blocks.
        plain: lengstrom's form: see `Variants` above.
        scale: How many times larger pictures become; 1 for style.
    """

    name: str
    input_shape: tuple[int | None, int | None, int] = COLOUR
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: int = 5
    plain: bool = False
    scale: int = 1


def _small(config: Config) -> Config:
    return replace(config, widths=(6,) * len(config.widths), blocks=2)


def _variant(config: Config, params: int) -> Variant:
    return Variant(config, params, input=COLOUR, task="redraw", small=_small(config))


VARIANTS = {
    "johnson_style": _variant(Config("johnson_style"), 1_679_235),
    "johnson_style_half": _variant(Config("johnson_style_half", widths=(16, 32, 64)), 424_899),
    "faststyle": _variant(Config("faststyle", plain=True), 1_677_638),
    "johnson_sr_x4": _variant(Config("johnson_sr_x4", widths=(64,), blocks=4, scale=4), 403_267),
    "johnson_sr_x8": _variant(Config("johnson_sr_x8", widths=(64,), blocks=4, scale=8), 440_451),
}


def build(config: Config) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in 0..255 to pictures in -22.5..277.5, `scale` times larger."""
    layers, padded = keras.layers, config.scale == 1 and not config.plain
    inputs = x = keras.Input(config.input_shape, name="image")
    if padded:
        # As much as the residual blocks without padding take away.
        from kerazoo.layers import ReflectionPadding2D

        x = ReflectionPadding2D(8 * config.blocks, name="reflect")(x)
    x = _step(config, layers.Conv2D(config.widths[0], 9, padding="same", **_named(config, "conv1")), x)
    for index, maps in enumerate(config.widths[1:], start=1):
        x = _step(config, _strided(config, maps, f"down{index}"), x)
    for index in range(1, config.blocks + 1):
        x = _residual(config, x, f"block{index}", padded)
    for index, maps in enumerate(_upward(config), start=1):
        x = _step(config, _enlarging(config, maps, f"up{index}"), x)
    x = layers.Conv2D(3, 9, padding="same", **_named(config, "conv2"))(x)
    if config.plain:
        x = _norm(config, "conv2")(x)
    x = layers.Activation("tanh", name="tanh")(x)
    return keras.Model(inputs, layers.Rescaling(150.0, offset=127.5, name="picture")(x), name=config.name)


def _upward(config: Config) -> tuple[int, ...]:
    """Maps after each enlarging."""
    if config.scale == 1:
        return tuple(reversed(config.widths[:-1]))
    return config.widths * (config.scale.bit_length() - 1)


def _named(config: Config, name: str) -> dict[str, Any]:
    return {"use_bias": not config.plain, "name": name}


def _norm(config: Config, name: str) -> Any:
    if config.scale > 1:
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")
    from kerazoo.layers import InstanceNormalization

    return InstanceNormalization(1e-3 if config.plain else 1e-5, name=f"{name}_in")


def _step(config: Config, convolution: Any, x: Any) -> Any:
    """Convolution, normalisation, rectifier; a convolution of several layers is named by its last."""
    steps = convolution if isinstance(convolution, tuple) else (convolution,)
    name = next(each.name for each in steps if hasattr(each, "filters"))
    for each in (*steps, _norm(config, name), keras.layers.ReLU(name=f"{name}_relu")):
        x = each(x)
    return x


def _strided(config: Config, maps: int, name: str) -> Any:
    layers = keras.layers
    if config.plain:
        return layers.Conv2D(maps, 3, 2, padding="same", **_named(config, name))
    # Torch pads both sides, TensorFlow's `same` one of an even extent.
    return layers.ZeroPadding2D(1, name=f"{name}_pad"), layers.Conv2D(maps, 3, 2, **_named(config, name))


def _enlarging(config: Config, maps: int, name: str) -> Any:
    layers = keras.layers
    if config.plain:
        return layers.Conv2DTranspose(maps, 3, 2, padding="same", **_named(config, name))
    # Torch's padding 1 and adjustment 1 leave out the first row and column of all, TensorFlow's `same` the last.
    convolution = layers.Conv2DTranspose(maps, 3, 2, **_named(config, name))
    return convolution, layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_crop")


def _residual(config: Config, x: Any, name: str, padded: bool) -> Any:
    layers, padding = keras.layers, "valid" if padded else "same"
    trunk = layers.Cropping2D(2, name=f"{name}_crop")(x) if padded else x
    first = layers.Conv2D(config.widths[-1], 3, padding=padding, **_named(config, f"{name}_conv1"))
    x = _step(config, first, x)
    x = layers.Conv2D(config.widths[-1], 3, padding=padding, **_named(config, f"{name}_conv2"))(x)
    return layers.Add(name=f"{name}_sum")([trunk, _norm(config, f"{name}_conv2")(x)])


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Colour pictures of any size, redrawn."""
    down = len(config.widths) - 1
    # What a pixel depends on, counted in pixels of the input: both 9x9, the strides, the blocks, the enlargings.
    around = 4 + sum(2**index for index in range(down)) + 2 * config.blocks * 2**down + 2**down + 4
    multiple = 2**down
    context = (around + multiple - 1) // multiple * multiple
    moments = 2 * sum(_normed(config)) if config.scale == 1 else 0
    return {"redraw": Repaint(context, multiple=multiple, scale=config.scale, moments=moments)}


def _normed(config: Config) -> list[int]:
    """Maps of every layer that is normalised."""
    inner = [config.widths[-1]] * (2 * config.blocks)
    return [*config.widths, *inner, *_upward(config), *((3,) if config.plain else ())]


def from_variables(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """lengstrom's checkpoints as `Variable_0`, `Variable_1`, ...: kernel, shift and scale of each convolution in turn.

    Kernels are HWIO; those of transposed convolutions have their outputs before their inputs, as Keras has them. Files
    that hold our own names pass as they are.
    """
    if "Variable_0" not in tensors:
        return tensors
    blocks = [f"block{block}_conv{index}" for block in range(1, config.blocks + 1) for index in (1, 2)]
    names = ["conv1", "down1", "down2", *blocks, "up1", "up2", "conv2"]
    places = {
        f"{name}{part}": f"Variable_{3 * index + number}"
        for index, name in enumerate(names)
        for number, part in enumerate(("/kernel", "_in/beta", "_in/gamma"))
    }
    found = {ours: np.asarray(tensors[theirs]) for ours, theirs in places.items() if theirs in tensors}
    return found | {name: tensor for name, tensor in tensors.items() if name not in places.values()}


SOURCES: Mapping[str, Any] = {"npz": from_variables}


def _built(variant: str, weights: Weights, shape: Any, name: str | None) -> keras.Model:
    config = replace(VARIANTS[variant].config, name=name or variant, input_shape=picture_shape(shape, variant, least=4))
    if config.input_shape[2] != 3:
        raise UsageError(f"input_shape={shape!r} does not fit {variant}: pictures have 3 channels.")
    if config.scale == 1 and any(side is not None and side % 4 for side in config.input_shape[:2]):
        raise UsageError(f"input_shape={shape!r} does not fit {variant}: height and width are multiples of 4, or None.")
    return assembled(__name__, variant, config, weights)


_SHAPE = (None, None, 3)


def JohnsonStyle(
    half: bool = False, weights: Weights = None, input_shape: Any = _SHAPE, name: str | None = None
) -> keras.Model:
    """Style transfer of Johnson et al. 2016 (arXiv:1603.08155); 1,679,235 parameters, 424,899 with half of the maps.

    Args:
        half: Whether layers have half as many maps.
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, 3)`; height and width are multiples of 4, more than 40, or `None`.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in 0..255 to pictures of the same shape in
        -22.5..277.5.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _built("johnson_style_half" if half else "johnson_style", weights, input_shape, name)


def FastStyle(weights: Weights = None, input_shape: Any = _SHAPE, name: str | None = None) -> keras.Model:
    """Style transfer in the form of lengstrom/fast-style-transfer; 1,677,638 parameters.

    Args:
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, 3)`; height and width are multiples of 4, or `None`.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in 0..255 to pictures of the same shape in
        -22.5..277.5.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _built("faststyle", weights, input_shape, name)


def JohnsonSR(
    scale: int = 4, weights: Weights = None, input_shape: Any = _SHAPE, name: str | None = None
) -> keras.Model:
    """Perceptual super-resolution of Johnson et al. 2016 (arXiv:1603.08155); 403,267 or 440,451 parameters (x4, x8).

    Args:
        scale: How many times higher and wider pictures become: 4 or 8.
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, 3)`; height and width may be `None`.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in 0..255 to pictures [batch, height * scale,
        width * scale, 3] in -22.5..277.5.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    if scale not in (4, 8):
        raise UsageError(f"scale={scale!r} is not known; allowed are 4 and 8.")
    return _built(f"johnson_sr_x{scale}", weights, input_shape, name)
