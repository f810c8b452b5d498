from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerazoo.applications import Transformer, transformer
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, SPECIAL, START, Vocabulary, placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.registry import Built
from tests.conformance.models import built
from tests.tasks.stubs import text

SMALL = transformer.VARIANTS["transformer_small"].small


def test_counts_by_arithmetic():
    for described in transformer.VARIANTS.values():
        c = described.config
        attention, norm = 4 * (c.units**2 + c.units), 2 * c.units
        fed = 2 * c.units * c.inner + c.inner + c.units
        encoder, decoder = attention + fed + 2 * norm, 2 * attention + fed + 3 * norm
        assert c.words * c.units + c.layers * (encoder + decoder) == described.params


def positions(length, width):
    place, column = np.mgrid[0:length, 0:width]
    angle = place / 10_000 ** ((column - column % 2) / width)
    return np.where(column % 2, np.cos(angle), np.sin(angle))


def by_hand(weights, source, before, config):
    """The equations of the paper for one sentence, in float64, without padding and without a cache."""

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weights[f"{name}/gamma"] + weights[f"{name}/beta"]

    def attended(x, told, name, causal=False, told_name=None):
        told_name = told_name or name
        q, k, v = dense(x, f"{name}_query"), dense(told, f"{told_name}_key"), dense(told, f"{told_name}_value")
        heads = []
        for part in np.split(np.arange(config.units), config.heads):
            scores = q[:, part] @ k[:, part].T / np.sqrt(len(part))
            if causal:
                scores = np.where(np.tril(np.ones_like(scores)) > 0, scores, -np.inf)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ v[:, part])
        return norm(x + dense(np.concatenate(heads, -1), f"{name}_mixed"), f"{name}_attention_norm")

    def fed(x, name):
        return norm(x + dense(np.maximum(dense(x, f"{name}_inner"), 0), f"{name}_outer"), f"{name}_fed_norm")

    words = weights["words/embeddings"]
    x = words[source] * np.sqrt(config.units) + positions(len(source), config.units)
    for layer in range(1, config.layers + 1):
        x = fed(attended(x, x, f"encoder_{layer}"), f"encoder_{layer}")
    y = words[before] * np.sqrt(config.units) + positions(len(before), config.units)
    for layer in range(1, config.layers + 1):
        name = f"decoder_{layer}"
        y = fed(attended(attended(y, y, name, causal=True), x, f"{name}_source"), name)
    return y @ words.T


def test_says_what_the_equations_of_the_paper_say():
    model = built("transformer_small").keras
    weights = {variable.path: variable.numpy().astype(np.float64) for variable in model.weights}
    source, before = np.array([5, 9, 7, END]), np.array([START, 12, 8])
    padded = np.zeros((1, SMALL.length), np.int32)
    padded[0, : len(source)] = source
    logits = np.asarray(model([padded, before[None].astype(np.int32)])["logits"])[0]
    expected = by_hand(weights, source, before, SMALL)
    np.testing.assert_allclose(logits, expected, atol=2e-5 * np.abs(expected).max())


def test_one_token_at_a_time_with_the_cache_is_all_at_once():
    made = built("transformer_small")
    network = keras_engine.network(made)
    random = np.random.default_rng(0)
    tokens = random.integers(4, SMALL.words, (3, SMALL.length)).astype(np.int32)
    tokens[1, 5:] = 0
    before = random.integers(4, SMALL.words, (3, SMALL.length)).astype(np.int32)
    whole = made.keras([tokens, before])
    step, state = made.task.begun(network, tokens)
    for place in range(SMALL.length):
        logits, state = step(before[:, place], state)
        expected = np.asarray(whole["logits"])[:, place]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=5e-6 * np.abs(expected).max())
    assert {f"next_{port}" for port in state} == set(whole) - {"logits"}
    for port, held in state.items():
        np.testing.assert_allclose(held, whole[f"next_{port}"], rtol=0, atol=3e-5)


def test_greedy_with_the_cache_is_greedy_without():
    made = built("transformer_small")
    task, words = made.task, [f"word{number}" for number in range(4, 40)]
    random = np.random.default_rng(1)
    request = text(*(" ".join(random.choice(words, count)) for count in (1, 3, 7)))
    said = task.answer(keras_engine.network(made), {"text": request})["translation"]
    tokens = task.source.prepare(keras_engine.network(made).ops, request)
    before = np.full((3, 1), START, np.int32)
    for _ in range(SMALL.length):
        logits = np.array(made.keras([tokens, before])["logits"])[:, -1]
        logits[:, :3] = -np.inf
        ended = (before == END).any(1)
        before = np.concatenate([before, np.where(ended, END, logits.argmax(-1))[:, None]], 1).astype(np.int32)
    plain = task.written().decode(keras_engine.network(made).ops, before[:, 1:])
    assert said.tolist() == plain.tolist()


@pytest.mark.slow
def test_learns_to_turn_words_round():
    keras.utils.set_random_seed(0)
    config = transformer.Config("small", 12, 6, 1, 32, 64, 2, 0.0)
    model = transformer.build(config)
    random = np.random.default_rng(0)
    words = random.integers(4, 12, (512, 3))
    source, target = np.zeros((2, 512, 6), np.int32)
    source[:, :3], source[:, 3] = words, END
    target[:, :3], target[:, 3] = words[:, ::-1], END
    before = np.concatenate([np.full((512, 1), START), target[:, :-1]], 1).astype(np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(5e-3), {port: loss if port == "logits" else None for port in model.output})
    history = model.fit([source, before], {"logits": target}, batch_size=64, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0] * 0.1
    several = transformer.tasks(config, Assets(vocabulary=placeholder(12)))
    network = keras_engine.network(Built("small", model, several))
    said = several["translate"].answer(network, {"text": text("word5 word9 word7", "word11 word4 word8")})
    assert said["translation"].tolist() == [b"word7 word9 word5", b"word8 word4 word11"]


def test_vocabulary():
    with pytest.raises(UsageError, match="no vocabulary for both"):
        transformer.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="has 49 words; transformer_small has 50"):
        transformer.tasks(SMALL, Assets(vocabulary=placeholder(49)))
    words = Vocabulary((*SPECIAL, "\u2581", "a", "B", "a B"))
    task = transformer.tasks(replace(SMALL, words=8), Assets(vocabulary=words))["translate"]
    assert not task.small and task.source.lower and not task.written().lower


def test_builder():
    model = Transformer(words=9, length=5, layers=1, units=6, inner=4, heads=3)
    assert model.output["logits"].shape == (None, None, 9)
    for arguments in ({"heads": 5}, {"units": 0}, {"dropout": 1.0}, {"weights": "wmt"}):
        with pytest.raises(UsageError):
            Transformer(**{"words": 9, "length": 5, "layers": 1, "units": 6, "inner": 4, "heads": 3, **arguments})
