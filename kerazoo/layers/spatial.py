"""Sampling of pictures at places that a network chooses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="kerazoo")
class AffineTransformer(keras.layers.Layer):
    """Pictures seen through affine maps, one each, sampled bilinearly, with zeros outside.

    The six numbers of a map, row by row, take a place of the output to the place of the input that is shown there:
    `x_in = a x_out + b y_out + c`, `y_in = d x_out + e y_out + f`. Coordinates run from -1 at the centre of the first
    pixel to 1 at the centre of the last, x to the right and y downward, so that (1, 0, 0, 0, 1, 0) shows the whole
    picture as it is. Gradients reach the pictures and the maps. Source: Jaderberg, Simonyan, Zisserman, Kavukcuoglu,
    "Spatial Transformer Networks", arXiv:1506.02025, sections 3.2 and 3.3, equations 1 and 3 to 7.

    Args:
        height: Rows of the output.
        width: Columns of the output.
    """

    def __init__(self, height: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.height, self.width = height, width

    def build(self, input_shape: Any) -> None:
        """Refuses maps that are not six numbers each."""
        if len(input_shape) != 2 or len(input_shape[0]) != 4 or tuple(input_shape[1][1:]) != (6,):
            raise ValueError(
                f"{self.name} takes pictures [batch, rows, columns, channels] and maps [batch, 6], not {input_shape}."
            )

    def call(self, inputs: Any) -> Any:
        """Samples each picture at the places that its map names.

        Args:
            inputs: Pictures [batch, rows, columns, channels] of any size, and maps [batch, 6].

        Returns:
            [batch, height, width, channels].
        """
        pictures, maps = inputs
        ops = keras.ops
        batch, rows, columns, channels = ops.shape(pictures)
        # The maps' two rows are taken as one batch, which leaves a plain matrix product.
        places = ops.matmul(ops.reshape(maps, (-1, 3)), ops.convert_to_tensor(self._grid(), maps.dtype))
        places = ops.reshape(places, (-1, 2, self.height * self.width))
        right, down = self._pixels(places[:, 0], columns), self._pixels(places[:, 1], rows)
        # Zeros around the picture and one more after it: whatever lies outside falls on them, and every place has a
        # neighbour below and to the right.
        pixels = ops.reshape(ops.pad(pictures, [[0, 0], [1, 2], [1, 2], [0, 0]]), (-1, channels))
        top, left = ops.floor(down), ops.floor(right)
        lower, later = ops.expand_dims(down - top, -1), ops.expand_dims(right - left, -1)
        # The batch's pixels lie in one row, for a gather along one axis is what every format has.
        wide = columns + 3
        first = ops.expand_dims(ops.arange(batch, dtype="int32") * ((rows + 3) * wide), -1)
        index = first + ops.cast(top, "int32") * wide + ops.cast(left, "int32")
        above, below = _between(pixels, index, later), _between(pixels, index + wide, later)
        sampled = above + (below - above) * lower
        return ops.reshape(sampled, (-1, self.height, self.width, channels))

    def _grid(self) -> np.ndarray:
        """x, y and 1 of each place of the output, [3, height * width]."""
        # A side of one pixel shows the middle.
        y, x = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in (self.height, self.width))
        rows, columns = np.meshgrid(y, x, indexing="ij")
        return np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)

    @staticmethod
    def _pixels(places: Any, side: Any) -> Any:
        """Coordinates -1..1 as pixels of the bordered picture; those outside come to lie on its border."""
        ops = keras.ops
        side = ops.cast(side, places.dtype)
        return ops.clip((places + 1) * ((side - 1) / 2), -1, side) + 1

    def compute_output_shape(self, input_shape: Any) -> Any:
        pictures = input_shape[0]
        return (pictures[0], self.height, self.width, pictures[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


def _between(pixels: Any, index: Any, later: Any) -> Any:
    """Pixels and their neighbours to the right, mixed."""
    left, right = (keras.ops.take(pixels, index + step, axis=0) for step in (0, 1))
    return left + (right - left) * later


@keras.saving.register_keras_serializable(package="kerazoo")
class IdentityMap(keras.initializers.Initializer):
    """Initial bias of the layer that says an `AffineTransformer`'s maps: the picture as it is.

    With a kernel of zeros the network starts as if there were no transformer. Source: arXiv:1506.02025, section 4.1.
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if tuple(shape) != (6,):
            raise ValueError(f"An affine map has 6 numbers, not {tuple(shape)}.")
        return keras.ops.convert_to_tensor((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), dtype)
