"""YOLOv3: the layers of the authors' files, a second reading of them, and real weights over every engine."""

import io
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kerazoo.applications import yolov3
from kerazoo.applications.yolov3 import VARIANTS, MobileNetV2YOLOv3Nano, YOLOv3, YOLOv3Tiny
from kerazoo.errors import InputError, UsageError
from kerazoo.loading import load
from kerazoo.weights import darknet
from tests.applications.common import DATA_ENV, close, keras_warns, mirror, needs_data

pytestmark = keras_warns

NAME = "mobilenetv2_yolov3_nano:coco"
STEM = "mobilenetv2_yolov3_nano_coco"

TINY = "c16 p2 c32 p2 c64 p2 c128 p2 c256 p2 c512 p1 c1024 k256 c512 y3,4,5 r-4 k128 u r-1,8 c256 y0,1,2"
"""yolov3-tiny.cfg in short: 3x3 and 1x1 convolutions, pools by their step, outputs by their anchors."""

FULL = " ".join(
    ["c32"]
    + [
        f"d{filters} " + f"k{filters // 2} c{filters} s " * blocks
        for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
    ]
    + ["k512 c1024 " * 3 + "y6,7,8 r-4 k256 u r-1,61", "k256 c512 " * 3 + "y3,4,5 r-4 k128 u r-1,36"]
    + ["k128 c256 " * 3 + "y0,1,2"]
)
ANCHORS = {
    "yolov3_tiny": "10,14, 23,27, 37,58, 81,82, 135,169, 344,319",
    "yolov3": "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326",
}


def cfg(short, anchors, classes=80):
    """The file that a short form stands for."""
    sections = ["[net]"]
    for word in short.split():
        kind, rest = word[0], word[1:]
        if kind in "ckd":
            size, stride = (1 if kind == "k" else 3), (2 if kind == "d" else 1)
            options = f"batch_normalize=1\nfilters={rest}\nsize={size}\nstride={stride}\npad=1\nactivation=leaky"
            sections.append(f"[convolutional]\n{options}")
        elif kind == "p":
            sections.append(f"[maxpool]\nsize=2\nstride={rest}")
        elif kind == "s":
            sections.append("[shortcut]\nfrom=-3\nactivation=linear")
        elif kind == "r":
            sections.append(f"[route]\nlayers = {rest}")
        elif kind == "u":
            sections.append("[upsample]\nstride=2")
        else:
            sections.append(f"[convolutional]\nsize=1\nstride=1\npad=1\nfilters={3 * (5 + classes)}\nactivation=linear")
            sections.append(f"[yolo]\nmask = {rest}\nanchors = {anchors}\nclasses={classes}")
    return "\n".join(sections).encode()


@pytest.mark.parametrize(("name", "short"), [("yolov3_tiny", TINY), ("yolov3", FULL)])
def test_layers_are_those_of_the_authors_cfg(name, short):
    assert yolov3.layers_of(VARIANTS[name].config) == darknet.parsed(cfg(short, ANCHORS[name]))


def convolved(x, values, conv):
    """darknet's convolution of [h, w, c], straight from the numbers of the file; and how many it took."""
    out, size, maps = conv.filters, conv.size, x.shape[-1]
    bias, at = values[:out], out
    scale, mean, variance = values[at : at + 3 * out].reshape(3, out) if conv.norm else np.array([[1], [0], [1]])
    at += 3 * out if conv.norm else 0
    kernel = values[at : at + out * maps * size * size].reshape(out, maps, size, size)
    at += kernel.size
    padded = np.pad(x, ((size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (0, 1))[:: conv.stride, :: conv.stride]
    y = np.einsum("hwcij,ocij->hwo", windows, kernel, optimize=True)
    y = (y - mean) / (np.sqrt(variance) + 1e-6) * scale + bias if conv.norm else y + bias
    return (np.where(y > 0, y, 0.1 * y) if conv.activation == "leaky" else y), at


def second_reading(layers, x, values):
    """The outputs of a darknet network in NumPy, in double precision: nothing of it is shared with the build."""
    made, found, at = [], [], 0
    for layer in layers:
        if isinstance(layer, darknet.Conv):
            x, took = convolved(x, values[at:], layer)
            at += took
        elif isinstance(layer, darknet.Pool):
            padded = np.pad(x, ((0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 2), (0, 1)).max((-1, -2))
            x = windows[:: layer.stride, :: layer.stride]
        elif isinstance(layer, darknet.Shortcut):
            x = x + made[layer.other]
        elif isinstance(layer, darknet.Route):
            x = np.concatenate([made[number] for number in layer.layers], -1)
        elif isinstance(layer, darknet.Upsample):
            x = x.repeat(2, 0).repeat(2, 1)
        else:
            found.append(x)
        made.append(x)
    assert at == len(values)
    return found


def numbers(layers, seed=0):
    """Of a whole file: random, with variances that are some."""
    random, parts = np.random.default_rng(seed), []
    for _, conv, maps in darknet.convolutions(layers, 3):
        if conv.norm:
            parts += [random.normal(0, 0.1, conv.filters), random.uniform(0.8, 1.2, conv.filters)]
            parts += [random.normal(0, 0.1, conv.filters), random.uniform(0.5, 1.5, conv.filters)]
        else:
            parts.append(random.normal(0, 0.1, conv.filters))
        fan = maps // conv.groups * conv.size**2
        parts.append(random.normal(0, np.sqrt(1 / fan), conv.filters * fan))
    return np.concatenate(parts).astype("<f4")


def stored(path, values):
    path.write_bytes(struct.pack("<iiiq", 0, 2, 0, 1) + values.tobytes())
    return str(path)


@pytest.mark.parametrize(("name", "builder", "short"), [
    ("yolov3_tiny", YOLOv3Tiny, TINY),
    pytest.param("yolov3", YOLOv3, FULL, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_file_says_what_a_second_reading_of_it_says(name, builder, short, tmp_path):
    layers = darknet.parsed(cfg(short, ANCHORS[name], classes=2))
    values = numbers(layers)
    (tmp_path / "mine.cfg").write_bytes(cfg(short, ANCHORS[name], classes=2))
    model = builder(weights=stored(tmp_path / "mine.weights", values), input_shape=(64, 96, 3), classes=2)
    picture = np.random.default_rng(1).uniform(0, 1, (64, 96, 3)).astype("f")
    expected = second_reading(layers, picture.astype("d"), values.astype("d"))
    for mine, theirs in zip(model(picture[None]), expected, strict=True):
        close(mine[0], theirs, 1e-4)


def test_a_file_of_another_cfg_is_refused(tmp_path):
    """Which layer, and how many values are left; with its .cfg beside it, before any number is looked at."""
    values = numbers(darknet.parsed(cfg(TINY, ANCHORS["yolov3_tiny"], classes=2)))
    path = stored(tmp_path / "mine.weights", values)
    with pytest.raises(UsageError, match=r"conv21 wants 885,760 values, 771,115 of 8,678,554 are left"):
        YOLOv3Tiny(weights=path)
    with pytest.raises(UsageError, match=r"7,787,484 of 8,678,554 values are left over after conv78"):
        MobileNetV2YOLOv3Nano(weights=path)
    (tmp_path / "mine.cfg").write_bytes(cfg(TINY, ANCHORS["yolov3_tiny"], classes=2))
    with pytest.raises(UsageError, match=r"layer 15 is Conv\(filters=21, .* this architecture has Conv\(filters=255,"):
        YOLOv3Tiny(weights=path)


@pytest.mark.parametrize(("arguments", "told"), [
    ({"input_shape": (100, 96, 3)}, "multiples of 32"),
    ({"input_shape": (0, 32, 3)}, "at least 32"),
    ({"classes": 0}, "positive whole number"),
    ({"weights": "coco", "classes": 3}, "80 classes"),
    ({"weights": "voc"}, "not known"),
])  # fmt: skip
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        MobileNetV2YOLOv3Nano(**{"weights": None, **arguments})


def test_pictures_of_any_size():
    model = MobileNetV2YOLOv3Nano(weights=None, input_shape=(None, None, 3), classes=3)
    assert [tuple(each.shape) for each in model(np.zeros((1, 64, 96, 3)))] == [(1, 2, 3, 24), (1, 4, 6, 24)]


@pytest.fixture
def data(monkeypatch, tmp_path):
    mirror(monkeypatch, tmp_path / "home")
    return Path(os.environ[DATA_ENV])


@needs_data
def test_the_published_file_says_what_independent_code_says(data, tmp_path):
    checks = np.load(data / "dense_checks.npz")
    for suffix in ("weights", "cfg"):  # Its own .cfg is held to the build, too.
        shutil.copy(data / "weights" / f"{STEM}.{suffix}", tmp_path)
    model = MobileNetV2YOLOv3Nano(weights=str(tmp_path / f"{STEM}.weights"))
    outputs = model(checks["yolo_nano_input"][None].astype("f") / 255)
    for index, output in enumerate(outputs):
        close(output[0], checks[f"yolo_nano_head{index}"], 1e-5)


SEEN = {"pets": [("dog", 0.98), ("dog", 0.98)], "owl": [("bird", 0.97)], "grace_hopper": [("person", 1.0)]}


@needs_data
@pytest.mark.parametrize(
    "engine", ["keras", *(pytest.param(each, marks=pytest.mark.slow) for each in ("onnx", "litert", "savedmodel"))]
)
def test_the_same_boxes_over_every_engine(engine, data):
    checks = np.load(data / "dense_checks.npz")
    predictor = load(NAME, engine)
    for name, expected in SEEN.items():
        result = predictor(data / "photos" / f"{name}.jpg")
        for (label, score), found, sure in zip(expected, result.labels, result.scores, strict=False):
            assert found == label and abs(sure - score) <= 0.02, (name, result.rows())
        assert len(result.labels) == len(expected) + (name == "grace_hopper"), result.rows()
        if name == "pets":
            # Class, score, then centre and size as shares of the picture.
            for row, box, score in zip(checks["yolo_nano_boxes"], result.boxes, result.scores, strict=True):
                centre, size = row[2:4] * (512, 430), row[4:] * (512, 430)
                np.testing.assert_allclose(box, [*(centre - size / 2), *(centre + size / 2)], atol=3)
                assert abs(score - row[1]) <= 0.02


@needs_data
def test_one_pixel_a_large_picture_and_one_that_is_too_large(data):
    predictor = load(NAME, "keras")
    assert predictor(np.zeros((1, 1, 3), np.uint8)).to_json() == {"boxes": []}
    with Pillow.open(data / "photos" / "pets.jpg") as picture:
        small = predictor(picture)
        large, too_large = (jpeg(picture.resize(size)) for size in ((6_000, 5_039), (12_000, 8_000)))
    found = predictor(large)
    assert found.labels == small.labels == ("dog", "dog")
    # To a hundredth of the picture's sides.
    for mine, theirs in zip(found.boxes, small.boxes, strict=True):
        np.testing.assert_allclose(np.array(mine) * (512 / 6_000), theirs, atol=5)
    with pytest.raises(InputError, match="too large to decode"):
        predictor(too_large)


def jpeg(picture):
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()
