from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import CharGRU, CharLSTM, CharRNN, char_rnn
from kerazoo.assets import Assets
from kerazoo.codecs._characters import placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.registry import Built
from kerazoo.tasks.write import PART

SMALL = char_rnn.Config(characters=12, embedding=4, units=6, length=5)


@pytest.mark.parametrize(("name", "products", "biases"), [("char_rnn", 1, 1), ("char_lstm", 4, 1), ("char_gru", 3, 2)])
def test_counts_by_arithmetic(name: str, products: int, biases: int) -> None:
    described = char_rnn.VARIANTS[name]
    characters, embedding, units = 66, 32, 256
    cells = sum(products * units * (inputs + units + biases) for inputs in (embedding, units))
    assert characters * embedding + cells + characters * (units + 1) == described.params


@pytest.mark.parametrize(
    ("characters", "peepholes", "params"),
    [(258, True, 866_578), (80, False, 817_872), (90, False, 820_522)],
    ids=["McMahan", "LEAF", "TensorFlow Federated"],
)
def test_shakespeare_of_federated_learning(characters: int, peepholes: bool, params: int) -> None:
    model = CharLSTM(characters=characters, embedding=8, peepholes=peepholes)
    assert model.count_params() == params


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("build", [CharRNN, CharLSTM, CharGRU])
def test_its_step_goes_on_where_the_whole_stands(build: object, layers: int) -> None:
    model = build(characters=12, embedding=4, units=6, layers=layers)  # type: ignore[operator]
    config = char_rnn.Config(**{"name": model.name, **char_rnn.sizes(model)})
    assert config.layers == layers
    several = char_rnn.tasks(config, Assets(vocabulary=placeholder(12)))
    part = keras_engine.network(Built("x", model, several)).part(PART)
    text = np.random.default_rng(0).integers(0, 12, (2, 5)).astype(np.int32)
    whole = model(text)
    state = {name: np.zeros((2, 6), np.float32) for name in config.states}
    for place in range(5):
        out = part({"token": text[:, place : place + 1], **state})
        np.testing.assert_allclose(out["logits"][:, 0], whole["logits"][:, place], rtol=0, atol=1e-6)
        state = {name: out[f"next_{name}"] for name in state}
    for name, value in state.items():
        np.testing.assert_allclose(value, whole[f"next_{name}"], rtol=0, atol=1e-6)


def test_vocabulary() -> None:
    with pytest.raises(UsageError, match="no vocabulary, so it can read and write no character"):
        char_rnn.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="vocabulary has 11 lines; char_lstm has 12"):
        char_rnn.tasks(SMALL, Assets(vocabulary=placeholder(11)))


@pytest.mark.parametrize("wrong", [{"units": 0}, {"layers": 1.5}, {"dropout": 1.0}, {"weights": "imagenet"}])
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        CharLSTM(**wrong)


@pytest.mark.slow
def test_it_is_trained_as_any_keras_model() -> None:
    model = CharGRU(characters=5, embedding=4, units=16, layers=1, dropout=0.0)
    model.compile(keras.optimizers.Adam(3e-2), {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    text = (np.arange(33) % 4 + 1).astype(np.int32)
    x, y = (np.stack([each] * 8) for each in (text[:-1], text[1:]))
    history = model.fit(x, {"logits": y}, batch_size=8, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0] / 4
