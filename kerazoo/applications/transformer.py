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
ports: the encoder from `tokens` to `memory` and `seen`, the decoder from there, `token`, `cache` and `count` to
`logits`, `next_cache` and `next_count`. The decoder reads any number of tokens behind those whose keys and values are
in its cache: all at once when it learns, one when it writes. What its layers ask of the source (keys and values) is
projected once, by the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs._subwords import codec
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Port, Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.translate import Translate

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
    words = keras.layers.ReversibleEmbedding(
        config.words,
        config.units,
        # Scaled up at the bottom, and of the size of any other output at the top.
        embeddings_initializer=keras.initializers.RandomNormal(stddev=config.units**-0.5),
        name="words",
    )
    tokens = keras.Input((config.length,), dtype="int32", name="tokens")
    memory, seen = _encoder(config, words, tokens)
    before = keras.Input((None,), dtype="int32", name="before")
    # Where a part is cut out, Keras wants either inputs of the model or none of them at its beginning.
    token = keras.layers.Identity(dtype="int32", name="token")(before)
    # Nothing is in the cache when all tokens are read at once.
    cache = keras.layers.Identity(name="cache")(keras.ops.zeros_like(memory))
    count = keras.layers.Identity(dtype="int32", name="count")(keras.ops.zeros_like(tokens[:, 0]))
    logits, written, counted = _decoder(config, words, token, cache, count, memory, seen)
    outputs = {"logits": logits, "next_cache": written, "next_count": counted}
    return keras.Model([tokens, before], outputs, name=config.name)


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


def _encoder(config: Config, words: Any, tokens: Any) -> tuple[Any, Any]:
    """Source tokens to what the decoder is told.

    That is the keys and values of each of its layers, float32 [batch, 2 * layers, length, units], and where there are
    tokens, float32 [batch, length].
    """
    ops, layers = keras.ops, keras.layers
    there = ops.not_equal(tokens, 0)
    x = _embedded(config, words(tokens), ops.zeros_like(tokens[:, 0]), "encoder")
    for layer in range(1, config.layers + 1):
        name = f"encoder_{layer}"
        keys, values = _projected(config, x, name)
        x = _attended(config, x, keys, values, ops.expand_dims(there, 1), name)
        x = _fed(config, x, name)
    told = [each for layer in range(1, config.layers + 1) for each in _projected(config, x, f"decoder_{layer}_source")]
    memory = layers.Identity(name="memory")(ops.stack(told, axis=1))
    return memory, layers.Identity(name="seen")(ops.cast(there, "float32"))


def _decoder(
    config: Config, words: Any, token: Any, cache: Any, count: Any, memory: Any, seen: Any
) -> tuple[Any, Any, Any]:
    """Some tokens int32 [batch, n], the cache, how many are in it, and what the encoder said, to logits and state.

    Logits are of the token behind each, [batch, n, words].
    """
    ops, layers = keras.ops, keras.layers
    x = _embedded(config, words(token), count, "decoder")
    earlier = own_layers.Earlier(config.length, name="earlier")([x, count])
    there = ops.expand_dims(ops.greater(seen, 0.5), 1)
    written = []
    for layer in range(1, config.layers + 1):
        name, place = f"decoder_{layer}", 2 * (layer - 1)
        keys, values = (
            own_layers.Written(name=f"{name}_{kind}s")([cache[:, place + index], new, count])
            for index, (kind, new) in enumerate(zip(("key", "value"), _projected(config, x, name), strict=True))
        )
        written += [keys, values]
        x = _attended(config, x, keys, values, earlier, name)
        x = _attended(config, x, memory[:, place], memory[:, place + 1], there, f"{name}_source")
        x = _fed(config, x, name)
    logits = layers.Identity(name="logits")(words(x, reverse=True))
    following = layers.Identity(name="next_cache")(ops.stack(written, axis=1))
    return (
        logits,
        following,
        layers.Add(dtype="int32", name="next_count")([count, ops.sum(ops.ones_like(token), axis=1)]),
    )


def _embedded(config: Config, x: Any, first: Any, name: str) -> Any:
    x = own_layers.SinusoidalPositions(config.length, name=f"{name}_positions")([x, first])
    return keras.layers.Dropout(config.dropout, name=f"{name}_dropout")(x)


def _projected(config: Config, x: Any, name: str) -> tuple[Any, Any]:
    """Keys and values, [batch, n, units] each."""
    keys, values = (keras.layers.Dense(config.units, name=f"{name}_{kind}")(x) for kind in ("key", "value"))
    return keys, values


def _attended(config: Config, x: Any, keys: Any, values: Any, seen: Any, name: str) -> Any:
    """What `x` [batch, n, units] asks of keys and values, added to it and normalised."""
    queries = keras.layers.Dense(config.units, name=f"{name}_query")(x)
    mixed = own_layers.DotProductAttention(config.heads, name=f"{name}_attention")([queries, keys, values, seen])
    return _added(config, x, keras.layers.Dense(config.units, name=f"{name}_mixed")(mixed), f"{name}_attention")


def _fed(config: Config, x: Any, name: str) -> Any:
    y = keras.layers.Dense(config.inner, activation="relu", name=f"{name}_inner")(x)
    return _added(config, x, keras.layers.Dense(config.units, name=f"{name}_outer")(y), f"{name}_fed")


def _added(config: Config, x: Any, y: Any, name: str) -> Any:
    y = keras.layers.Dropout(config.dropout, name=f"{name}_dropout")(y)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)


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
    held = (None, 2 * config.layers, config.length, config.units)
    return {
        "translate": Translate(
            source,
            Vocabulary(vocabulary),
            context=(Port("memory", "float32", held), Port("seen", "float32", (None, config.length))),
            states=(),
            blank=(Port("cache", "float32", held), Port("count", "int32", (None,))),
            limit=config.length,
            block=True,
        )
    }


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
        `logits` [batch, n, words] are of the token behind each of the second; `next_cache` and `next_count` are what
        its decoder is told with the next token.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(words=words, length=length, layers=layers, units=units, inner=inner, heads=heads)
    share(dropout=dropout)
    if units % heads:
        raise UsageError(f"heads={heads} do not share units={units} evenly.")
    config = Config(name, words, length, layers, units, inner, heads, dropout)
    return assembled(__name__, "transformer_base", config, weights)
