"""A training that was interrupted, in whatever way, ends where it would have ended; what cannot go on says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo.errors import GateError, KerazooError, UsageError, WeightsDamaged
from kerazoo.train import run as run_
from kerazoo.train import state as state_
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant, Cosine, Optimizer, Steps
from kerazoo.train.steps.supervised import Supervised
from tests.train.common import adversarial, classifier, kinds, network, noisy, values


def quiet(line: str) -> None:
    pass


def same(first: Any, second: Any) -> None:
    for one, other in zip(values(first), values(second), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("recipe", [classifier(), adversarial()], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("at", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_an_interrupted_training_ends_as_an_unbroken_one(recipe: Any, at: int, tmp_path: Path) -> None:
    """In the midst of an epoch, and between two."""
    straight = run(recipe, tmp_path / "straight", say=quiet)
    assert [row["seconds"] >= 0 for row in straight.history] == [True] * 3

    calls = []

    def cut(state: Any, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return recipe.step(state, batch)

    cut.__qualname__ = type(recipe.step).__qualname__
    interrupted = replace(recipe, step=_Named(recipe.step, cut))
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, tmp_path / "cut", say=quiet)
    assert len(calls) == at, "the step that was running was finished, and no other begun"
    lines: list[str] = []
    resumed = run(interrupted, tmp_path / "cut", say=lines.append)
    assert len(calls) == 12
    same(straight.state, resumed.state)
    for one, other in zip(straight.history, resumed.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert lines[-1].startswith("epoch 3/3 ")
    # What is done is done: the same command again changes nothing.
    same(straight.state, run(recipe if at == 0 else interrupted, tmp_path / "cut", say=quiet).state)
    assert len(calls) == 12


class _Named:
    """A step that does more, but is told as the step that it holds."""

    def __init__(self, step: Any, call: Any) -> None:
        self.fingerprint, self._call = repr(step), call

    def __call__(self, state: Any, batch: Any) -> Any:
        return self._call(state, batch)


KILLED = """
import sys, os, signal
from pathlib import Path
import numpy as np
from kerazoo.train import fit, run as r, state as s
from tests.train.common import classifier

def graph():  # What is dropped is drawn in its midst.
    labels, nodes = np.arange(60) % 3, np.arange(60)
    features = np.eye(3, 12)[labels] + np.random.default_rng(0).random((60, 12)) * 0.2
    edges = np.stack([nodes, (nodes + 3) % 60], 1)
    np.savez(folder / "graph.npz", features=features, edges=edges, labels=labels)
    return fit.job("gcn_cora", folder / "graph.npz", epochs=9).recipe

def die():
    r.SAVE_SECONDS = 0.0
    save, count = s.save, []
    def dying(state, recipe, path):
        count.append(1)
        if len(count) == 8:  # The bytes are on their way: the worst moment.
            (path.parent / f".{path.name}.new").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        save(state, recipe, path)
    s.save = dying

folder, recipes = Path(sys.argv[1]), {"classifier": classifier, "graph": graph}
for word in sys.argv[2:]:
    kind, how = word.split(":")
    if how == "killed":
        die()
    out = folder / kind / ("straight" if how == "straight" else "killed")
    r.run(recipes[kind](), out, say=lambda line: print(kind, line))
"""


@pytest.mark.slow
def test_a_killed_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    """Bit for bit, on one thread: a classifier, and a training of another kind that the command line makes."""
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

    def process(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), *words],
            env={**os.environ, **threads}, cwd=Path(__file__).parents[2], capture_output=True, text=True,
        )  # fmt: skip

    # One after the other in as few processes as can be: each has to load TensorFlow.
    first = process("classifier:straight", "graph:straight", "classifier:killed")
    assert first.returncode == -signal.SIGKILL, first.stderr[-2000:]
    second = process("classifier:resumed", "graph:killed")
    assert second.returncode == -signal.SIGKILL, second.stderr[-2000:]
    third = process("graph:resumed")
    assert third.returncode == 0, third.stderr[-2000:]
    for kind, epochs, said in (("classifier", 3, second.stdout), ("graph", 9, third.stdout)):
        assert f"{kind} epoch 1/{epochs}" not in said and f"{kind} epoch {epochs}/{epochs}" in said
        found = []
        for name in ("straight", "killed"):
            with np.load(tmp_path / kind / name / "last.npz") as stored:
                found.append({key: stored[key] for key in stored.files if key != "about"})
            assert not list((tmp_path / kind / name).glob(".*.new"))
        assert found[0].keys() == found[1].keys()
        for key, array in found[0].items():
            np.testing.assert_array_equal(array, found[1][key], err_msg=f"{kind} {key}")


def test_the_folder_holds_what_people_look_at(tmp_path: Path) -> None:
    measured = classifier(measure=_accuracy, best=("val_accuracy", "max"), epochs=4, every=2)
    done = run(measured, tmp_path / "out", say=quiet)
    lines = (tmp_path / "out" / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_accuracy,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert [line.split(",")[3] != "" for line in lines[1:]] == [False, True, False, True]
    losses = [float(line.split(",")[1]) for line in lines[1:]]
    assert losses[-1] < losses[0] / 2, "it did not learn"
    assert (tmp_path / "out" / "best.npz").exists()
    assert done.figures["val_accuracy"] == max(row.get("val_accuracy", 0) for row in done.history)
    pytest.importorskip("matplotlib")
    from PIL import Image

    with Image.open(tmp_path / "out" / "curves.png") as picture:
        assert picture.width > 900
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def _accuracy(state: Any) -> dict[str, float]:
    pictures, labels = kinds(40, seed=1).arrays
    logits = state.model(pictures / np.float32(255), training=False)
    return {"accuracy": float(np.mean(np.argmax(logits, axis=-1) == labels))}


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    def broken(batch: Any, rng: Any, epoch: int) -> Any:
        pictures, labels = noisy(batch, rng, epoch)
        return (pictures * np.float32(np.nan) if epoch == 1 else pictures), labels

    def straight() -> Any:  # A rectifier would turn NaN into 0.
        import keras

        layers = [keras.layers.Flatten(name="flatten"), keras.layers.Dense(4, name="predictions")]
        return keras.Sequential([keras.Input((6, 6, 1)), *layers])

    recipe = classifier(augment=broken, model=straight)
    with pytest.raises(GateError, match=r"loss is no finite number at step 5 \(epoch 2, batch 1\)"):
        run(recipe, tmp_path, say=quiet)
    kept = state_.load(recipe, tmp_path / "last.npz")
    assert (kept.epoch, kept.index) == (1, 0)
    assert all(np.isfinite(array).all() for array in values(kept))


def test_a_step_that_spoils_the_weights_is_not_kept(tmp_path: Path) -> None:
    """The loss is of the weights before the step: of the last one of an epoch nothing would tell."""
    plain = classifier()

    def spoiling(state: Any, batch: Any) -> Any:
        state, figures = plain.step(state, batch)
        if (state.epoch, state.index) == (1, 3):
            weight = state.model.trainable_variables[0]
            weight.assign(weight * np.float32(np.nan))
        return state, figures

    recipe = replace(plain, step=_Named(plain.step, spoiling))
    with pytest.raises(GateError, match=r"A weight .* is no finite number at step .*\n.*last.npz"):
        run(recipe, tmp_path, say=quiet)
    kept = state_.load(recipe, tmp_path / "last.npz")
    assert (kept.epoch, kept.index) == (1, 0)
    assert all(np.isfinite(array).all() for array in values(kept) if array.dtype.kind == "f")


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    told = iter((np.nan, 0.5, np.nan, 0.25))
    recipe = classifier(measure=lambda state: {"score": next(told)}, best=("val_score", "max"), epochs=4)
    done = run(recipe, tmp_path, say=quiet)
    assert done.state.epoch == 2 and done.figures["val_score"] == 0.5


def test_event_files_hold_the_figures(tmp_path: Path) -> None:
    from tensorflow.core.util import event_pb2
    from tensorflow.python.lib.io import tf_record

    def figures() -> dict[tuple[str, str, int], float]:
        found = {}
        for file in sorted((tmp_path / "tensorboard").rglob("events.*")):
            for record in tf_record.tf_record_iterator(str(file)):
                event = event_pb2.Event.FromString(record)
                for value in event.summary.value:
                    assert value.metadata.plugin_data.plugin_name == "scalars"
                    stored = value.tensor
                    number = (
                        np.frombuffer(stored.tensor_content, np.float32) if stored.tensor_content else stored.float_val
                    )
                    found[file.parent.name, value.tag, event.step] = float(number[0])
        return found

    recipe = classifier(measure=_accuracy, epochs=1)
    run(recipe, tmp_path, say=quiet)
    assert not (tmp_path / "tensorboard").exists()
    # Asked for later, what was before is there as well.
    done = run(replace(recipe, epochs=2), tmp_path, say=quiet, tensorboard=True)
    expected = {
        ("held_out" if name.startswith("val_") else "training", name.removeprefix("val_"), epoch): value
        for epoch, row in enumerate(done.history, start=1)
        for name, value in row.items()
    }
    assert figures() == pytest.approx(expected, rel=1e-5)


def test_a_state_of_another_recipe_is_refused(tmp_path: Path) -> None:
    run(classifier(epochs=1), tmp_path, say=quiet)
    before = (tmp_path / "last.npz").read_bytes()
    for other in (
        classifier(seed=4),
        classifier(data=kinds(63)),
        classifier(schedule=Constant(1e-3)),
        classifier(optimizer=Optimizer("sgd")),
        adversarial(),
    ):
        with pytest.raises(UsageError, match="state of another recipe"):
            run(other, tmp_path, say=quiet)
    with pytest.raises(UsageError, match="--resume"):
        run(classifier(epochs=1), tmp_path, resume=False, say=quiet)
    assert (tmp_path / "last.npz").read_bytes() == before
    # More epochs of the same: it goes on.
    assert len(run(classifier(epochs=2), tmp_path, say=quiet).history) == 2


@pytest.mark.parametrize("damage", [lambda data: data[:-300], lambda data: b"", lambda data: b"PK" + data[3:]])
def test_a_damaged_state_is_told(damage: Any, tmp_path: Path) -> None:
    run(classifier(epochs=1), tmp_path, say=quiet)
    file = tmp_path / "last.npz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(WeightsDamaged, match="damaged"):
        run(classifier(epochs=1), tmp_path, say=quiet)


def test_nothing_in_a_state_is_unpickled(tmp_path: Path) -> None:
    run(classifier(epochs=1), tmp_path, say=quiet)
    with np.load(tmp_path / "last.npz") as stored:
        arrays = dict(stored)
    arrays["models/model/0000"] = np.array([{"a": 1}], object)
    np.savez(tmp_path / "last.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(WeightsDamaged):
        run(classifier(epochs=1), tmp_path, say=quiet)


def test_two_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    def other(line: str) -> None:
        code = "import sys; from kerazoo.train.run import run; from tests.train.common import classifier\n"
        code += "from kerazoo.errors import UsageError\n"
        code += "try:\n    run(classifier(), sys.argv[1])\nexcept UsageError as error:\n    print(error)\n"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
        said.append(done.stdout)

    said: list[str] = []
    run(classifier(epochs=1), tmp_path, say=other)
    assert "Another training is running" in said[0]


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(classifier(epochs=1), tmp_path, say=quiet)
    before = (tmp_path / "last.npz").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(KerazooError, match="No space left.*\n.*still there"):
        patched.setattr(os, "fsync", full)
        run(classifier(epochs=3), tmp_path, say=quiet)
    assert (tmp_path / "last.npz").read_bytes() == before
    assert not list(tmp_path.glob(".*.new"))
    same(run(classifier(), tmp_path, say=quiet).state, run(classifier(), tmp_path / "straight", say=quiet).state)


def test_minutes_end_a_training_after_an_epoch(tmp_path: Path) -> None:
    done = run(classifier(epochs=1000, minutes=1e-9), tmp_path, say=quiet)
    assert done.history == []
    start = time.monotonic()
    done = run(classifier(epochs=100_000, minutes=0.03, schedule=Constant(1e-3)), tmp_path / "more", say=quiet)
    assert 1 <= len(done.history) < 100_000
    assert time.monotonic() - start < 120


def test_batches_depend_on_seed_epoch_and_number_alone() -> None:
    recipe = classifier()
    whole = [[np.asarray(array) for array in batch] for batch in run_.batches(recipe, 1)]
    rest = [[np.asarray(array) for array in batch] for batch in run_.batches(recipe, 1, first=2)]
    assert len(whole) == 4 and len(rest) == 2
    for one, other in zip(whole[2:], rest, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    other = next(iter(run_.batches(recipe, 2)))
    assert not np.array_equal(whole[0][0], other[0])


def test_few_samples_make_one_small_batch(tmp_path: Path) -> None:
    recipe = classifier(data=kinds(3), epochs=1)
    assert (recipe.size, recipe.steps) == (3, 1)
    run(recipe, tmp_path, say=quiet)


def test_a_recipe_is_plain_data() -> None:
    recipe = classifier()
    told = json.loads(json.dumps(recipe.plain()))
    assert told["data"]["samples"] == 64
    assert told["schedule"] == {"class": "Cosine", "peak": 3e-2, "start": 1e-2, "warm_up": 1.0, "end": 0.0}
    assert recipe.identity == classifier(epochs=9, minutes=1.0).identity
    assert recipe.identity != classifier(batch=8).identity


def test_schedules_are_what_they_say() -> None:
    rate = Cosine(1.0, start=0.1, warm_up=2).rate(10, 12)
    assert [round(float(rate(step)), 4) for step in (0, 10, 20, 70, 120)] == [0.1, 0.55, 1.0, 0.5, 0.0]
    assert [round(float(Cosine(1.0, warm_up=0, end=0.1).rate(10, 1)(step)), 4) for step in (0, 10)] == [1.0, 0.1]
    falling = Steps(1.0).rate(10, 10)
    assert [round(float(falling(step)), 4) for step in (0, 50, 51, 76)] == [1.0, 1.0, 0.1, 0.01]
    with pytest.raises(UsageError, match="adamw"):
        Optimizer("adamv").build(0.1)


def test_what_is_spared_does_not_decay() -> None:
    made = network()
    optimizer = Optimizer("sgd", decay=0.5, spared=("gamma", "beta", "bias")).build(0.1)
    optimizer.build(made.trainable_variables)
    before = {variable.path: variable.numpy() for variable in made.trainable_variables}
    import tensorflow as tf

    optimizer.apply([tf.zeros_like(variable) for variable in made.trainable_variables], made.trainable_variables)
    for variable in made.trainable_variables:
        factor = 1.0 if variable.path.endswith(("gamma", "beta", "bias")) else 0.95
        np.testing.assert_allclose(variable.numpy(), before[variable.path] * factor, rtol=1e-6)


def test_a_step_is_the_gradient_of_its_loss() -> None:
    recipe = classifier(model=_linear, optimizer=Optimizer("sgd"), schedule=Constant(0.5), augment=None)
    state = state_.begin(recipe)
    kernel = state.model.trainable_variables[0].numpy()
    inputs, targets = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32), np.array([[1.0], [0.0]], np.float32)
    step = Supervised(lambda truth, output: (truth - output) ** 2)
    state, figures = step(state, (inputs, targets))
    error = inputs @ kernel - targets
    assert figures["loss"] == pytest.approx(float(np.mean(error**2)), rel=1e-5)
    np.testing.assert_allclose(
        state.model.trainable_variables[0].numpy(), kernel - 0.5 * inputs.T @ error, rtol=1e-5, atol=1e-6
    )


def _linear() -> Any:
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, name="only")])


def test_a_training_ends_where_its_figures_say(tmp_path: Path) -> None:
    recipe = replace(classifier(), epochs=9, stop=lambda history: len(history) >= 2)
    assert run(recipe, tmp_path, say=quiet).state.epoch == 2
    # The same command again does not go on; without the rule it does.
    assert run(recipe, tmp_path, say=quiet).state.epoch == 2
    assert run(replace(recipe, stop=None, epochs=3), tmp_path, say=quiet).state.epoch == 3
