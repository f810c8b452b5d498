"""The pages of docs/learn: their files say what they claim."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from tests import printed

LEARN = Path(__file__).parents[2] / "docs" / "learn"


def opened(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, LEARN / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


backprop, kkt = opened("backprop"), opened("kkt")
PRINTED = sorted(path.stem for path in LEARN.glob("*.py") if path.stem not in ("backprop", "kkt"))
"""Scripts whose whole output stands on their page; the others are run below."""


@pytest.mark.parametrize("name", PRINTED)
def test_a_page_prints_what_its_script_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    opened(name).main([])
    got = capsys.readouterr().out
    page = (LEARN / f"{name}.md").read_text(encoding="utf-8")
    number = r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?"
    blocks = printed.bodies(LEARN / f"{name}.md", "")
    (told,) = [block for block in blocks if re.sub(number, "N", block).split() == re.sub(number, "N", got).split()]
    values = [[float(word.replace(",", "")) for word in re.findall(number, text)] for text in (told, got)]
    assert values[1] == pytest.approx(values[0], rel=0.02, abs=2e-3)
    assert f"python docs/learn/{name}.py" in page


def test_every_page_is_on_the_path_and_says_what_to_read_next() -> None:
    path = (LEARN / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([\w-]+\.md)\)", path)
    assert sorted(named) == sorted(page.name for page in LEARN.glob("*.md") if page.name != "README.md")
    for name in named:
        text = (LEARN / name).read_text(encoding="utf-8")
        assert 20 < len(text.splitlines()) < 90, name
        if (LEARN / name).with_suffix(".py").stem in PRINTED:
            assert re.search(r"^Read next: \[`kerazoo/[\w/]+\.py`\]\(\.\./\.\./kerazoo/", text, re.MULTILINE), name


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 7), st.integers(0, 2**31))
@settings(max_examples=30)
def test_gradients_are_those_of_finite_differences(sizes: list[int], batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = backprop.initial(sizes, rng)
    inputs, labels = rng.normal(size=(batch, sizes[0])), rng.integers(0, sizes[-1], batch)
    exact = backprop.backward(layers, backprop.forward(layers, inputs), labels)
    for one, other in zip(exact, backprop.slopes(layers, inputs, labels), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-8, rtol=1e-5)


def test_gradients_are_those_of_keras() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    layers = backprop.initial((5, 7, 6, 3), rng)
    inputs, labels = rng.normal(size=(9, 5)), rng.integers(0, 3, 9)
    model = keras.Sequential([keras.Input((5,), dtype="float64")])
    for index, (kernel, bias) in enumerate(layers):
        model.add(keras.layers.Dense(len(bias), None if index == 2 else "tanh", dtype="float64", name=f"dense{index}"))
        model.layers[-1].set_weights([kernel, bias])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(labels, model(inputs))
    theirs = tape.gradient(value, model.trainable_variables)
    values = backprop.forward(layers, inputs)
    assert backprop.loss(values[-1], labels) == pytest.approx(float(value), rel=1e-6)
    ours = [array for layer in backprop.backward(layers, values, labels) for array in layer]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=1e-7)  # Keras makes the inputs float32.


@pytest.mark.parametrize("logits", [[[1000.0, -1000.0]], [[-1e4, 0.0]]])
def test_large_logits_overflow_nowhere(logits: list[list[float]]) -> None:
    assert np.isfinite(backprop.loss(np.array(logits), np.array([1])))
    assert np.isfinite(backprop.probabilities(np.array(logits))).all()


def test_the_network_learns_two_spirals() -> None:
    done = subprocess.run([sys.executable, LEARN / "backprop.py"], capture_output=True, text=True, check=True)
    assert float(done.stdout.rpartition(": ")[2].split()[0]) > 99
    page = (LEARN / "backprop.md").read_text(encoding="utf-8")
    told = re.search(r"^step 0.*?points.*?$", page, re.MULTILINE | re.DOTALL)
    assert told is not None
    numbers = [[float(word) for word in re.findall(r"[\d.]+", text)] for text in (told[0], done.stdout)]
    assert numbers[1] == pytest.approx(numbers[0], rel=0.02, abs=2e-3)


def problem(rng: np.random.Generator, count: int, bounds: int, equal: int) -> Any:
    """With a point within all bounds, so that there is a solution."""
    root, inside = rng.normal(size=(count, count)), rng.normal(size=count)
    G, A = rng.normal(size=(bounds, count)), rng.normal(size=(equal, count))
    h = G @ inside + rng.uniform(0.01, 1, bounds)
    return kkt.Problem(root @ root.T + 0.1 * np.eye(count), 3 * rng.normal(size=count), G, h, A, A @ inside)


@given(st.integers(1, 5), st.integers(0, 6), st.integers(0, 2**31))
@settings(max_examples=25)
def test_the_solution_is_scipys_and_meets_the_conditions(count: int, bounds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = problem(rng, count, bounds, int(rng.integers(0, count)))
    found = kkt.solve(made)
    assert max(kkt.conditions(made, found).values()) < 1e-6
    limits = [{"type": "ineq", "fun": lambda x: made.h - made.G @ x, "jac": lambda x: -made.G}] if bounds else []
    if len(made.b):
        limits.append({"type": "eq", "fun": lambda x: made.A @ x - made.b, "jac": lambda x: made.A})
    start = np.linalg.lstsq(made.A, made.b, rcond=None)[0] if len(made.b) else np.zeros(count)
    theirs = optimize.minimize(
        made.value, start, jac=lambda x: made.P @ x + made.q, constraints=limits, method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    if theirs.success:
        # The problem is convex: ours is no worse than anybody's, and theirs, which may miss the bounds a little, near.
        assert made.value(found.x) == pytest.approx(theirs.fun, rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(found.x, theirs.x, atol=1e-3)


def test_multipliers_say_what_a_bound_costs() -> None:
    made = problem(np.random.default_rng(4), 4, 5, 1)
    found = kkt.solve(made)
    held = int(found.mu.argmax())
    assert found.mu[held] > 0.1
    wider = kkt.Problem(made.P, made.q, made.G, made.h + 1e-4 * (np.arange(5) == held), made.A, made.b)
    gained = made.value(found.x) - made.value(kkt.solve(wider).x)
    assert gained / 1e-4 == pytest.approx(found.mu[held], rel=1e-2)


def test_conditions_tell_what_is_no_solution() -> None:
    made = problem(np.random.default_rng(4), 4, 5, 1)
    found = kkt.solve(made)
    off = kkt.Solution(found.x + 0.1, found.mu - 1, found.lam)
    missed = kkt.conditions(made, off)
    assert missed["stationarity"] > 0.01 and missed["dual feasibility"] > 0.1 and missed["primal feasibility"] > 0.01


@pytest.mark.parametrize("q", [-1.0, 1.0])
def test_what_has_no_solution_is_refused(q: float) -> None:
    empty = np.zeros((0, 1))
    # Downward for ever; and between 1 and -1, where nothing is.
    bounds = (np.array([[1.0], [-1.0]]), np.array([-1.0, -1.0])) if q > 0 else (np.array([[-1.0]]), np.array([0.0]))
    with pytest.raises(ValueError, match="cannot be met"):
        kkt.solve(kkt.Problem(np.zeros((1, 1)), np.array([q]), *bounds, empty, np.zeros(0)))


def test_a_support_vector_machine_is_held_by_few() -> None:
    done = subprocess.run([sys.executable, LEARN / "kkt.py"], capture_output=True, text=True, check=True)
    assert done.stdout.count("held by") == 3
    page = (LEARN / "kkt.md").read_text(encoding="utf-8")
    assert done.stdout.partition("w = ")[2] in page


def test_a_convolution_is_keras_and_sees_what_its_layers_see() -> None:
    convolution = opened("convolution")
    rng = np.random.default_rng(0)
    picture, kernel = rng.normal(size=(11, 9, 3)), rng.normal(size=(3, 2, 3, 4))
    for stride in (1, 2):
        theirs = keras.ops.conv(picture[None].astype("float32"), kernel.astype("float32"), stride, "valid")
        np.testing.assert_allclose(convolution.convolved(picture, kernel, stride), theirs[0], atol=1e-5)
    layers = [(3, 1), (3, 2), (5, 1)]
    field = convolution.receptive(layers)
    line, far = np.zeros((40, 40, 1)), np.ones((1, 1, 1, 1))
    line[20] = 1
    for size, stride in layers:
        line = convolution.convolved(line, far.repeat(size, 0).repeat(size, 1), stride)
    assert np.count_nonzero(line[:, 0, 0]) == -(-field // 2) and field == 13


def test_attention_is_that_of_the_layer() -> None:
    from kerazoo.layers.attention import DotProductAttention

    attention = opened("attention")
    rng = np.random.default_rng(0)
    queries, keys, values = (rng.normal(size=(2, count, 8)).astype("float32") for count in (3, 5, 5))
    seen = rng.random((3, 5)) < 0.7
    seen[:, 0] = True
    theirs = DotProductAttention(1)([queries, keys, values, np.broadcast_to(seen, (2, 3, 5))])
    np.testing.assert_allclose(attention.attention(queries, keys, values, seen), theirs, atol=1e-5)


def test_transformers_are_counted_to_the_last_parameter() -> None:
    from kerazoo.registry import variants

    parameters = opened("transformer").parameters
    for size in ("small", "base", "big"):
        described = variants()[f"transformer_{size}"][1]
        config = described.config
        counted = parameters(config.words, config.layers, config.units, config.inner)
        assert sum(counted.values()) == described.params, size


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=40)
def test_boxes_are_judged_as_the_field_judges_them(count: int, there: int, seed: int) -> None:
    from kerazoo.metrics._ranking import average_precision
    from kerazoo.ops import numpy as ops
    from kerazoo.tasks._boxes import nms

    detection = opened("detection")
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 50, (count, 2))
    boxes, scores = np.column_stack([corners, corners + rng.uniform(5, 50, (count, 2))]), rng.permutation(count) + 1.0
    stay = detection.suppressed(boxes, scores)
    given = boxes[None, :, [1, 0, 3, 2]].astype("float32"), scores[None, :, None].astype("float32")
    _, kept, _, total = nms(ops, *given, count=count, overlap=0.45)
    assert sorted(kept[0, : total[0]]) == sorted(scores[stay])
    truth = boxes[rng.integers(0, count, there)] + rng.uniform(-3, 3, (there, 4))
    order, taken = np.argsort(-scores), np.zeros(there, bool)
    right = np.zeros(count, bool)
    for place, index in enumerate(order):
        best = int(detection.iou(boxes[index], truth).argmax())
        right[place] = detection.iou(boxes[index], truth)[best] >= 0.5 and not taken[best]
        taken[best] |= right[place]
    found = np.cumsum(right)
    area = average_precision(found / np.arange(1, count + 1), found / there)
    assert detection.average_precision(boxes, scores, truth) == pytest.approx(area)


def test_a_graph_is_normalised_as_the_task_does_it() -> None:
    from kerazoo.ops import numpy as ops
    from kerazoo.tasks.nodes import normalised

    graphs = opened("graphs")
    adjacency, _ = graphs.communities(12, 0.5, 0.2, np.random.default_rng(0))
    source, target, weight = normalised(ops, np.argwhere(np.triu(adjacency)), 12)
    dense = np.zeros((12, 12))
    np.add.at(dense, (np.asarray(target), np.asarray(source)), np.asarray(weight))
    np.testing.assert_allclose(dense, graphs.normalised(adjacency), atol=1e-6)
