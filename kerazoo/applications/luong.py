"""Luong's attention: stacked LSTMs that look at what was read after each step, everywhere or near one place.

Paper: Luong, Pham, Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015,
    arXiv:1508.04025, sections 2 to 4.1.
Reference weights: none by the authors in a form that is read here.
Variants: `attention_luong`: the best single model of table 1, 4 + 4 layers of 1,000 units, embeddings of 1,000, 50,000
    words on either side, scores `general` in windows of local-p, and what was attended to fed into the next step;
    222,033,000 parameters. `attention_luong_small`: one layer of 256 units on either side, embeddings of 96, 4,500 and
    4,000 words, `general` scores everywhere, with dropout, for small data; 3,021,696.
Differs: recurrent weights begin orthogonal, the others as Keras has them, and an LSTM forgets nothing at first.
    Sentences have a fixed longest length, because only an unrolled recurrence converts to LiteRT's built-in operations.
    Places of the source are counted from 0.

The source is read from its end to its beginning, as in the paper. Each LSTM's gate has one bias; projections have none.

`build` gives the training model: source words [batch, length] and the target words before each step
[batch, length] (`<start>`, then the sentence) to logits [batch, length, words]. Its layers `encoder` (sentence to the
states of its last layer, what scores ask of them, which of them are words, and the states to begin with) and `decoder`
(one step, which also says where it looked) are what translation calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.applications._translator import both, dropped, mixed, read_by, step_by, there
from kerazoo.assets import Assets
from kerazoo.contract import Port, Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.translate import Translate

__all__ = ["AttentionLuong"]

SCORES = ("dot", "general", "concat")
"""How a state is compared with what was read."""

WINDOWS = ("global", "local-m", "local-p")
"""Where a step looks: everywhere, near the place of its own number, or near one that it predicts."""


@dataclass(frozen=True)
class Config:
    """Sizes of a translator with Luong's attention.

    Attributes:
        name: Name of the Keras model.
        source_words, target_words: Sizes of the vocabularies.
        length: Words of the longest sentence on either side, its end included.
        layers: Of the encoder, and of the decoder.
        embedding: Size of a word's vector.
        units: Of each layer, and size of what is attended to.
        score: One of `SCORES`.
        window: One of `WINDOWS`.
        reach: Places to either side that are in a window.
        feeding: Whether a step is also fed what the one before attended to.
        dropout: Share that training leaves out of what each layer reads and of what words are read from.
    """

    name: str = "attention_luong"
    source_words: int = 50_000
    target_words: int = 50_000
    length: int = 50
    layers: int = 4
    embedding: int = 1_000
    units: int = 1_000
    score: str = "general"
    window: str = "local-p"
    reach: int = 10
    feeding: bool = True
    dropout: float = 0.2


SMALL = Config("attention_luong_small", 4_500, 4_000, 36, 1, 96, 256, window="global", dropout=0.3)

VARIANTS = {
    "attention_luong": Variant(
        Config(),
        params=222_033_000,
        input=(50,),
        task="translate",
        small=Config("attention_luong", 40, 50, 8, 2, 8, 16, reach=2),
    ),
    "attention_luong_small": Variant(
        SMALL,
        params=3_021_696,
        input=(36,),
        task="translate",
        small=Config("attention_luong_small", 40, 50, 8, 1, 8, 16, window="global", dropout=0.3),
    ),
}


def build(config: Config) -> keras.Model:
    """Source words and previous target words, both int32 [batch, length], to logits [batch, length, target_words]."""
    ops = keras.ops
    source = keras.Input((config.length,), dtype="int32", name="source")
    target = keras.Input((config.length,), dtype="int32", name="target")
    *context, state = _encoder(config)(source)
    states = [state]
    if config.feeding:
        states.append(ops.zeros_like(state[:, 0]))
    if config.window == "local-m":
        states.append(ops.zeros_like(source[:, 0]))
    decoder, steps = _decoder(config), []
    for step in range(config.length):
        logits, *states, _ = decoder([target[:, step], *states, *context])
        steps.append(logits)
    return keras.Model([source, target], ops.stack(steps, axis=1), name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    inner = {layer.name: layer for layer in decoder.layers}
    local = inner.get("local_attention")
    return {
        "source_words": encoder.get_layer("source_embedding").input_dim,
        "target_words": inner["target_embedding"].input_dim,
        "length": encoder.inputs[0].shape[1],
        "layers": sum(name.startswith("decoder_lstm") for name in inner),
        "embedding": inner["target_embedding"].output_dim,
        "units": inner["decoder_lstm1"].units,
        "score": next((score for score in SCORES if f"score_{score}" in inner), "dot"),
        "window": "global" if local is None else "local-p" if local.bell else "local-m",
        "reach": Config.reach if local is None else local.reach,
        "feeding": "fed" in inner,
        "dropout": next((layer.rate for layer in encoder.layers if isinstance(layer, keras.layers.Dropout)), 0.0),
    }


def _encoder(config: Config) -> Any:
    """Source words int32 [batch, length] to what the decoder is told.

    That is the last layer's states [batch, length, units], of `concat` what its score makes of them, as large, where
    there are words [batch, length], and hidden state and cell of each layer, [batch, 2 * layers, units].
    """
    layers, ops = keras.layers, keras.ops
    source = keras.Input((config.length,), dtype="int32", name="encoder_source")
    # Number 0 is padding: there the states stay as they are, which is at zero until the first word comes.
    x = layers.Embedding(config.source_words, config.embedding, mask_zero=True, name="source_embedding")(
        ops.flip(source, axis=1)
    )
    x, states = read_by(config, x)
    memory = ops.flip(x, axis=1)
    keys = []
    if config.score == "concat":
        keys = [layers.Dense(config.units, use_bias=False, name="memory_score")(memory)]
    return keras.Model(source, [memory, *keys, there(source), states], name="encoder")


def _decoder(config: Config) -> Any:
    """One step: previous word int32 [batch], states and context to logits [batch, words], states and shares.

    The shares are of the source's places in what was attended to, [batch, length].
    """
    layers = keras.layers
    wide = (config.length, config.units)
    token = keras.Input((), dtype="int32", name="token")
    state = keras.Input((2 * config.layers, config.units), name="state")
    fed = [keras.Input((config.units,), name="fed")] if config.feeding else []
    count = [keras.Input((), dtype="int32", name="count")] if config.window == "local-m" else []
    memory = keras.Input(wide, name="memory")
    keys = [keras.Input(wide, name="keys")] if config.score == "concat" else []
    seen = keras.Input((config.length,), name="seen")
    x = layers.Embedding(config.target_words, config.embedding, name="target_embedding")(token)
    if fed:
        x = layers.Concatenate(name="word_fed")([x, *fed])
    x, states = step_by(config, x, state)
    scores = _scores(config, x, memory, *keys)
    if config.window == "global":
        attention = own_layers.shared(scores, seen)
    else:
        middle = count[0] if count else _predicted(config, x, seen)
        attention = own_layers.LocalAttention(config.reach, not count, name="local_attention")([scores, seen, middle])
    told = layers.Concatenate(name="context_state")([mixed(attention, memory), x])
    attended = layers.Dense(config.units, activation="tanh", use_bias=False, name="attended")(told)
    readout = dropped(config.dropout, attended, "readout")
    logits = layers.Dense(config.target_words, use_bias=False, name="words")(readout)
    following = [states, *([attended] * len(fed)), *(each + 1 for each in count)]
    return keras.Model(
        [token, state, *fed, *count, memory, *keys, seen], [logits, *following, attention], name="decoder"
    )


def _scores(config: Config, x: Any, memory: Any, keys: Any = None) -> Any:
    """How well a state [batch, units] goes with each place of what was read, [batch, length]."""
    layers, ops = keras.layers, keras.ops
    if config.score == "concat":
        asked = layers.Dense(config.units, use_bias=False, name="state_score")(x)
        hidden = ops.tanh(ops.expand_dims(asked, 1) + keys)
        return ops.squeeze(layers.Dense(1, use_bias=False, name="score_concat")(hidden), -1)
    if config.score == "general":
        x = layers.Dense(config.units, use_bias=False, name="score_general")(x)
    return ops.sum(ops.expand_dims(x, 1) * memory, axis=-1)


def _predicted(config: Config, x: Any, seen: Any) -> Any:
    """The place that local-p looks near, [batch], between 0 and the number of the source's words."""
    layers, ops = keras.layers, keras.ops
    hidden = layers.Dense(config.units, activation="tanh", use_bias=False, name="place_hidden")(x)
    part = layers.Dense(1, activation="sigmoid", use_bias=False, name="place")(hidden)
    return ops.sum(seen, axis=-1) * ops.squeeze(part, -1)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    source, target = both(config, assets)
    wide = (None, config.length, config.units)
    keys = (Port("keys", "float32", wide),) * (config.score == "concat")
    context = (Port("memory", "float32", wide), *keys, Port("seen", "float32", (None, config.length)))
    fed = (Port("fed", "float32", (None, config.units)),) * config.feeding
    count = (Port("count", "int32", (None,)),) * (config.window == "local-m")
    return {
        "translate": Translate(
            source,
            target,
            context,
            states=(Port("state", "float32", (None, 2 * config.layers, config.units)),),
            blank=(*fed, *count),
            limit=config.length,
            looks=True,
        )
    }


def AttentionLuong(
    weights: Weights = None,
    source_words: int = 50_000,
    target_words: int = 50_000,
    length: int = 50,
    layers: int = 4,
    embedding: int = 1_000,
    units: int = 1_000,
    score: str = "general",
    window: str = "local-p",
    reach: int = 10,
    feeding: bool = True,
    dropout: float = 0.2,
    name: str = "attention_luong",
) -> keras.Model:
    """Attention of Luong et al. 2015 (arXiv:1508.04025); 222,033,000 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        source_words: Size of the vocabulary that is read, its four special words included.
        target_words: Size of the vocabulary that is written, likewise.
        length: Words of the longest sentence, its end included; the network is unrolled to it.
        layers: Of the encoder, and of the decoder.
        embedding: Size of a word's vector.
        units: Of each layer, and size of what is attended to.
        score: How a state is compared with what was read: `dot`, `general` or `concat`.
        window: Where a step looks: `global`, `local-m` (near the place of its own number) or `local-p` (near one that
            it predicts).
        reach: Places to either side that are in a local window; the paper's D.
        feeding: Whether a step is also fed what the one before attended to.
        dropout: Share that training leaves out of what each layer reads and of what words are read from.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[source, target]`, both int32 [batch, length], to logits
        [batch, length, target_words]; `target` holds the word before each step. `model.get_layer("encoder")` and
        `get_layer("decoder")`, which is one step, are its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    for what, value, known in (("score", score, SCORES), ("window", window, WINDOWS)):
        if value not in known:
            raise UsageError(f"{what}={value!r} is not known; allowed are {', '.join(known)}.")
    if not isinstance(feeding, bool):
        raise UsageError(f"feeding={feeding!r} is neither True nor False.")
    whole_numbers(
        source_words=source_words, target_words=target_words, length=length, layers=layers, embedding=embedding,
        units=units, reach=reach,
    )  # fmt: skip
    share(dropout=dropout)
    config = Config(
        name, source_words, target_words, length, layers, embedding, units, score, window, reach, feeding, dropout
    )
    return assembled(__name__, "attention_luong", config, weights)
