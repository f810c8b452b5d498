"""Trains DeepLab v3 on half a MobileNetV2 for the eleven classes of CamVid, from TensorFlow's weights for VOC.

    python recipes/deeplab_camvid.py camvid_240x180.tar deeplabv3_257_mv_gpu.tflite out/

The archive holds camvid/{images,labels}/{train,val}/: pictures of 240x180 pixels, labels of 480x360. Judged as the
field does: logits are resized to 480x360, one confusion matrix counts all pictures of `val`, unknown pixels are left
out, and the mean is over eleven classes. CamVid is for research and not for commerce: weights learnt from it stay at
home. The same command goes on from the state that is there.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.applications.deeplab_v3 import DeepLabV3MobileNetV2
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

NAMES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
FREQUENT = (0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614)
"""Median-frequency weights of the classes, as the SegNet tutorial trains with them."""

VOID = 11
SEEN = (361, 481)
"""Twice the picture, and one more: TensorFlow's steps of two keep the corners where they are."""

FROZEN = 7
"""The first blocks, which see edges and colours, stay as they are."""


def opened(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [n, 361, 481, 3] and labels uint8 [n, 360, 480] of `train` or `val`."""
    with tarfile.open(path) as archive:

        def read(name: str) -> Any:
            return archive.extractfile(name).read()

        names = read(f"camvid/{split}.txt").decode().split()
        pictures, labels = [], []
        for name in names:
            stem = Path(name).stem
            picture = Image.open(io.BytesIO(read(f"camvid/images/{split}/{stem}.jpg")))
            pictures.append(np.asarray(picture.resize(SEEN[::-1], Image.Resampling.BILINEAR)))
            labels.append(np.asarray(Image.open(io.BytesIO(read(f"camvid/labels/{split}/{stem}.png")))))
    return np.stack(pictures), np.stack(labels)


def normalise(pixels: Any) -> Any:
    return pixels / 127.5 - 1.0


def begun(weights: Path) -> Any:
    """The network with the weights for VOC, but for the last convolution; batch normalisation stays as it is."""
    import keras

    # Of the maps before they are resized: the loss resizes once, to the labels.
    known = DeepLabV3MobileNetV2(weights=weights, input_shape=(*SEEN, 3), classifier_activation=None)
    model = DeepLabV3MobileNetV2(None, (*SEEN, 3), len(NAMES), None, name="deeplab_camvid")
    frozen = True
    for layer in model.layers:
        frozen &= not layer.name.startswith(f"block_{FROZEN}")
        layer.trainable = not frozen and not isinstance(layer, keras.layers.BatchNormalization)
        if layer.weights and layer.name != "logits_semantic":
            layer.set_weights(known.get_layer(layer.name).get_weights())
    return keras.Model(model.input, model.get_layer("logits_semantic").output, name=model.name)


def resized(logits: Any, size: tuple[int, int]) -> Any:
    """Coarse maps to the picture's size with aligned corners, and from there to the labels'."""
    import tensorflow as tf

    fine = tf.compat.v1.image.resize_bilinear(logits, SEEN, align_corners=True)
    return tf.image.resize(fine, size)


def loss(labels: Any, logits: Any) -> Any:
    """Weighted cross-entropy of every second pixel each way."""
    import tensorflow as tf

    weights = tf.constant((*np.sqrt(FREQUENT), 0.0), tf.float32)
    labels = tf.cast(labels[:, 1::2, 1::2], tf.int32)
    each = tf.gather(weights, labels)
    logits = resized(logits, (labels.shape[1], labels.shape[2]))
    known = tf.minimum(labels, len(NAMES) - 1)
    lost = tf.nn.sparse_softmax_cross_entropy_with_logits(known, logits)
    return tf.reduce_sum(lost * each) / tf.reduce_sum(each)


def augment(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """Mirrored, lighter or darker, each by chance; moved by up to a sixteenth."""
    pictures, labels = (np.array(each) for each in batch)
    for row in range(len(pictures)):
        if rng.random() < 0.5:
            pictures[row], labels[row] = pictures[row, :, ::-1], labels[row, :, ::-1]
        down, right = int(rng.integers(-22, 23)), int(rng.integers(-30, 31))
        pictures[row] = _moved(pictures[row], down, right, 0)
        labels[row] = _moved(labels[row], down, right, VOID)
    contrast, light = rng.uniform(0.8, 1.25, (len(pictures), 1, 1, 1)), rng.uniform(-20, 20, (len(pictures), 1, 1, 1))
    return np.clip((pictures - 128.0) * contrast + 128 + light, 0, 255).astype(np.float32), labels


def _moved(values: np.ndarray, down: int, right: int, ground: int) -> np.ndarray:
    made = np.full_like(values, ground)
    height, width = values.shape[:2]
    to = (slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0)))
    of = (slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0)))
    made[to] = values[of]
    return made


def measure(model: Any, pictures: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Intersection over union in percent, of each class and their mean."""
    count = len(NAMES)
    confusion = np.zeros((count, count), np.int64)
    for picture, label in zip(pictures, labels, strict=True):
        logits = model(normalise(picture[None].astype(np.float32)), training=False)
        guess = np.asarray(resized(logits, label.shape))[0].argmax(-1)
        known = label != VOID
        confusion += np.bincount(label[known] * count + guess[known], minlength=count**2).reshape(count, count)
    inside = np.diag(confusion)
    shares = 100 * inside / np.maximum(confusion.sum(0) + confusion.sum(1) - inside, 1)
    return {"mIoU": float(shares.mean())} | {f"IoU {name}": float(v) for name, v in zip(NAMES, shares, strict=True)}


def recipe(data: Path, weights: Path) -> Recipe:
    val = opened(data, "val")

    def judged(state: Any) -> Mapping[str, float]:
        return {"mIoU": measure(next(iter(state.models.values())), *val)["mIoU"]}

    return Recipe(
        name="deeplab_v3_mobilenetv2_dm05:camvid",
        model=lambda: begun(weights),
        data=Arrays(opened(data, "train")),
        step=Supervised(loss, prepare=normalise),
        optimizer=Optimizer("adam"),
        schedule=Cosine(1e-3),
        augment=augment,
        measure=judged,
        every=2,
        best=("val_mIoU", "max"),
        seed=2008,
        batch=4,
        epochs=12,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="camvid_240x180.tar")
    parser.add_argument("weights", type=Path, help="deeplabv3_257_mv_gpu.tflite")
    parser.add_argument("out", type=Path, help="a folder for the states and the log")
    parser.add_argument("--epochs", type=int, help="fewer passes than the recipe's")
    given = parser.parse_args()
    made = recipe(given.data, given.weights)
    outcome = run(
        replace(made, epochs=given.epochs or made.epochs), given.out, say=lambda line: print(line, flush=True)
    )
    for name, value in measure(outcome.state.model, *opened(given.data, "val")).items():
        print(f"{name} {value:.2f}")


if __name__ == "__main__":
    main()
