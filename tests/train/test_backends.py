"""Training on Keras' other backends, each in a process of its own, and its models under TensorFlow afterwards."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerazoo import cli, own
from kerazoo.engines import card as card_

ROOT = Path(__file__).parents[2]
BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"{name} is not installed"))
    for name in ("jax", "torch")
]


def process(backend: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **more}
    return subprocess.run([sys.executable, *arguments], env=env, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("backends") / "pictures", np.random.default_rng(0)
    for name, light in (("dark", 60), ("light", 190)):
        (root / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(rng.normal(light, 20, (24, 24)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_trains_there_and_tensorflow_answers(
    backend: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "-m",
        "kerazoo",
        "train",
        "lenet5",
        "--data",
        str(pictures),
        "-o",
        str(tmp_path / "out"),
        "--set=batch=8",
    ]
    done = process(backend, *command, "--epochs=6")
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["epoch"] * 6, "nothing else is said"
    model = tmp_path / "out" / "model.keras"
    card = card_.of_archive(model)
    assert {"kerazoo", "keras", backend} <= card.versions.keys()
    capsys.readouterr()
    paths = [str(pictures / name / "0.png") for name in ("dark", "light")]
    assert cli.run(["predict", "-m", str(model), "--engine=keras", "--json", *paths]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["top"][0]["label"] for row in rows] == ["dark", "light"]
    more = process(backend, *command, "--epochs=7", "--resume")
    assert more.returncode == 0 and more.stderr.startswith("epoch 7/7 "), more.stderr[-3000:]


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_learns_the_same_from_the_same_weights(backend: str, pictures: Path, tmp_path: Path) -> None:
    def options(model: str, out: str) -> list[str]:
        return ["train", model, "--data", str(pictures), "-o", str(tmp_path / out), "--epochs=1", "--set=batch=8"]

    assert cli.run(options("lenet5", "first")) == 0
    first = str(tmp_path / "first" / "model.keras")
    assert cli.run(options(first, "tensorflow")) == 0
    done = process(backend, "-m", "kerazoo", *options(first, backend))
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = (own.find(tmp_path / name / "model.keras").build().keras for name in ("tensorflow", backend))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-2, atol=2e-4)


FAMILIES = ("espcn_x2", "googlenet", "inception_v1", "lenet5", "lenet5_1998", "mlp")

EVERY = """
import json, sys
import numpy as np
from kerazoo import registry
from kerazoo.engines.quiet import import_keras
backend = import_keras()
import keras
from kerazoo.train.descent import descent

assert keras.backend.backend() == backend == sys.argv[1]
families = {}
for name, (family, described) in registry.variants().items():
    smallest = families.get(family.__name__)
    if smallest is None or described.params < smallest[1].params:
        families[family.__name__] = (name, described, family)
found, rng = {}, np.random.default_rng(0)
for name, described, family in families.values():
    if name not in sys.argv[2:]:
        continue
    try:
        model = family.build(described.small or described.config)
        inputs = []
        for each in model.inputs:
            shape = [size or (2 if axis == 0 else 16) for axis, size in enumerate(each.shape)]
            whole = "int" in str(each.dtype)
            inputs.append(rng.integers(0, 2, shape) if whole else rng.random(shape, np.float32))
        optimizer = keras.optimizers.SGD(0.01)
        optimizer.build(model.trainable_variables)

        def judge(output, batch):
            parts = keras.tree.flatten(output)
            return sum(keras.ops.mean(keras.ops.square(part)) for part in parts), {}

        def take(batch):
            return list(batch) if len(batch) > 1 else batch[0]

        before = [variable.numpy() for variable in model.trainable_variables]
        loss = float(descent(model, optimizer, take, judge)(*inputs)["loss"])
        moved = any(not np.array_equal(a, b.numpy()) for a, b in zip(before, model.trainable_variables))
        found[name] = "" if np.isfinite(loss) and moved else f"loss {loss}, moved {moved}"
    except Exception as error:
        found[name] = f"{type(error).__name__}: {str(error)[:300]}"
    print(name, found[name], file=sys.stderr, flush=True)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_families_are_built_and_trained_there(backend: str) -> None:
    done = process(backend, "-c", EVERY, backend, *FAMILIES)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == dict.fromkeys(FAMILIES, "")


def test_a_backend_that_is_not_installed_is_told() -> None:
    code = "import sys; sys.modules['jax'] = None; from kerazoo import cli; sys.exit(cli.run(sys.argv[1:]))"
    done = process("jax", "-c", code, "train", "lenet5", "--data", "nothing", "-o", "nowhere")
    assert done.returncode == 6
    assert "jax" in done.stderr and "pip install jax" in done.stderr and "Traceback" not in done.stderr
