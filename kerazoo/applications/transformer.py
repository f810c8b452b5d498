"""Transformer: a sentence read and its translation written by attention alone.

Paper: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, "Attention Is All You Need", NIPS 2017,
    arXiv:1706.03762, sections 3 and 5.4, table 3.
Reference weights: none by the authors in a form that is read here.
Variants: `transformer_base` (6 + 6 layers, width 512) and `transformer_big` (1,024), with the 37,000 subwords that the
    paper has for English and German, 63,082,496 and 214,245,376 parameters; `transformer_small` (3 + 3 layers, width
    256, 3,000 subwords), for small data, 4,721,664.
Differs: nothing in the network: post-norm, sines and cosines as positions, and one matrix for both embeddings and the
    output. Where the paper does not say, projections in attention have biases, the output has none, and norms have
    an epsilon of 1e-6. Sentences have a longest length, for which artefacts are made.

`build` gives the training model: source tokens [batch, length] and the target tokens before each step [batch, n]
(`<start>`, then the sentence) to `logits` [batch, n, words]. Its parts lie between layers that are called like their
ports: the encoder from `tokens` to `decoder_1_source_keys`, `decoder_1_source_values`, those of the other layers and
`seen`, the decoder from there, `token`, `count` and its cache, `decoder_1_keys`, `decoder_1_values` and so on, to
`logits`, `next_count` and `next_decoder_1_keys` and so on. It reads any number of tokens behind those whose keys and
values are in its cache: all at once when it learns, one when it writes. What its layers ask of the source (keys and
values) is projected once, by the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.applications._transformer import embedding, encoder, task, translator
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs._subwords import codec
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras

__all__ = ["Transformer"]


@dataclass(frozen=True)
class Config:
    """Sizes of a Transformer.

    Attributes:
        name: Name of the Keras model.
        words: Size of the vocabulary, which both languages share.
        length: Tokens of the longest sentence on either side, its end included.
        layers: Of the encoder, and of the decoder.
        units: Width of the network.
        inner: Width within the feed-forward blocks.
        heads: Of each attention; they share the width.
        dropout: Share that training leaves out of the embeddings and of what each block adds.
    """

    name: str = "transformer_base"
    words: int = 37_000
    length: int = 128
    layers: int = 6
    units: int = 512
    inner: int = 2_048
    heads: int = 8
    dropout: float = 0.1


def _small(name: str) -> Config:
    return Config(name, words=50, length=8, layers=2, units=16, inner=24, heads=4)


VARIANTS = {
    "transformer_base": Variant(
        Config(), params=63_082_496, input=(128,), task="translate", small=_small("transformer_base")
    ),
    "transformer_big": Variant(
        Config("transformer_big", units=1_024, inner=4_096, heads=16, dropout=0.3),
        params=214_245_376,
        input=(128,),
        task="translate",
        small=_small("transformer_big"),
    ),
    "transformer_small": Variant(
        Config("transformer_small", 3_000, 64, 3, 256, 512, 8, 0.2),
        params=4_721_664,
        input=(64,),
        task="translate",
        small=_small("transformer_small"),
    ),
}


def build(config: Config) -> keras.Model:
    """Source tokens [batch, length] and previous target tokens [batch, n], int32, to logits [batch, n, words]."""
    words = embedding(config, config.words, "words")
    tokens = keras.Input((config.length,), dtype="int32", name="tokens")
    there = keras.ops.not_equal(tokens, 0)
    read = encoder(config, words(tokens), there)
    return translator(config, words, tokens, {"source": read}, there)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    words = model.get_layer("words")
    return {
        "words": words.input_dim,
        "length": model.inputs[0].shape[1],
        "layers": sum(layer.name.endswith("_inner") for layer in model.layers) // 2,
        "units": words.output_dim,
        "inner": model.get_layer("encoder_1_inner").units,
        "heads": model.get_layer("encoder_1_attention").heads,
        "dropout": model.get_layer("encoder_dropout").rate,
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with the assets' vocabulary, of whole words or of subwords.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    lack = f"{config.name} has no vocabulary for both languages, so it can read and write no word"
    vocabulary = vocabulary_of(assets, lack, "subwords")
    source = codec(Vocabulary(vocabulary), config.length)
    if len(source.pieces) != config.words:
        raise UsageError(f"The vocabulary has {len(source.pieces)} words; {config.name} has {config.words}.")
    return {"translate": task(config, source, Vocabulary(vocabulary))}


def Transformer(
    weights: Weights = None,
    words: int = 37_000,
    length: int = 128,
    layers: int = 6,
    units: int = 512,
    inner: int = 2_048,
    heads: int = 8,
    dropout: float = 0.1,
    name: str = "transformer_base",
) -> keras.Model:
    """Transformer of Vaswani et al. 2017 (arXiv:1706.03762); the base model with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        words: Size of the vocabulary that both languages share, its four special words included.
        length: Tokens of the longest sentence, its end included; no weight depends on it.
        layers: Of the encoder, and of the decoder.
        units: Width of the network; 512 in the base model, 1,024 in the big one.
        inner: Width within the feed-forward blocks; 2,048, and 4,096.
        heads: Of each attention, a divisor of `units`; 8, and 16.
        dropout: Share that training leaves out of the embeddings and of what each block adds; 0.1, and 0.3.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[tokens, before]`, int32 [batch, length] and [batch, n], to a dict whose
        `logits` [batch, n, words] are of the token behind each of the second; the others, `next_...`, are what its
        decoder is told with the next token.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(words=words, length=length, layers=layers, units=units, inner=inner, heads=heads)
    share(dropout=dropout)
    if units % heads:
        raise UsageError(f"heads={heads} do not share units={units} evenly.")
    config = Config(name, words, length, layers, units, inner, heads, dropout)
    return assembled(__name__, "transformer_base", config, weights)
