"""What training for integers is worth: a MobileNet-style network on CIFAR-10, in floats and in int8.

    python -m benchmarks.qat cifar10.npz out/ --out benchmarks/results/qat.json

A network of depthwise separable convolutions is trained in floats, and from these weights on with `--quantize int8`;
with `--longer` also as many epochs more in floats. The networks in floats and the int8 files are measured by `kerazoo
evaluate` on the 10,000 test pictures (bound: int8 at most 0.5 point below its fp32). What was trained in out/ is not
trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kerazoo
import kerazoo.train
from benchmarks import record
from kerazoo.assets import labels
from kerazoo.codecs.image import Image, Normalise
from kerazoo.tasks.classify import Classify

BLOCKS = ((32, 2), (64, 1), (64, 2), (128, 1), (128, 2), (256, 1))
"""Filters of the pointwise and strides of the depthwise convolution of each block."""
NORMALISE = Normalise("rgb", 2 / 255, (1.0,))


def network() -> Any:
    """80,000 parameters and 3 million multiply-adds of MobileNet's blocks, for pictures of 32 pixels."""
    import keras

    layers = keras.layers

    def normed(x: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    inputs = keras.Input((32, 32, 3), name="image")
    x = normed(layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv1")(inputs), "conv1")
    for number, (filters, strides) in enumerate(BLOCKS, start=1):
        x = layers.DepthwiseConv2D(3, strides, "same", use_bias=False, name=f"conv_dw_{number}")(x)
        x = normed(x, f"conv_dw_{number}")
        x = normed(layers.Conv2D(filters, 1, use_bias=False, name=f"conv_pw_{number}")(x), f"conv_pw_{number}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, layers.Dense(10, name="predictions")(x), name="separable")


def trained(model: Any, data: Path, out: Path, epochs: int, rate: float, quantize: str | None = None) -> Path:
    """The file of a training, which goes on where it was left."""
    done = out / "done"
    if not done.exists():
        settings = {"rate": rate, "batch": 128, "warm_up": 0, "augment": "mirror", "decay": 1e-3}
        kerazoo.train.train(
            model, data, out, recipe="finetune", epochs=epochs, settings=settings, resume=True, quantize=quantize
        )
        done.touch()
    return out / "model.keras"


def top1(model: Path, data: Path) -> float:
    """Percent, by `kerazoo evaluate`."""
    command = [sys.executable, "-m", "kerazoo", "evaluate", str(model), str(data), "--json"]
    if model.suffix == ".keras":
        command += ["--engine", "onnx"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(told.splitlines()[-1])["top-1"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="cifar10.npz")
    parser.add_argument("folder", type=Path, help="of the trainings")
    parser.add_argument("--epochs", type=int, default=5, help="in floats")
    parser.add_argument("--more", type=int, default=2, help="further epochs, for integers")
    parser.add_argument("--longer", action="store_true", help="train in floats for these, too")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()

    given.folder.mkdir(parents=True, exist_ok=True)
    start = given.folder / "start.keras"
    if not start.exists():
        names = labels("cifar10")
        task = Classify(Image(32, 32, 3), names, output="logits")
        import keras

        keras.utils.set_random_seed(0)
        kerazoo.save(network(), start, task=task, normalise=NORMALISE)
    first = trained(start, given.data, given.folder / "float", given.epochs, 5e-3)
    learned = trained(first, given.data, given.folder / "int8", given.more, 1e-3, "int8")
    found = {
        "fp32": top1(first, given.data),
        "int8 litert": top1(learned.with_name("model.int8.tflite"), given.data),
        "int8 onnx": top1(learned.with_name("model.int8.onnx"), given.data),
    }
    if given.longer:
        found["fp32, longer"] = top1(trained(first, given.data, given.folder / "longer", given.more, 1e-3), given.data)
    floats = [value for name, value in found.items() if name.startswith("fp32")]
    below = max(floats) - min(found["int8 litert"], found["int8 onnx"])
    for name, value in found.items():
        print(f"{name:<17} {value:.2f} %")
    print(f"int8 below fp32   {below:+.2f} points (at most 0.5)")
    if given.out:
        told = {"epochs": given.epochs, "further epochs": given.more, "pictures": 10000}
        record.keep(given.out, {**told, "top-1": found, "below": below, **record.origin("qat")})


if __name__ == "__main__":
    main()
