"""Layers that Keras does not have, or not in a form that goes into every format.

Importing this registers them, so that `keras.saving.load_model` finds them in a saved model.
"""

from kerazoo.layers.attention import DotProductAttention, Earlier, SinusoidalPositions, Written
from kerazoo.layers.convolution import GroupedConv2D
from kerazoo.layers.lenet import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh
from kerazoo.layers.normalization import LocalResponseNormalization
from kerazoo.layers.quantised import FakeQuant, FakeQuantProduct
from kerazoo.layers.resizing import BilinearResize
from kerazoo.layers.spatial import AffineTransformer, IdentityMap

__all__ = [
    "AffineTransformer",
    "FakeQuant",
    "FakeQuantProduct",
    "BilinearResize",
    "DotProductAttention",
    "Earlier",
    "GroupedConv2D",
    "IdentityMap",
    "LocalResponseNormalization",
    "RadialBasis",
    "SinusoidalPositions",
    "Subsampling2D",
    "TableConv2D",
    "Written",
    "scaled_tanh",
]
