"""Captioner: a picture seen by a MobileNet, and told word by word by an LSTM.

Paper: Vinyals, Toshev, Bengio, Erhan, "Show and Tell: A Neural Image Caption Generator", CVPR 2015, arXiv:1411.4555,
    section 3; Karpathy, Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015,
    arXiv:1412.2306, section 3.2.
Reference weights: none by the authors.
Variants: `captioner`: a quarter of MobileNet v1's width at 224 pixels, 2,000 words, embeddings of 256 and 256 units;
    2,175,888 parameters. `captioner_small`: 23 words, embeddings of 32 and 96 units, for scenes of a few shapes;
    425,879 parameters.
Differs: MobileNet in place of GoogLeNet or VGG. The papers hand the LSTM one vector of the whole picture as its first
    input; here the state that it begins with is made of the last grid of features, each place through the same 16
    channels, so that where something is can be told (the beginning is that of Xu et al., "Show, Attend and Tell",
    arXiv:1502.03044, section 3.1.2, without the attention).

`build` gives the training model: pictures [batch, height, width, 3] in -1..1 and the words before each step int32
[batch, n] (`<start>`, then the sentence) to logits [batch, n, words]. Its layers `encoder` (picture to first state) and
`decoder` (words and state to logits and state) are what captioning calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled, picture_shape, share, whole_numbers
from kerazoo.applications.mobilenet_v1 import VARIANTS as MOBILENETS
from kerazoo.applications.mobilenet_v1 import build as mobilenet
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs.image import Image, Normalise, from_preprocessing
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Port, Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.caption import Caption

__all__ = ["Captioner"]

NORMALISE = Normalise(scale=2 / 255, mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0))

BODY = MOBILENETS["mobilenet_v1_025"].config


@dataclass(frozen=True)
class Config:
    """Sizes of a captioner.

    Attributes:
        name: Name of the Keras model.
        words: Size of the vocabulary, its four special words included.
        embedding: Numbers of a word's vector.
        units: Of the LSTM.
        channels: Numbers that the state is told of each place of the last grid.
        dropout: Share of the grid, of the embeddings and of the LSTM's output that training leaves out.
        length: Words after which a sentence ends.
        input_shape: Height, width and channels of pictures.
    """

    name: str = "captioner"
    words: int = 2_000
    embedding: int = 256
    units: int = 256
    channels: int = 16
    dropout: float = 0.3
    length: int = 24
    input_shape: tuple[int, int, int] = (224, 224, 3)


SMALL = Config("captioner_small", 23, 32, 96, length=12)


def _variant(config: Config, params: int) -> Variant:
    small = Config(config.name, 30, 8, 12, 4, length=8, input_shape=(64, 64, 3))
    return Variant(config, params, config.input_shape, "caption", small)


VARIANTS = {"captioner": _variant(Config(), 2_175_888), "captioner_small": _variant(SMALL, 425_879)}


def build(config: Config) -> keras.Model:
    """Pictures and the words before each step, int32 [batch, n], to logits [batch, n, words]."""
    image = keras.Input(config.input_shape, name="picture")
    before = keras.Input((None,), dtype="int32", name="before")
    logits, _, _ = _decoder(config)([before, *_encoder(config)(image)])
    return keras.Model([image, before], logits, name=config.name)


def _encoder(config: Config) -> Any:
    """Pictures to the LSTM's first output and cell, both [batch, units]."""
    layers = keras.layers
    body = mobilenet(replace(BODY, input_shape=config.input_shape, include_top=False))
    x = layers.Conv2D(config.channels, 1, activation="relu", name="places")(body.output)
    x = layers.Flatten(name="grid")(x)
    x = layers.Dropout(config.dropout, name="grid_dropout")(x)
    h = layers.Dense(config.units, activation="tanh", name="first_h")(x)
    c = layers.Dense(config.units, name="first_c")(x)
    return keras.Model(body.input, [h, c], name="encoder")


def _decoder(config: Config) -> Any:
    """Words int32 [batch, n] and the state before them to logits [batch, n, words] and the state after them."""
    layers = keras.layers
    token = keras.Input((None,), dtype="int32", name="token")
    h, c = (keras.Input((config.units,), name=name) for name in ("h", "c"))
    x = layers.Embedding(config.words, config.embedding, name="word_embedding")(token)
    x = layers.Dropout(config.dropout, name="word_dropout")(x)
    x, *following = own_layers.Recurrent(config.units, "lstm", name="lstm")([x, h, c])
    x = layers.Dropout(config.dropout, name="lstm_dropout")(x)
    return keras.Model([token, h, c], [layers.Dense(config.words, name="words")(x), *following], name="decoder")


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    return {
        "words": decoder.get_layer("words").units,
        "embedding": decoder.get_layer("word_embedding").output_dim,
        "units": decoder.get_layer("lstm").units,
        "channels": encoder.get_layer("places").filters,
        "dropout": encoder.get_layer("grid_dropout").rate,
        "input_shape": tuple(encoder.inputs[0].shape[1:]),
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Captions with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    words = vocabulary_of(assets, f"{config.name} has no vocabulary, so it can write no word", "words")
    if len(words) != config.words:
        raise UsageError(f"The vocabulary has {len(words)} words; {config.name} has {config.words}.")
    height, width, _ = config.input_shape
    image = Image(height, width) if assets.preprocessing is None else from_preprocessing(assets.preprocessing)[0]
    states = tuple(Port(name, "float32", (None, config.units)) for name in ("h", "c"))
    return {"caption": Caption(image, Vocabulary(words), states, config.length)}


def kinds(config: Config) -> tuple[str, ...]:
    """The words of the tasks."""
    return ("caption",)


def Captioner(
    weights: Weights = None,
    words: int = 2_000,
    embedding: int = 256,
    units: int = 256,
    channels: int = 16,
    dropout: float = 0.3,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "captioner",
) -> keras.Model:
    """Captioner after Vinyals et al. 2015 (arXiv:1411.4555) over a MobileNet; 2,175,888 parameters by default.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        words: Size of the vocabulary, its four special words included.
        embedding: Numbers of a word's vector.
        units: Of the LSTM.
        channels: Numbers that the state is told of each place of the last grid.
        dropout: Share of the grid, of the embeddings and of the LSTM's output that training leaves out.
        input_shape: Height, width and channels of pictures, the sides at least 32.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[image, before]`, float32 [batch, height, width, 3] in -1..1 and int32
        [batch, n], to logits [batch, n, words]; `before` holds the word before each step. `model.get_layer("encoder")`
        and `get_layer("decoder")` are its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(words=words, embedding=embedding, units=units, channels=channels)
    share(dropout=dropout)
    shape = picture_shape(input_shape, "captioner", 32, open_=False)
    config = Config(name, words, embedding, units, channels, dropout, input_shape=shape)
    return assembled(__name__, "captioner", config, weights)
