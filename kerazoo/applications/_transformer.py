"""What makes a Transformer's encoder and decoder: attention to one source, or to several side by side.

A config has `name`, `words`, `length`, `layers`, `units`, `inner`, `heads` and `dropout`, as that of `transformer` has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Port
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.translate import Translate

Mixing = Callable[[list[Any], str], Any]
"""From what attentions side by side give, [batch, n, units] each, to one; with a name for the layer that does it."""

HELD = "keys", "values"
"""What an attention holds of what it looks at: the ends of its ports' names."""


def _only(answers: list[Any], name: str) -> Any:
    return answers[0]


def embedding(config: Any, words: int, name: str) -> Any:
    """Vectors of so many words, which can give logits of them, too."""
    return keras.layers.ReversibleEmbedding(
        words,
        config.units,
        # Scaled up at the bottom, and of the size of any other output at the top.
        embeddings_initializer=keras.initializers.RandomNormal(stddev=config.units**-0.5),
        name=name,
    )


def encoder(
    config: Any, vectors: Any, there: Any, beside: Mapping[str, Any] | None = None, mixing: Mixing = _only
) -> Any:
    """What the last layer of the encoder says of a source, [batch, length, units].

    Args:
        config: Sizes.
        vectors: Of its words, [batch, length, units].
        there: Where there are words, bool [batch, length].
        beside: What others say of the same words, [batch, length, any], by name: each layer attends to it, too.
        mixing: What attention to itself and to those, in this order, come to.
    """
    x = _embedded(config, vectors, _none(there), "encoder")
    for layer in range(1, config.layers + 1):
        name = f"encoder_{layer}"
        asked = {name: x} | {f"{name}_{kind}": other for kind, other in (beside or {}).items()}
        keys_values = {each: _projected(config, said, each) for each, said in asked.items()}
        x = _attended(config, x, keys_values, keras.ops.expand_dims(there, 1), name, mixing)
        x = _fed(config, x, name)
    return x


def translator(
    config: Any, words: Any, tokens: Any, read: Mapping[str, Any], there: Any, mixing: Mixing = _only
) -> keras.Model:
    """The training model that `build` gives, behind any encoder.

    Args:
        config: Sizes.
        words: The embedding of what is written.
        tokens: The input, of which encoders say something.
        read: What they say, [batch, length, any], by name: each layer of the decoder attends to all of them.
        there: Where there are words, bool [batch, length].
        mixing: What these attentions come to.
    """
    ops, layers = keras.ops, keras.layers
    told = {
        f"{name}_{each}": own_layers.Heads(config.heads, name=f"{name}_{each}")(vectors)
        for kind, said in read.items()
        for name in _decoders(config, kind)
        for each, vectors in zip(HELD, _projected(config, said, name), strict=True)
    }
    seen = layers.Identity(name="seen")(ops.cast(there, "float32"))
    before = keras.Input((None,), dtype="int32", name="before")
    # Where a part is cut out, Keras wants either inputs of the model or none of them at its beginning.
    token = layers.Identity(dtype="int32", name="token")(before)
    # Nothing is in the cache when all tokens are read at once.
    nothing = ops.zeros_like(next(iter(told.values())))
    cache = {port: layers.Identity(name=port)(nothing) for port in _ports(config)}
    count = layers.Identity(dtype="int32", name="count")(_none(there))
    outputs = _decoder(config, words, token, cache, count, told, seen, tuple(read), mixing)
    return keras.Model([tokens, before], outputs, name=config.name)


def _decoder(
    config: Any,
    words: Any,
    token: Any,
    cache: Mapping[str, Any],
    count: Any,
    told: Mapping[str, Any],
    seen: Any,
    kinds: tuple[str, ...],
    mixing: Mixing,
) -> dict[str, Any]:
    """Some tokens int32 [batch, n], the cache, how many are in it, and what encoders said, to logits and state.

    Logits are of the token behind each, [batch, n, words]. Keys and values, of the cache as of what encoders said, are
    float32 [batch, heads, length, units / heads], by port.
    """
    ops, layers = keras.ops, keras.layers
    x = _embedded(config, words(token), count, "decoder")
    earlier = own_layers.Earlier(config.length, name="earlier")([x, count])
    there = ops.expand_dims(ops.greater(seen, 0.5), 1)
    written = {}
    for name in _decoders(config):
        for each, vectors in zip(HELD, _projected(config, x, name), strict=True):
            port, new = f"{name}_{each}", own_layers.Heads(config.heads, name=f"{name}_new_{each}")(vectors)
            written[port] = own_layers.Written(name=f"next_{port}")([cache[port], new, count])
        x = _attended(config, x, {name: _pair(written, name)}, earlier, name)
        asked = {f"{name}_{kind}": _pair(told, f"{name}_{kind}") for kind in kinds}
        x = _attended(config, x, asked, there, f"{name}_source", mixing)
        x = _fed(config, x, name)
    return {
        "logits": layers.Identity(name="logits")(words(x, reverse=True)),
        **{f"next_{port}": tensor for port, tensor in written.items()},
        "next_count": layers.Add(dtype="int32", name="next_count")([count, ops.sum(ops.ones_like(token), axis=1)]),
    }


def _decoders(config: Any, kind: str = "") -> list[str]:
    """Names of the decoder's attentions, of all layers: to what was written, or to a kind of source."""
    return [f"decoder_{layer}_{kind}".rstrip("_") for layer in range(1, config.layers + 1)]


def _ports(config: Any, kind: str = "") -> list[str]:
    """What these hold, in heads, so that a step neither cuts nor turns it."""
    return [f"{name}_{each}" for name in _decoders(config, kind) for each in HELD]


def _pair(held: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    keys, values = (held[f"{name}_{each}"] for each in HELD)
    return keys, values


def _none(there: Any) -> Any:
    """0 for each row, int32 [batch]."""
    return keras.ops.zeros_like(there[:, 0], dtype="int32")


def _embedded(config: Any, x: Any, first: Any, name: str) -> Any:
    x = own_layers.SinusoidalPositions(config.length, name=f"{name}_positions")([x, first])
    return keras.layers.Dropout(config.dropout, name=f"{name}_dropout")(x)


def _projected(config: Any, x: Any, name: str) -> tuple[Any, Any]:
    """Keys and values, [batch, n, units] each."""
    keys, values = (keras.layers.Dense(config.units, name=f"{name}_{kind}")(x) for kind in ("key", "value"))
    return keys, values


def _attended(
    config: Any, x: Any, told: Mapping[str, tuple[Any, Any]], seen: Any, name: str, mixing: Mixing = _only
) -> Any:
    """What `x` [batch, n, units] asks of keys and values, by name, added to it and normalised."""
    layers, answers = keras.layers, []
    for each, (keys, values) in told.items():
        queries = layers.Dense(config.units, name=f"{each}_query")(x)
        mixed = own_layers.DotProductAttention(config.heads, name=f"{each}_attention")([queries, keys, values, seen])
        answers.append(layers.Dense(config.units, name=f"{each}_mixed")(mixed))
    return _added(config, x, mixing(answers, name), f"{name}_attention")


def _fed(config: Any, x: Any, name: str) -> Any:
    y = keras.layers.Dense(config.inner, activation="relu", name=f"{name}_inner")(x)
    return _added(config, x, keras.layers.Dense(config.units, name=f"{name}_outer")(y), f"{name}_fed")


def _added(config: Any, x: Any, y: Any, name: str) -> Any:
    y = keras.layers.Dropout(config.dropout, name=f"{name}_dropout")(y)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)


def task(config: Any, source: Any, words: Vocabulary, kinds: tuple[str, ...] = ("source",)) -> Translate:
    """Translation by a model of `translator`.

    Args:
        config: Sizes.
        source: The codec of what is read.
        words: The vocabulary of what is written.
        kinds: The encoders that the decoder attends to, as `translator` has them.
    """
    held = (None, config.heads, config.length, config.units // config.heads)
    told = (Port(port, "float32", held) for kind in kinds for port in _ports(config, kind))
    return Translate(
        source,
        words,
        context=(*told, Port("seen", "float32", (None, config.length))),
        states=(),
        blank=(*(Port(port, "float32", held) for port in _ports(config)), Port("count", "int32", (None,))),
        limit=config.length,
        block=True,
    )
