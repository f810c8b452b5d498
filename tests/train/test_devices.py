"""Two devices learn what one learns: in a process of its own, whose processor is shown to TensorFlow as two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerazoo import cli
from kerazoo.errors import UsageError
from kerazoo.train.devices import sharing

ROOT = Path(__file__).parents[2]

TWO = """
import sys, json
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from kerazoo import cli
from kerazoo.errors import UsageError
from kerazoo.train.run import run
from tests.train.common import classifier
import keras

def network():
    layers = [keras.layers.Flatten(name="flatten"), keras.layers.Dense(8, "relu", name="hidden"),
              keras.layers.Dense(4, name="predictions")]
    return keras.Sequential([keras.Input((6, 6, 1)), *layers])

def told(line):
    pass

folder = sys.argv[1]
curves = {}
for devices in (1, 2):
    done = run(classifier(model=network), f"{folder}/{devices}", say=told, devices=devices)
    curves[devices] = [[row["loss"], row["accuracy"]] for row in done.history]
    curves[f"weights {devices}"] = [array.tolist() for array in done.state.model.get_weights()]
# With dropout and batch normalisation, and on from where one device stopped.
run(classifier(epochs=1), f"{folder}/mixed", say=told)
mixed = run(classifier(epochs=3), f"{folder}/mixed", say=told, devices=2)
curves["mixed"] = [row["loss"] for row in mixed.history]
try:
    run(classifier(batch=15), f"{folder}/odd", say=told, devices=2)
except UsageError as error:
    curves["odd"] = str(error)
curves["command"] = cli.run(["train", "mlp", "--data", sys.argv[2], "-o", f"{folder}/command", "--devices=2",
                             "--epochs=2", "--set=batch=4", "--validation=0"])
print("RESULT" + json.dumps(curves))
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 28, 28), np.uint8)
    np.savez(tmp_path / "data.npz", x_train=pictures, y_train=np.arange(8) % 2)
    done = subprocess.run(
        [sys.executable, "-c", TWO, str(tmp_path), str(tmp_path / "data.npz")],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.partition("RESULT")[2])
    np.testing.assert_allclose(found["1"], found["2"], rtol=1e-4)
    for one, other in zip(found["weights 1"], found["weights 2"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert len(found["mixed"]) == 3 and found["mixed"][-1] < found["mixed"][0]
    assert "cannot be shared out evenly among 2 devices" in found["odd"] and "batch=16" in found["odd"]
    assert found["command"] == 0
    model = tmp_path / "command" / "model.keras"
    from PIL import Image

    Image.fromarray(pictures[0]).save(tmp_path / "one.png")
    assert cli.run(["predict", "-m", str(model), "--engine=keras", str(tmp_path / "one.png")]) == 0


def test_more_devices_than_there_are_is_told() -> None:
    with pytest.raises(UsageError, match=r"99 devices were asked for; TensorFlow sees 0 GPU, \d+ CPU"), sharing(99):
        pass
