"""Visual-semantic alignment: regions of a picture and words of a sentence as vectors of one space.

Paper: Karpathy, Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015,
    arXiv:1412.2306, section 3.1.
Reference weights: none by the authors for this part.
Variants: `visual_semantic`: 2,000 words, vectors of 300 numbers for words, 300 recurrent units in each direction and a
    space of 1,000 dimensions, over the 49 places of a quarter-width MobileNet v1's last grid at 224 pixels and the
    whole picture; 1,697,444 parameters. `visual_semantic_small`: 23 words, 32, 48 and 64, over the 196 places of an
    earlier, finer grid, for scenes of a few shapes; 144,160 parameters.
Differs: regions are the places of a MobileNet's grid and not what R-CNN finds; each has, beside what is seen there, a
    learned vector of where it is, so that "left" can be told from "right". Words' vectors are learned where the paper
    keeps those of word2vec. Sentences have a fixed longest length, to which the recurrence is unrolled: so it goes
    into every format.

`build` gives the training model: pictures [batch, height, width, 3] in -1..1 and word numbers int32 [sentences, length]
to the score of every picture with every sentence, [batch, sentences]. Its layers `picture` (pictures to regions) and
`sentence` (word numbers to words) are what ranking calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled, picture_shape, share, whole_numbers
from kerazoo.applications.mobilenet_v1 import VARIANTS as MOBILENETS
from kerazoo.applications.mobilenet_v1 import build as mobilenet
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs.image import Image, Normalise, from_preprocessing
from kerazoo.codecs.text import END, PAD, SPECIAL, Text, Vocabulary
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.rank import Rank

__all__ = ["VisualSemantic"]

NORMALISE = Normalise(scale=2 / 255, mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0))

BODY = MOBILENETS["mobilenet_v1_025"].config

STRIDES = {5: 8, 11: 16, 13: 32}
"""Of a MobileNet's blocks those behind which a grid ends -> pixels between two of its places."""


@dataclass(frozen=True)
class Config:
    """Sizes of a visual-semantic alignment.

    Attributes:
        name: Name of the Keras model.
        words: Size of the vocabulary, its four special words included.
        embedding: Numbers of a word's vector.
        units: Of the recurrent network, in either direction.
        space: Dimensions that regions and words share.
        blocks: Of MobileNet, behind which its grid is taken; a key of `STRIDES`.
        whole: Whether the whole picture, the mean of the grid, is a region too.
        dropout: Share of the grid's channels and of words' vectors that training leaves out.
        length: Words of the longest sentence, its end included.
        input_shape: Height, width and channels of pictures.
        smoothing: See `kerazoo.tasks.rank.Rank`.
    """

    name: str = "visual_semantic"
    words: int = 2_000
    embedding: int = 300
    units: int = 300
    space: int = 1_000
    blocks: int = 13
    whole: bool = True
    dropout: float = 0.5
    length: int = 32
    input_shape: tuple[int, int, int] = (224, 224, 3)
    smoothing: float = 0.0


SMALL = Config("visual_semantic_small", 23, 32, 48, 64, 11, False, 0.0, 12, smoothing=2.5)


def _variant(config: Config, params: int) -> Variant:
    small = replace(config, words=30, embedding=8, units=12, space=10, length=8, input_shape=(64, 64, 3))
    return Variant(config, params, config.input_shape, "rank", small)


VARIANTS = {"visual_semantic": _variant(Config(), 1_697_444), "visual_semantic_small": _variant(SMALL, 144_160)}


def build(config: Config) -> keras.Model:
    """Pictures and word numbers, int32 [sentences, length], to scores [batch, sentences]."""
    image = keras.Input(config.input_shape, name="pictures")
    tokens = keras.Input((config.length,), dtype="int32", name="sentences")
    return keras.Model([image, tokens], scores(_picture(config)(image), _sentence(config)(tokens)), name=config.name)


def scores(regions: Any, words: Any) -> Any:
    """Equation 8 of the paper: regions [batch, n, space], words [sentences, m, space] to scores [batch, sentences]."""
    alike = keras.ops.einsum("brd,swd->bsrw", regions, words)
    return keras.ops.sum(keras.ops.max(alike, axis=2), axis=2)


def _picture(config: Config) -> Any:
    """Pictures to regions [batch, regions, space]: equation 1 of the paper, and where each region is."""
    layers, ops = keras.layers, keras.ops
    body = mobilenet(replace(BODY, input_shape=config.input_shape, include_top=False))
    grid = body.get_layer(f"conv_pw_{config.blocks}_relu").output
    _, height, width, channels = grid.shape
    x = layers.Reshape((height * width, channels), name="grid")(grid)
    if config.whole:
        x = ops.concatenate([x, ops.mean(x, axis=1, keepdims=True)], axis=1)
    x = layers.Dropout(config.dropout, name="grid_dropout")(x)
    x = layers.Dense(config.space, name="region")(x)
    return keras.Model(body.input, own_layers.Positions(x.shape[1], name="place")(x), name="picture")


def _sentence(config: Config) -> Any:
    """Word numbers int32 [batch, length] to words [batch, length, space]: equations 2 to 6 of the paper.

    What is none of the vocabulary's words is a vector of zeros.
    """
    layers, ops = keras.layers, keras.ops
    tokens = keras.Input((config.length,), dtype="int32", name="tokens")

    def where(condition: Any) -> Any:
        return ops.expand_dims(ops.cast(condition, "float32"), -1)

    there = where(ops.logical_and(ops.not_equal(tokens, PAD), ops.not_equal(tokens, END)))
    x = layers.Embedding(config.words, config.embedding, name="word_embedding")(tokens)
    x = layers.Dropout(config.dropout, name="word_dropout")(x)
    x = layers.Dense(config.units, activation="relu", name="entrance")(x)
    ahead = _read(x, there, "forward", range(config.length))
    back = _read(x, there, "backward", reversed(range(config.length)))
    x = layers.Dense(config.space, activation="relu", name="word")(layers.Add(name="both_ways")([ahead, back]))
    return keras.Model(tokens, x * where(ops.greater_equal(tokens, len(SPECIAL))), name="sentence")


def _read(x: Any, there: Any, name: str, order: Any) -> Any:
    """One direction's states [batch, length, units]; where no word is, a state is zero, and nothing is remembered."""
    ops, units = keras.ops, x.shape[-1]
    recurrence = keras.layers.Dense(units, kernel_initializer="orthogonal", name=name)
    states: dict[int, Any] = {}
    state = ops.zeros_like(x[:, 0])
    for place in order:
        state = states[place] = ops.relu(x[:, place] + recurrence(state)) * there[:, place]
    return ops.stack([states[place] for place in range(x.shape[1])], axis=1)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    picture, sentence = model.get_layer("picture"), model.get_layer("sentence")
    blocks = max(block for block in STRIDES if f"conv_pw_{block}" in {layer.name for layer in picture.layers})
    height, width, _ = shape = tuple(picture.inputs[0].shape[1:])
    return {
        "words": sentence.get_layer("word_embedding").input_dim,
        "embedding": sentence.get_layer("word_embedding").output_dim,
        "units": sentence.get_layer("forward").units,
        "space": picture.get_layer("region").units,
        "blocks": blocks,
        "whole": picture.get_layer("place").length > -(-height // STRIDES[blocks]) * -(-width // STRIDES[blocks]),
        "dropout": picture.get_layer("grid_dropout").rate,
        "length": sentence.inputs[0].shape[1],
        "input_shape": shape,
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Ranking with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    words = vocabulary_of(assets, f"{config.name} has no vocabulary, so it can read no word", "words")
    if len(words) != config.words:
        raise UsageError(f"The vocabulary has {len(words)} words; {config.name} has {config.words}.")
    height, width, _ = config.input_shape
    image = Image(height, width) if assets.preprocessing is None else from_preprocessing(assets.preprocessing)[0]
    stride = STRIDES[config.blocks]
    grid = (-(-height // stride), -(-width // stride))
    text = Text(Vocabulary(words), config.length)
    return {"rank": Rank(image, text, grid, config.whole, config.space, config.smoothing)}


def kinds(config: Config) -> tuple[str, ...]:
    """The words of the tasks."""
    return ("rank",)


def VisualSemantic(
    weights: Weights = None,
    words: int = 2_000,
    embedding: int = 300,
    units: int = 300,
    space: int = 1_000,
    blocks: int = 13,
    whole: bool = True,
    dropout: float = 0.5,
    length: int = 32,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "visual_semantic",
) -> keras.Model:
    """Alignment after Karpathy and Fei-Fei 2015 (arXiv:1412.2306) over a MobileNet; 1,697,444 parameters by default.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        words: Size of the vocabulary, its four special words included.
        embedding: Numbers of a word's vector.
        units: Of the recurrent network, in either direction.
        space: Dimensions that regions and words share.
        blocks: Of MobileNet, behind which its grid is taken: 5, 11 or 13, for places 8, 16 or 32 pixels apart.
        whole: Whether the whole picture is a region too.
        dropout: Share of the grid's channels and of words' vectors that training leaves out.
        length: Words of the longest sentence, its end included; the network is unrolled to it.
        input_shape: Height, width and channels of pictures, the sides at least 32.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[image, tokens]`, float32 [batch, height, width, 3] in -1..1 and int32
        [sentences, length], to scores [batch, sentences]. `model.get_layer("picture")` and `get_layer("sentence")` are
        its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(words=words, embedding=embedding, units=units, space=space, length=length)
    share(dropout=dropout)
    if blocks not in STRIDES:
        raise UsageError(f"blocks={blocks!r} ends no grid; {', '.join(map(str, STRIDES))} do.")
    shape = picture_shape(input_shape, "visual_semantic", 32, open_=False)
    config = Config(name, words, embedding, units, space, blocks, whole, dropout, length, shape)
    return assembled(__name__, "visual_semantic", config, weights)
