"""Learning on clients: rounds that come to what plain training comes to, and changes that travel in few bytes."""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo import cli, own
from kerazoo.codecs._characters import Characters, alphabet
from kerazoo.errors import InputError, UsageError
from kerazoo.train import fit, losses
from kerazoo.train import state as state_
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.windows import windows
from kerazoo.train.federated import Plan, masking, updates
from kerazoo.train.federated.across import Across, Asked, Rounds, answered, fitting
from kerazoo.train.federated.clients import Clients
from kerazoo.train.federated.step import Answer, Averaging, travelling
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import batches, run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised
from tests import printed

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


DAMAGES: dict[str, Any] = {
    "nan": lambda answer: replace(answer, message=[np.full(24, np.nan, np.float32).tobytes(), *answer.message[1:]]),
    "short": lambda answer: replace(answer, message=[answer.message[0][:-1], *answer.message[1:]]),
    "shape": lambda answer: replace(answer, message=[*answer.message[1:], answer.message[0]]),
    "fewer": lambda answer: replace(answer, message=[]),
    "words": lambda answer: replace(answer, message="hello"),
    "numbers": lambda answer: replace(answer, message=[1] * len(answer.message)),
    "none": lambda answer: replace(answer, message=None),
    "no samples": lambda answer: replace(answer, samples=0),
    "half a sample": lambda answer: replace(answer, samples=0.5),
    "no loss": lambda answer: replace(answer, loss=float("nan")),
}
"""What a client may send in place of its answer."""


def sent_by(state: State, step: Averaging, clients: Iterable[int]) -> dict[int, Answer]:
    """Answers of 40, 80 and so on samples, whose changes are the client's number and one."""
    return {
        client: Answer(
            40 * (client + 1), 0.5,
            step.encoded(state.model, [np.full(v.shape, client + 1.0, np.float32) for v in travelling(state.model)], 0),
        )
        for client in clients
    }  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_client_that_sends_rubbish_is_left_out(damage: str) -> None:
    step, told = averaging(), []
    state = state_.begin(recipe(share(3), step))
    before = state.model.get_weights()
    sent = sent_by(state, step, range(3))
    sent[1] = DAMAGES[damage](sent[1])
    figures = step.averaged(state, sent, [0, 0, 0], lambda client, why: told.append((client, why)))
    assert figures["lost"] == 1 and figures["loss"] == 0.5
    assert [client for client, _ in told] == [1] and re.search("await|finite", told[0][1])
    for one, other in zip(before, state.model.get_weights(), strict=True):
        np.testing.assert_allclose(other - one, (40 * 1 + 120 * 3) / 160, atol=1e-6)


# --- clients on other machines ------------------------------------------------------------------------------------


@dataclass
class Near:
    """A link to clients in this process, some of which are away."""

    made: Recipe
    step: Averaging
    owned: dict[int, np.ndarray]
    away: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.state = state_.begin(replace(self.made, seed=99))  # Their first weights are not the server's.

    def clients(self) -> list[int]:
        return list(self.owned)

    def ask(self, asked: Mapping[int, Asked]) -> dict[int, Answer]:
        arrays = points().arrays
        return {
            client: answered(self.step, self.state, [array[self.owned[client]] for array in arrays], each)
            for client, each in asked.items()
            if client not in self.away
        }


def remote(away: Iterable[int] = (), fraction: float = 1.0) -> Recipe:
    step = averaging(batch=0)
    plain = recipe(share(3), step)
    owned = dict(zip((70, 5, 31), np.array_split(np.arange(120), 3), strict=True))
    return replace(plain, data=Rounds(), step=Across(step, fraction, Near(plain, step, owned, set(away))), batch=1)


def test_rounds_across_machines_are_rounds_here(tmp_path: Path) -> None:
    """All clients, a full batch each: descent on all data, as in the first test; and the training goes on."""
    made = replace(remote(), epochs=3)
    plain = replace(made, data=points(), step=Supervised(losses.cross_entropy), batch=120)
    expected, _ = after(plain, 3)
    run(replace(made, epochs=2), tmp_path, say=lambda line: None)
    done = run(made, tmp_path, say=lambda line: None)
    for one, other in zip(done.state.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert [row["lost"] for row in done.history] == [0, 0, 0]
    assert done.history[0]["sent_mb"] == pytest.approx(3 * 4 * (3 * 8 + 8 + 8 * 3 + 3) / 1e6)


def test_no_round_is_lost_with_a_machine() -> None:
    _, figures = after(remote(away={5}), 1)
    assert figures["lost"] == 1 and figures["loss"] > 0
    before = state_.begin(remote()).model.get_weights()
    weights, figures = after(remote(away={5, 31, 70}), 1)
    assert figures == {"loss": 0.0, "sent_mb": 0.0, "lost": 3.0}
    for one, other in zip(before, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_part_of_those_that_are_there_is_drawn() -> None:
    made, drawn = remote(fraction=0.34), []
    link: Any = made.step.link  # type: ignore[attr-defined]
    ask = link.ask
    link.ask = lambda asked: drawn.append(sorted(asked)) or ask(asked)
    after(made, 12)
    assert {len(each) for each in drawn} == {1} and len({each[0] for each in drawn}) > 1


def test_a_client_with_another_network_says_so() -> None:
    step = averaging()
    state = state_.begin(recipe(share(3), step))
    with pytest.raises(InputError, match="is it the same model"):
        answered(step, state, points().arrays, Asked([np.zeros((3, 4), np.float32)], 0, 0.1))


@pytest.mark.parametrize(
    ("plan", "why"),
    [(Plan(secure=True), "no keys"), (Plan(drop=0.1), "for simulations"), (Plan(split="shards"), "for simulations")],
)
def test_what_only_a_simulation_can_do_is_refused(plan: Plan, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        fitting(plan)


def test_a_client_that_lacks_classes_has_the_network_of_all(tmp_path: Path) -> None:
    path = tmp_path / "ones.npz"
    np.savez(path, x=np.zeros((12, 28, 28), np.uint8), y=np.ones(12, np.int64))
    asked: dict[str, Any] = {"recipe": "federated", "validation": 0, "say": lambda line: None}
    made = fit.job("mlp", path, classes=["0", "1", "2", "3"], **asked)
    assert state_.begin(made.recipe).model.output_shape[-1] == 4
    assert made.recipe.data.batch(np.arange(12), np.random.default_rng(0))[1].tolist() == [1] * 12
    with pytest.raises(UsageError, match="1 class"):
        fit.job("mlp", path, **asked)
    with pytest.raises(UsageError, match="there are 1 classes"):
        fit.job("mlp", path, classes=["0"], **asked)
    with pytest.raises(UsageError, match="no names of classes"):
        fit.job("unet_slim", path, classes=["0"], **asked)


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


def test_samples_are_their_owners() -> None:
    owners = np.array([7, 7, 2, 9, 2, 7])
    clients = Clients.owning(points(6), owners, 2)
    assert [rows.tolist() for rows in clients.owned] == [[2, 4], [0, 1, 5], [3]] and len(clients) == 2
    with pytest.raises(UsageError, match="4 clients a round cannot be drawn of 3"):
        Clients.owning(points(6), owners, 4)


def test_texts_in_windows_know_what_follows() -> None:
    codec = Characters(alphabet("abc"))
    data, owners = windows(["abca", "b"], codec, 3)
    before, following, known = data.arrays
    letters = np.array(codec.characters)
    assert ["".join(letters[row]) for row in before[:, :2]] == ["\na", "ca", "\nb"] and owners.tolist() == [0, 0, 1]
    read = ["".join(letters[row[there > 0]]) for row, there in zip(following, known, strict=True)]
    assert read == ["abc", "a\n", "b\n"]


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


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    """Twelve roles, each of which says a word of its own."""
    path = tmp_path / "roles.jsonl.xz"
    with lzma.open(path, "wt", encoding="utf-8") as file:
        for role in "abcdefghijkl":
            lines = f"To be, or not {role * 5}\n" * 3
            file.write(json.dumps({"play": "p", "role": role, "train": lines, "test": lines}) + "\n")
    return path


def recipe_of(name: str, *words: Any) -> str:
    """What a recipe's command prints."""
    root = Path(__file__).parents[2]
    command = [sys.executable, root / "recipes" / f"{name}.py", *words]
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_roles_learn_to_write(roles: Path, tmp_path: Path) -> None:
    assert "epoch 2/2" in recipe_of("federated_shakespeare", roles, tmp_path / "out", "--rounds", 2)
    assert own.find(tmp_path / "out" / "model.keras").build().task.kind == "write"
    (told,) = recipe_of("federated_shakespeare", roles, tmp_path / "out", "--measure").splitlines()
    assert told.startswith("2 rounds {'accuracy': ")


@pytest.mark.slow
def test_words_that_no_central_text_holds_are_sampled(roles: Path, tmp_path: Path) -> None:
    (tmp_path / "central.txt").write_text("To be, or not to be\n")
    told = recipe_of("federated_words", roles, tmp_path / "central.txt", tmp_path / "out", "--rounds", 2)
    assert "4 words are known; 12 clients wrote 12 others 36 times" in told
    assert re.search(r"after 2 rounds, of 10000 words {'long': \d+, 'of a client, %': [\d.]+, 'different': \d+}", told)
    # No word of the vocabulary has any of their pairs.
    assert re.search(r"of pairs of letters {'long': [1-9]\d*, 'of a client, %': 0.0,", told)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mnist.npz", x_train=rng.integers(0, 255, (300, 28, 28), np.uint8), y_train=np.arange(300) % 10)
    # Those of the kind "text" are for several machines.
    for kind, body in printed.blocks("docs/federated.md", "sh", "python"):
        said = printed.run(kind, body, tmp_path)
    assert "val_accuracy" in said.stdout
