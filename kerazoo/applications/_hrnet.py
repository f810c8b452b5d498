"""What the HRNet families share: branches at several resolutions that exchange what they found, and their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers

Shape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class Sizes:
    """Of an HRNet without its head.

    Attributes:
        width: Filters of the first branch; those of each further branch are twice as many.
        stem: Filters of the two first convolutions and of the first stage's bottlenecks.
        blocks: How many of them the first stage has, and every branch of a later stage's module.
        modules: How many modules, each of which ends in an exchange, stages two to four have.
    """

    width: int = 18
    stem: int = 64
    blocks: int = 4
    modules: tuple[int, int, int] = (1, 4, 3)


def trunk(config: Any, inputs: Any, aligned: bool | None = None, last: int = 4) -> list[Any]:
    """The maps of the last stage, from the highest resolution, a quarter of the picture, to the lowest.

    Args:
        config: With the fields of `Sizes`.
        aligned: How smaller maps grow where they are added to larger ones: bilinearly, with or without aligned corners;
            `None` repeats their pixels.
        last: How many maps the last exchange makes.
    """
    x = conv_bn_relu(inputs, config.stem, 3, "stem1", strides=2)
    x = conv_bn_relu(x, config.stem, 3, "stem2", strides=2)
    for block in range(1, config.blocks + 1):
        x = bottleneck(x, config.stem, f"stage1_block{block}", project=block == 1)
    maps = [conv_bn_relu(x, config.width, 3, "transition1_branch1")]
    for stage, modules in enumerate(config.modules, start=2):
        filters = [config.width << branch for branch in range(stage)]
        # The first new branch starts from what the first stage found, the others from the smallest branch so far.
        source = x if stage == 2 else maps[-1]
        maps.append(conv_bn_relu(source, filters[-1], 3, f"transition{stage - 1}_branch{stage}", strides=2))
        for module in range(1, modules + 1):
            wanted = last if stage == 4 and module == modules else stage
            maps = _module(maps, filters, config.blocks, f"stage{stage}_module{module}", aligned, wanted)
    return maps


def check(shape: Shape) -> None:
    # Strided convolutions round up, so up to three pixels less than a multiple give the same maps.
    if any(side is not None and -side % 32 > 3 for side in shape[:2]):
        raise UsageError(
            f"input_shape={shape!r} does not fit HRNet, whose maps are halved, grown again and added: height and width "
            "have to be a multiple of 32, or at most 3 less than one."
        )


def _module(
    maps: list[Any], filters: list[int], blocks: int, name: str, aligned: bool | None, wanted: int
) -> list[Any]:
    """Blocks on every branch, then each branch becomes the sum of all, brought to its resolution and width."""
    layers = keras.layers
    fused, worked = [], []
    for branch, (x, width) in enumerate(zip(maps, filters, strict=True), start=1):
        for block in range(1, blocks + 1):
            x = _basic(x, width, f"{name}_branch{branch}_block{block}")
        worked.append(x)
    for target, width in enumerate(filters[:wanted]):
        terms = []
        for source, x in enumerate(worked):
            at = f"{name}_from{source + 1}_to{target + 1}"
            if source > target:
                x = conv_bn(x, width, 1, at)
                if aligned is None:
                    x = layers.UpSampling2D(2 ** (source - target), interpolation="nearest", name=f"{at}_up")(x)
                else:
                    x = own_layers.BilinearResize(aligned, name=f"{at}_up")([x, worked[target]])
            for step in range(source + 1, target):
                x = conv_bn_relu(x, filters[source], 3, f"{at}_{step - source}", strides=2)
            if source < target:
                x = conv_bn(x, width, 3, f"{at}_{target - source}", strides=2)
            terms.append(x)
        x = layers.Add(name=f"{name}_to{target + 1}_add")(terms)
        fused.append(layers.Activation("relu", name=f"{name}_to{target + 1}_relu")(x))
    return fused


def bottleneck(x: Any, filters: int, name: str, project: bool) -> Any:
    """1x1, 3x3 and 1x1 convolutions, the last to four times the filters, added to the input or its projection."""
    shortcut = conv_bn(x, 4 * filters, 1, f"{name}_0") if project else x
    x = conv_bn_relu(x, filters, 1, f"{name}_1")
    x = conv_bn_relu(x, filters, 3, f"{name}_2")
    return _added(conv_bn(x, 4 * filters, 1, f"{name}_3"), shortcut, name)


def _basic(x: Any, filters: int, name: str) -> Any:
    """Two 3x3 convolutions, added to the input."""
    return _added(conv_bn(conv_bn_relu(x, filters, 3, f"{name}_1"), filters, 3, f"{name}_2"), x, name)


def _added(x: Any, shortcut: Any, name: str) -> Any:
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_out")(x)


def conv_bn_relu(x: Any, filters: int, size: int, name: str, strides: int = 1, bias: bool = False) -> Any:
    return keras.layers.Activation("relu", name=f"{name}_relu")(conv_bn(x, filters, size, name, strides, bias))


def conv_bn(x: Any, filters: int, size: int, name: str, strides: int = 1, bias: bool = False) -> Any:
    layers = keras.layers
    if strides > 1:
        # Keras' own padding would put the odd pixel at the end only.
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=bias,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_bn")(x)


def names(config: Any, last: int = 4) -> Iterator[tuple[str, str, str]]:
    """Our name of each convolution with its batch normalisation, and the two names that PyTorch's files have.

    Args:
        last: As for `trunk`.
    """
    yield "stem1", "conv1", "bn1"
    yield "stem2", "conv2", "bn2"
    for block in range(config.blocks):
        yield from block_names(f"stage1_block{block + 1}", f"layer1.{block}", 3, project=block == 0)
    yield "transition1_branch1", "transition1.0.0", "transition1.0.1"
    for stage, modules in enumerate(config.modules, start=2):
        theirs = f"transition{stage - 1}.{stage - 1}.0"
        yield f"transition{stage - 1}_branch{stage}", f"{theirs}.0", f"{theirs}.1"
        for module in range(modules):
            wanted = last if stage == 4 and module == modules - 1 else stage
            name, theirs = f"stage{stage}_module{module + 1}", f"stage{stage}.{module}"
            yield from _module_names(name, theirs, stage, config.blocks, wanted)


def _module_names(name: str, theirs: str, branches: int, blocks: int, wanted: int) -> Iterator[tuple[str, str, str]]:
    for branch in range(branches):
        for block in range(blocks):
            yield from block_names(
                f"{name}_branch{branch + 1}_block{block + 1}", f"{theirs}.branches.{branch}.{block}", 2
            )
    for target in range(wanted):
        for source in range(branches):
            mine, its = f"{name}_from{source + 1}_to{target + 1}", f"{theirs}.fuse_layers.{target}.{source}"
            if source > target:
                yield mine, f"{its}.0", f"{its}.1"
            for step in range(target - source):
                yield f"{mine}_{step + 1}", f"{its}.{step}.0", f"{its}.{step}.1"


def block_names(name: str, theirs: str, convs: int, project: bool = False) -> Iterator[tuple[str, str, str]]:
    for number in range(1, convs + 1):
        yield f"{name}_{number}", f"{theirs}.conv{number}", f"{theirs}.bn{number}"
    if project:
        yield f"{name}_0", f"{theirs}.downsample.0", f"{theirs}.downsample.1"
