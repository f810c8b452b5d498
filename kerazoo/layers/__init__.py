"""Layers that Keras does not have, or not in a form that goes into every format.

Importing this registers them, so that `keras.saving.load_model` finds them in a saved model.
"""

from kerazoo.layers.attention import (
    DotProductAttention,
    DropNet,
    Earlier,
    Heads,
    LocalAttention,
    SinusoidalPositions,
    Written,
    shared,
)
from kerazoo.layers.bert import Bias, Positions, Segments, SelfAttention, TextMean, gelu_erf, gelu_tanh
from kerazoo.layers.convolution import GroupedConv2D
from kerazoo.layers.latent import Divergence, Drawn, LearnedMaps, MixtureMean, Noise, StandardNormal
from kerazoo.layers.lenet import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh
from kerazoo.layers.normalization import InstanceNormalization, LocalResponseNormalization
from kerazoo.layers.padding import ReflectionPadding2D
from kerazoo.layers.quantised import FakeQuant, FakeQuantProduct
from kerazoo.layers.recurrent import Recurrent
from kerazoo.layers.resizing import BilinearResize
from kerazoo.layers.spatial import AffineTransformer, IdentityMap
from kerazoo.layers.weight_norm import AutoregressiveConv2D, WeightNormConv2D

__all__ = [
    "AffineTransformer",
    "AutoregressiveConv2D",
    "Bias",
    "BilinearResize",
    "Divergence",
    "DotProductAttention",
    "Drawn",
    "DropNet",
    "Earlier",
    "FakeQuant",
    "FakeQuantProduct",
    "GroupedConv2D",
    "Heads",
    "IdentityMap",
    "InstanceNormalization",
    "LearnedMaps",
    "LocalAttention",
    "LocalResponseNormalization",
    "MixtureMean",
    "Noise",
    "Positions",
    "RadialBasis",
    "Recurrent",
    "ReflectionPadding2D",
    "Segments",
    "SelfAttention",
    "SinusoidalPositions",
    "StandardNormal",
    "Subsampling2D",
    "TableConv2D",
    "TextMean",
    "WeightNormConv2D",
    "Written",
    "gelu_erf",
    "gelu_tanh",
    "scaled_tanh",
    "shared",
]
