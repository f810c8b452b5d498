"""What the recurrent translators share: their vocabularies, stacked LSTMs, and a look at what was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerazoo.assets import Assets
from kerazoo.codecs.text import Text, Vocabulary
from kerazoo.errors import UsageError
from kerazoo.lazy import keras


def sides(config: Any, assets: Assets, what: str = "words") -> Mapping[str, Vocabulary]:
    """The vocabularies `source` and `target` of the assets, which may be one.

    Args:
        config: Has `name`, and their sizes as `source_words` and `target_words`, or of what else there is.
        assets: With one vocabulary, or with `source` and `target`.
        what: What stands on the lines.

    Raises:
        UsageError: There is none, or it has not as many lines as the network has words.
    """
    vocabulary: Any = assets.vocabulary
    if vocabulary is None:
        one = what.removesuffix("s")
        raise UsageError(
            f"{config.name} has no vocabulary, so it can read and write no {one}.\n"
            f"Put the {what} of these weights, one a line, into {assets.missing}."
            if assets.missing
            else f"{config.name} has no vocabulary, so it can read and write no {one}; it belongs to the weights."
        )
    pair = vocabulary if isinstance(vocabulary, Mapping) else {"source": vocabulary, "target": vocabulary}
    for side in ("source", "target"):
        size = getattr(config, f"{side}_{what}")
        if len(pair[side]) != size:
            raise UsageError(f"The {side} vocabulary has {len(pair[side])} {what}; {config.name} has {size}.")
    return {side: Vocabulary(words) for side, words in pair.items()}


def both(config: Any, assets: Assets) -> tuple[Text, Vocabulary]:
    """How a network's source is read, and the words of its target, from the assets' vocabulary; see `sides`."""
    words = sides(config, assets)
    return Text(words["source"], config.length), words["target"]


def there(source: Any) -> Any:
    """Where words stand and not padding, float32 [batch, length], 1 or 0."""
    return keras.ops.cast(keras.ops.not_equal(source, 0), "float32")


def mixed(shares: Any, memory: Any) -> Any:
    """The mean of vectors [batch, length, units] by their shares [batch, length]: [batch, units]."""
    return keras.ops.sum(keras.ops.expand_dims(shares, -1) * memory, axis=1)


def dropped(rate: float, x: Any, name: str) -> Any:
    """Dropout of that name, where there is any."""
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(x) if rate else x


def read_by(config: Any, x: Any) -> tuple[Any, Any]:
    """LSTMs, one above the other, read a sentence from its first place to its last.

    Args:
        config: Has `layers`, `units` and `dropout`.
        x: Vectors of its words [batch, length, n], with Keras' mask.

    Returns:
        The last one's states [batch, length, units], and hidden state and cell of each in the end, [batch, 2 * layers,
        units].
    """
    layers, states = keras.layers, []
    for layer in range(1, config.layers + 1):
        x = dropped(config.dropout, x, f"encoder{layer}")
        name = f"encoder_lstm{layer}"
        x, *both_ = layers.LSTM(config.units, return_sequences=True, return_state=True, unroll=True, name=name)(x)
        states += both_
    return x, keras.ops.stack(states, axis=1)


def step_by(config: Any, x: Any, state: Any) -> tuple[Any, Any]:
    """One step of as many LSTMs, from a vector [batch, n] and such a state to the last one's and the state after it."""
    layers, states = keras.layers, []
    for layer in range(1, config.layers + 1):
        x = dropped(config.dropout, x, f"decoder{layer}")
        held = [state[:, 2 * layer - 2], state[:, 2 * layer - 1]]
        x, both_ = layers.LSTMCell(config.units, name=f"decoder_lstm{layer}")(x, held)
        states += both_
    return x, keras.ops.stack(states, axis=1)
