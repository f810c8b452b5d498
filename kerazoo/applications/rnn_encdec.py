"""RNN encoder-decoder: a sentence read into one vector, and written from it in another language.

Paper: Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio, "Learning Phrase Representations using RNN
    Encoder-Decoder for Statistical Machine Translation", EMNLP 2014, arXiv:1406.1078, sections 2, 4.1 and appendix A.
Reference weights: none by the authors.
Variants: `rnn_encdec`: the paper's, 15,001 words on either side (15,000 and the end), embeddings of 100, 1,000 gated
    units, 500 maxout units of two pieces, and the output matrix as a product of rank 100; 18,250,300 parameters
    (24,200,700 with `rank=None`, one output matrix of full rank). `rnn_encdec_small`: its plain form, with biases and a
    decoder of Keras' own cell, 4,000 words, embeddings of 96, 256 units, 96 maxout units and rank 96, with dropout, for
    small data; 2,152,544 parameters.
Differs: weights begin as Keras has them, where the paper draws white noise and makes the recurrent ones of singular
    vectors. Sentences have a fixed longest length (30 by default), because only an unrolled recurrence converts to
    LiteRT's built-in operations. The paper scores phrases; the task here decodes. In the plain form the decoder's reset
    gate acts before the product with the recurrent matrix, on the state alone, as the encoder's does; in appendix A.1.2
    it acts behind it, on the context's term too.

`build` gives the training model: source words [batch, length] and the target words before each step
[batch, length] (`<start>`, then the sentence) to logits [batch, length, words]. Its layers `encoder` (sentence to
context and first state) and `decoder` (one step) are what translation calls. Train it with
`SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.applications._translator import both, dropped
from kerazoo.assets import Assets
from kerazoo.contract import Port, Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.translate import Translate

__all__ = ["RNNEncoderDecoder"]


@dataclass(frozen=True)
class Config:
    """Sizes of an RNN encoder-decoder.

    Attributes:
        name: Name of the Keras model.
        source_words, target_words: Sizes of the vocabularies.
        length: Words of the longest sentence on either side, its end included.
        embedding: Size of a word's vector.
        units: Gated units of encoder and decoder, and size of the context.
        maxout: Maxout units, each the larger of two linear pieces.
        rank: Of the output matrix; `None` for a whole one.
        dropout: Share of the embeddings and of what the output is read from that training leaves out; the paper has
            none.
        plain: Whether layers have biases, and the decoder resets its state before the product, as Keras' cells do.
    """

    name: str = "rnn_encdec"
    source_words: int = 15_001
    target_words: int = 15_001
    length: int = 30
    embedding: int = 100
    units: int = 1_000
    maxout: int = 500
    rank: int | None = 100
    dropout: float = 0.0
    plain: bool = False


SMALL = Config("rnn_encdec_small", 4_000, 4_000, 36, 96, 256, 96, 96, 0.3, plain=True)

VARIANTS = {
    "rnn_encdec": Variant(
        Config(),
        params=18_250_300,
        input=(30,),
        task="translate",
        small=Config(source_words=40, target_words=50, length=8, embedding=8, units=16, maxout=10, rank=6),
    ),
    "rnn_encdec_small": Variant(
        SMALL,
        params=2_152_544,
        input=(36,),
        task="translate",
        small=Config("rnn_encdec_small", 40, 50, 8, 8, 16, 10, 6, 0.3, plain=True),
    ),
}


def build(config: Config) -> keras.Model:
    """Source words and previous target words, both int32 [batch, length], to logits [batch, length, target_words]."""
    source = keras.Input((config.length,), dtype="int32", name="source")
    target = keras.Input((config.length,), dtype="int32", name="target")
    context, state = _encoder(config)(source)
    decoder, steps = _decoder(config), []
    for step in range(config.length):
        logits, state = decoder([target[:, step], state, context])
        steps.append(logits)
    return keras.Model([source, target], keras.ops.stack(steps, axis=1), name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    inner = {layer.name: layer for layer in decoder.layers}
    return {
        "source_words": encoder.get_layer("source_embedding").input_dim,
        "target_words": inner["target_embedding"].input_dim,
        "length": encoder.inputs[0].shape[1],
        "embedding": inner["target_embedding"].output_dim,
        "units": encoder.get_layer("encoder_gru").units,
        "maxout": inner["maxout_piece1"].units,
        "rank": inner["rank"].units if "rank" in inner else None,
        "dropout": next((layer.rate for layer in encoder.layers if isinstance(layer, keras.layers.Dropout)), 0.0),
        "plain": "decoder_gru" in inner,
    }


def _encoder(config: Config) -> Any:
    """Source words int32 [batch, length] to context and the decoder's first state, both [batch, units]."""
    layers, biased = keras.layers, {"use_bias": config.plain}
    source = keras.Input((config.length,), dtype="int32", name="encoder_source")
    # Number 0 is padding: behind the last word the state stays as it is.
    x = layers.Embedding(config.source_words, config.embedding, mask_zero=True, name="source_embedding")(source)
    x = dropped(config.dropout, x, "source")
    x = layers.GRU(config.units, reset_after=False, unroll=True, **biased, name="encoder_gru")(x)
    context = layers.Dense(config.units, activation="tanh", **biased, name="summary")(x)
    state = layers.Dense(config.units, activation="tanh", **biased, name="first_state")(context)
    return keras.Model(source, [context, state], name="encoder")


def _decoder(config: Config) -> Any:
    """One step: previous word int32 [batch], state and context [batch, units] to logits [batch, words] and state."""
    layers, biased = keras.layers, {"use_bias": config.plain}
    token = keras.Input((), dtype="int32", name="token")
    state = keras.Input((config.units,), name="state")
    context = keras.Input((config.units,), name="context")
    word = layers.Embedding(config.target_words, config.embedding, name="target_embedding")(token)
    word = dropped(config.dropout, word, "target")
    if config.plain:
        seen = layers.Concatenate(name="word_context")([word, context])
        following, _ = layers.GRUCell(config.units, reset_after=False, name="decoder_gru")(seen, state)
    else:
        following = _following(config, word, state, context)
    readout = layers.Concatenate(name="readout")([following, word, context])
    readout = dropped(config.dropout, readout, "readout")
    pieces = [layers.Dense(config.maxout, **biased, name=f"maxout_piece{index}")(readout) for index in (1, 2)]
    x = layers.Maximum(name="maxout")(pieces)
    if config.rank is not None:
        x = layers.Dense(config.rank, use_bias=False, name="rank")(x)
    logits = layers.Dense(config.target_words, **biased, name="words")(x)
    return keras.Model([token, state, context], [logits, following], name="decoder")


def _following(config: Config, word: Any, state: Any, context: Any) -> Any:
    """The decoder's state after a step, all [batch, n]: appendix A.1.2, where the gate resets state and context."""
    layers = keras.layers
    held = layers.Concatenate(name="state_context")([state, context])
    told = layers.Concatenate(name="word_state_context")([word, held])
    update, reset = (
        layers.Dense(config.units, activation="sigmoid", use_bias=False, name=f"decoder_{gate}")(told)
        for gate in ("update", "reset")
    )
    inner = layers.Dense(config.units, use_bias=False, name="decoder_held")(held)
    fresh = layers.Dense(config.units, use_bias=False, name="decoder_word")(word)
    return update * state + (1 - update) * keras.ops.tanh(fresh + reset * inner)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    source, target = both(config, assets)
    context, state = (Port(name, "float32", (None, config.units)) for name in ("context", "state"))
    return {"translate": Translate(source, target, (context,), (state,), limit=config.length)}


def RNNEncoderDecoder(
    weights: Weights = None,
    source_words: int = 15_001,
    target_words: int = 15_001,
    length: int = 30,
    embedding: int = 100,
    units: int = 1_000,
    maxout: int = 500,
    rank: int | None = 100,
    dropout: float = 0.0,
    plain: bool = False,
    name: str = "rnn_encdec",
) -> keras.Model:
    """RNN encoder-decoder of Cho et al. 2014 (arXiv:1406.1078); 18,250,300 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        source_words: Size of the vocabulary that is read, its four special words included.
        target_words: Size of the vocabulary that is written, likewise.
        length: Words of the longest sentence, its end included; the network is unrolled to it.
        embedding: Size of a word's vector.
        units: Gated units of encoder and decoder.
        maxout: Maxout units of two pieces each.
        rank: Of the output matrix; `None` for a whole one.
        dropout: Share of the embeddings and of what the output is read from that training leaves out.
        plain: Whether layers have biases, and the decoder resets its state as Keras' cells do.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[source, target]`, both int32 [batch, length], to logits
        [batch, length, target_words]; `target` holds the word before each step. `model.get_layer("encoder")` and
        `get_layer("decoder")`, which is one step, are its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    config = Config(name, source_words, target_words, length, embedding, units, maxout, rank, dropout, plain)
    whole = {what: value for what, value in vars(config).items() if what not in ("name", "dropout", "plain")}
    whole_numbers(**{what: value for what, value in whole.items() if (what, value) != ("rank", None)})
    if not isinstance(plain, bool):
        raise UsageError(f"plain={plain!r} is neither True nor False.")
    share(dropout=dropout)
    return assembled(__name__, "rnn_encdec", config, weights)
