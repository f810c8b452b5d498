"""Learning on clients: rounds that come to what plain training comes to, and changes that travel in few bytes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo import cli, own
from kerazoo.errors import InputError, UsageError
from kerazoo.train import fit, losses
from kerazoo.train import state as state_
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.federated import Plan, masking, updates
from kerazoo.train.federated.clients import Clients
from kerazoo.train.federated.step import Averaging
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import batches, run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.supervised import Supervised

RATE = 0.1


def points(count: int = 120) -> Arrays:
    """Three heaps of points and their numbers."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    return Arrays(((np.eye(3)[labels] + rng.normal(0, 0.2, (count, 3))).astype(np.float32), labels))


def network(norm: bool = False) -> Any:
    inputs = x = keras.Input((3,))
    x = keras.layers.BatchNormalization()(x) if norm else x
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(8, activation="tanh")(x)))


def recipe(clients: Clients, step: Averaging, **more: Any) -> Recipe:
    more = {"model": network, "schedule": Constant(RATE)} | more
    return Recipe(
        "points", data=clients, step=step, optimizer=Optimizer("sgd"), batch=len(clients), seed=1, **more
    )  # fmt: skip


def averaging(**more: Any) -> Averaging:
    return Averaging(Supervised(losses.cross_entropy), **more)


def after(made: Recipe, rounds: int) -> tuple[list[np.ndarray], dict[str, float]]:
    state, figures = state_.begin(made), {}
    for epoch in range(rounds):
        for batch in batches(made, epoch):
            state, figures = made.step(state, tuple(np.asarray(array) for array in batch))
    return state.model.get_weights(), dict(figures)


def share(clients: int, fraction: float = 1.0, split: str = "iid", drop: float = 0.0) -> Clients:
    return Clients.sharing(points(), clients, split, fraction, drop, seed=0)


# --- what the paper says it is ------------------------------------------------------------------------------------


def test_all_clients_with_one_full_batch_each_are_one_step_of_descent_on_all_data() -> None:
    """FedSGD: arXiv:1602.05629, section 2."""
    made = recipe(share(5), averaging(batch=0))
    found, figures = after(made, 1)
    plain = replace(made, data=points(), step=Supervised(losses.cross_entropy), batch=120)
    expected, _ = after(plain, 1)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert figures["sent_mb"] == pytest.approx(5 * 4 * (3 * 8 + 8 + 8 * 3 + 3) / 1e6)
    assert figures["lost"] == 0


def test_one_client_is_local_training() -> None:
    made = recipe(share(1), averaging(epochs=2, batch=50))
    found, _ = after(made, 1)
    state = state_.begin(made)
    (batch,) = batches(made, 0)
    inputs, labels, _, (seed,), _ = (np.asarray(array) for array in batch)
    rng = np.random.default_rng((int(seed), 0xC11E))
    plain = Supervised(losses.cross_entropy)
    for order in (rng.permutation(120), rng.permutation(120)):
        for rows in (order[:50], order[50:100], order[100:]):
            state, _ = plain(state, (inputs[rows], labels[rows]))
    for one, other in zip(found, state.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "update", ["plain", "bits:4", "rotated:2", "sample:0.5", "sample:0.5+rotated:4", "mask:0.5", "low_rank:2"]
)
def test_every_way_to_travel_learns(update: str) -> None:
    made = recipe(share(10, 0.5), averaging(update=updates.read(update)))
    state, history = state_.begin(made), []
    for epoch in range(20):
        for batch in batches(made, epoch):
            state, figures = made.step(state, tuple(np.asarray(array) for array in batch))
            history.append(figures["loss"])
    assert np.mean(history[-5:]) < history[0] * 0.6, history


def test_moving_statistics_are_averaged_too() -> None:
    made = recipe(share(4), averaging(epochs=60), model=lambda: network(norm=True))
    state = state_.begin(made)
    for batch in batches(made, 0):
        state, _ = made.step(state, tuple(np.asarray(array) for array in batch))
    norm = state.model.layers[1]
    inputs = points().arrays[0]
    assert np.abs(norm.moving_mean.numpy() - inputs.mean(0)).max() < np.abs(inputs.mean(0)).max() / 2


def test_a_round_goes_on_from_a_saved_state_bit_for_bit(tmp_path: Path) -> None:
    made = recipe(share(10, 0.3, drop=0.2), averaging(update=updates.read("rotated:2")), epochs=4)
    whole = run(made, tmp_path / "whole", say=lambda line: None).state.model.get_weights()
    run(replace(made, epochs=2), tmp_path / "parts", say=lambda line: None)
    again = run(made, tmp_path / "parts", say=lambda line: None).state.model.get_weights()
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)


# --- clients that fail --------------------------------------------------------------------------------------------


def test_rounds_go_on_without_those_that_do_not_answer() -> None:
    every = recipe(share(6, drop=0.5), averaging())
    found = []
    for epoch in range(8):
        (batch,) = batches(every, epoch)
        found.append(int(np.sum(~np.asarray(batch[-1]))))
    assert 0 < sum(found) < 48
    state = state_.begin(every)
    before = state.model.get_weights()
    (batch,) = batches(every, 0)
    *samples, answers = (np.asarray(array) for array in batch)
    state, figures = every.step(state, (*samples, np.zeros_like(answers)))
    assert figures == {"loss": 0.0, "sent_mb": 0.0, "lost": 6.0}
    for one, other in zip(before, state.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("damage", ["nan", "short", "shape", "nothing", "words"])
def test_a_client_that_sends_rubbish_is_left_out(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(share(3), averaging(batch=0))
    sent = Averaging._sent

    def spoilt(self: Any, state: Any, changes: Any, client: int, *more: Any) -> Any:
        message: Any = sent(self, state, changes, client, *more)
        if client != 1:
            return message
        first, *rest = message
        return {
            "nan": [np.full(24, np.nan, np.float32).tobytes(), *rest],
            "short": [first[:-1], *rest],
            "shape": [*rest, first],
            "nothing": [],
            "words": "hello",
        }[damage]

    monkeypatch.setattr(Averaging, "_sent", spoilt)
    found, figures = after(made, 1)
    monkeypatch.undo()
    (batch,) = batches(made, 0)
    *samples, answers = (np.array(array) for array in batch)
    answers[1] = False
    state, _ = made.step(state_.begin(made), (*samples, answers))
    assert figures["lost"] == 1
    for one, other in zip(found, state.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# --- who has what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["iid", "shards"])
def test_every_sample_has_one_owner(split: str) -> None:
    clients = share(10, 0.25, split)
    assert np.array_equal(np.sort(np.concatenate(clients.owned)), np.arange(120))
    assert len(clients) == 2
    classes = [len(set(points().arrays[1][rows])) for rows in clients.owned]
    assert (max(classes) <= 3) and (split == "iid" or np.mean(classes) < 2.3)
    assert clients.fingerprint != share(10, 0.25, "shards" if split == "iid" else "iid").fingerprint
    assert clients.fingerprint == share(10, 0.25, split).fingerprint


def test_a_sixth_of_six_is_one_and_never_none() -> None:
    assert len(share(6, 0.01)) == 1


# --- what travels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "size"),
    [
        # 300 numbers: bits fill bytes, two floats go before, and what is rotated is filled up to 512.
        ("plain", 1200), ("bits:1", 8 + 38), ("bits:3", 8 + 113), ("rotated:2", 8 + 128), ("sample:0.1", 120),
        ("sample:0.1+bits:8", 8 + 30), ("mask:0.2", 240), ("low_rank:2", 2 * 10 * 4),
    ],
)  # fmt: skip
def test_bytes_are_few_and_those_that_were_counted(update: str, size: int) -> None:
    change = np.random.default_rng(0).normal(size=(30, 10)).astype(np.float32)
    made = updates.read(update)
    message = made.encode(change, (1, 2))
    assert len(message) == size
    assert made.decode(message, change.shape, (1, 2)).shape == change.shape
    for bad in (message + b"x", message[:-1], b""):
        with pytest.raises(InputError, match="awaited"):
            made.decode(bad, change.shape, (1, 2))


@pytest.mark.parametrize("update", ["bits:1", "bits:4", "rotated:1", "sample:0.2", "sample:0.3+rotated:2"])
def test_a_sketch_is_right_in_the_mean(update: str) -> None:
    change = np.random.default_rng(0).normal(size=12).astype(np.float32)
    made = updates.read(update)
    drawn = np.array([made.decode(made.encode(change, (seed,)), (12,), (seed,)) for seed in range(4000)], np.float64)
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(0) - change) < 4.5 * error + 1e-4).all()


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40), st.integers(0, 2**40))
def test_what_is_not_sketched_comes_back_as_it_was(values: list[float], seed: int) -> None:
    change = np.array(values, np.float32)
    assert np.array_equal(updates.PLAIN.decode(updates.PLAIN.encode(change, (seed,)), change.shape, (seed,)), change)
    wide = updates.read("rotated:8")
    back = wide.decode(wide.encode(change, (seed,)), change.shape, (seed,))
    # Each of the turned entries is off by less than an interval of 255, and turning keeps lengths.
    assert np.linalg.norm(back - change) <= 2 * np.linalg.norm(change) * np.sqrt(2 * len(change)) / 255 + 1e-3


def test_turning_helps_where_one_entry_is_large() -> None:
    change = np.random.default_rng(0).normal(size=1000).astype(np.float32) * 0.01
    change[3] = 10
    errors = {}
    for name in ("bits:2", "rotated:2"):
        made = updates.read(name)
        errors[name] = np.mean([
            np.sum((made.decode(made.encode(change, (seed,)), (1000,), (seed,)) - change) ** 2) for seed in range(20)
        ])  # fmt: skip
    assert errors["rotated:2"] < errors["bits:2"] / 3


def test_what_is_learnt_in_the_form_in_which_it_travels_loses_nothing_on_the_way() -> None:
    for update in ("mask:0.3", "low_rank:2"):
        made = updates.read(update)
        basis = made.basis((6, 4), (7, 0))
        gradient = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
        change = -0.1 * np.asarray(made.confined(keras.ops.convert_to_tensor(gradient), basis))
        np.testing.assert_allclose(made.decode(made.encode(change, (7, 0)), (6, 4), (7, 0)), change, atol=1e-5)
    assert np.linalg.matrix_rank(change) == 2


# --- sums of which no single one is seen --------------------------------------------------------------------------


@given(st.integers(1, 6), st.sets(st.integers(0, 5), max_size=4), st.integers(0, 2**62))
def test_masks_cancel_whoever_is_lost(clients: int, lost: set[int], secret: int) -> None:
    lost = {client for client in lost if client < clients}
    values = np.random.default_rng(secret).normal(size=(clients, 9)) * 100
    sent = {
        client: masking.masked(values[client], client, range(clients), secret)
        for client in range(clients)
        if client not in lost
    }
    if not sent:
        return
    told = {(one, other): masking.seed_of(one, other, secret) for one in sent for other in lost}
    np.testing.assert_allclose(masking.total(sent, sorted(lost), told), values[list(sent)].sum(0), atol=1e-6)


def test_what_one_sends_tells_nothing() -> None:
    """To a server that has no seeds, the same values look as any others."""
    zeros, hundreds = (masking.masked(np.full(2000, value), 0, range(3), 5) for value in (0.0, 100.0))
    for sent in (zeros, hundreds):
        bits = np.unpackbits(sent.view(np.uint8))
        assert abs(bits.mean() - 0.5) < 0.01


def test_a_secure_round_is_a_plain_one() -> None:
    plain, _ = after(recipe(share(5, drop=0.3), averaging()), 2)
    secure, figures = after(recipe(share(5, drop=0.3), averaging(secure=True)), 2)
    for one, other in zip(plain, secure, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert figures["sent_mb"] > 0


# --- as a person asks for it --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright left halves and bright right ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    pictures = rng.integers(0, 60, (200, 28, 28), np.uint8)
    pictures[labels == 0, :, :14] += 180
    pictures[labels == 1, :, 14:] += 180
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x_train=pictures, y_train=labels.astype(np.int64))
    return path


def test_from_the_command_line_to_a_model_that_answers(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = "clients=10,fraction=0.3,epochs=2,batch=5,split=shards,update=rotated:4,drop=0.1", tmp_path / "out"
    words = ["train", "mlp", "--data", str(digits), "-o", str(out), "--epochs", "6", "--federated", plan, "--json"]
    assert cli.run(words) == 0
    assert json.loads(capsys.readouterr().out)["val_accuracy"] > 0.9
    rows = (out / "log.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,loss,sent_mb,lost") and len(rows) == 7
    notes = own.find(out / "model.keras").build()
    assert notes.task.kind == "classify"
    assert cli.run([*words, "--find-lr"]) == 2
    assert "--find-lr looks at steps in one place" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ("clints=3", "there is no 'clints'.*Did you mean clients"),
        ("clients=three", "clients=three is no number"),
        ("clients=0", "at least one client"),
        ("fraction=0", "fraction is above 0"),
        ("drop=1", "drop at least 0 and below 1"),
        ("split=shard", "split=shard is not known"),
        ("update=bit:2", "'bit' is not known"),
        ("update=bits", "bits wants a number"),
        ("update=bits:9", "bits 1 to 8"),
        ("update=mask:0.5+bits:2", "only sample, bits and rotated are joined"),
        ("update=bits:2,secure=true", "cannot be secure"),
        ("clients=1000", "cannot be shared out among 1000"),
        ("clients=150,split=shards", "no 300 shards"),
    ],
)
def test_plans_that_do_not_fit_say_so(digits: Path, tmp_path: Path, plan: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        fit.train("mlp", digits, tmp_path / "out", federated=plan, epochs=1, say=lambda line: None)


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"momentum": "0.9"}, "nothing kept"), ({"augment": "affine"}, "augment=none"), ({"optimizer": "adam"}, "sgd")],
)
def test_recipes_that_no_client_could_follow_are_refused(
    digits: Path, tmp_path: Path, settings: dict[str, str], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        fit.train("mlp", digits, tmp_path / "out", federated=Plan(10), settings=settings, say=lambda line: None)


def test_other_steps_are_refused(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, x_train=np.zeros((20, 28, 28), np.uint8))
    with pytest.raises(UsageError, match="learn from known answers"):
        fit.train("gan_mlp", pictures, tmp_path / "out", federated=Plan(2), say=lambda line: None)
    with pytest.raises(UsageError, match="one device"):
        fit.train("mlp", pictures, tmp_path / "out", federated=Plan(2), devices=2, say=lambda line: None)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "federated.md").read_text(encoding="utf-8")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mnist.npz", x_train=rng.integers(0, 255, (300, 28, 28), np.uint8), y_train=np.arange(300) % 10)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
    }
    for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        command = ["sh", "-ec", body] if kind == "sh" else [sys.executable, "-c", body]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{body}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "val_accuracy" in done.stdout
