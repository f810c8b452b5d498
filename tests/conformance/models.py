"""The table of cases: every registered variant, built once with weights that need no download.

Weights are drawn from a variable's path and shape, so that they are the same on every machine and do not depend on
the order of the layers; batch statistics are then taken from fixed pictures, so that signals keep their size through
any depth and no answer is flat.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from kerazoo import manifest, registry
from kerazoo.applications._recognise import TABLE
from kerazoo.assets import Assets
from kerazoo.codecs import image as image_
from kerazoo.codecs._characters import placeholder as characters
from kerazoo.codecs._spelling import placeholder as spelled
from kerazoo.codecs._wordpiece import placeholder as pieces
from kerazoo.codecs.image import Image as Picture
from kerazoo.codecs.image import Normalise, from_preprocessing
from kerazoo.codecs.text import placeholder
from kerazoo.contract import Network, Task
from kerazoo.engines import keras as keras_engine
from kerazoo.export import golden as golden_
from kerazoo.formats import FORMATS
from kerazoo.predictor import stack

GOLDENS = Path(__file__).parent.parent / "goldens"
FACTS = json.loads((Path(__file__).parent / "facts.json").read_text(encoding="utf-8"))

NAMES = tuple(registry.variants())

FIRST = tuple({family: name for name, (family, _) in reversed(registry.variants().items())}.values())
"""Of each family the first variant: the others differ from it in sizes alone, and wait for the slow run."""

DEEP = (
    "captioner", "deeplab_v2_resnet101", "deeplab_v3plus_mobilenetv2", "hrnet_w18", "hrnet_w18_seg", "hrnet_w32_pose",
    "inception_resnet_v1", "inception_v3", "inception_v4", "nvae_mnist_small", "resnet18d", "resnet50",
    "seq2seq_sutskever", "xception",
)  # fmt: skip
"""Of these the ones that take seconds to build, of layers which others hold as well; they wait, too."""

CONVERTED = (
    "autoencoder_denoising", "espcn_x2", "gcn_cora", "lenet5", "resnet18", "resnext50_32x4d", "rnn_encdec", "snn",
    "squeezenet_v1_0", "stn", "unet", "vae",
)  # fmt: skip
"""Variants that hold every kind of layer and task, and convert in a few seconds; the others wait for the slow run."""


def _waiting(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


KEPT = 4
"""Built networks that a process keeps: all cases of a variant come one after the other, and together they are GiB."""


def family(name: str) -> Any:
    return registry.variants()[name][0]


def config(name: str) -> Any:
    """The config that tests run: the small one where the variant is large."""
    described = registry.variants()[name][1]
    return described.config if described.small is None else described.small


def _kinds() -> dict[str, str]:
    """Variant -> the first of those with the same layers, from which it differs in sizes alone."""
    layers = json.loads(TABLE.read_text(encoding="utf-8"))
    found: dict[Any, str] = {}
    kinds = {}
    for name in NAMES:
        sizes = {key: value for key, value in vars(config(name)).items() if key != "name"}
        words = {key: value for key, value in sizes.items() if isinstance(value, str | bool | None)}
        channels = sizes.get("channels", (sizes.get("input_shape") or (None,))[-1])
        key = (family(name).__name__, frozenset(layers[name]), repr(words), channels)
        kinds[name] = found.setdefault(key, name)
    return kinds


KIND_OF = _kinds()
EVERY = bool(os.environ.get("KERAZOO_TEST_EVERY"))
"""Whether each property is asked of every variant, which takes hours."""
KINDS = NAMES if EVERY else tuple(dict.fromkeys(KIND_OF.values()))

every_variant = pytest.mark.parametrize("name", _waiting(NAMES, set(FIRST) - set(DEEP)))
"""For the facts of a variant: its counts and what is written of it."""
every_kind = pytest.mark.parametrize("name", _waiting(KINDS, CONVERTED))
"""For what variants of the same layers have in common."""
CONVERTING = NAMES if EVERY else tuple(name for name in NAMES if name in {*FIRST, *CONVERTED})
converting = pytest.mark.parametrize("name", _waiting(CONVERTING, CONVERTED))
"""For what takes many seconds a variant: of each family the first."""


def assets(sizes: Any) -> Assets:
    """Plain labels; a made-up vocabulary where the network has words."""
    if hasattr(sizes, "source_words"):
        words: Any = {"source": placeholder(sizes.source_words), "target": placeholder(sizes.target_words)}
        return Assets(vocabulary=words)
    if hasattr(sizes, "source_characters"):
        letters = spelled(sizes.source_characters), spelled(sizes.target_characters, written=True)
        return Assets(vocabulary=dict(zip(("source", "target"), letters, strict=True)))
    if hasattr(sizes, "characters"):
        return Assets(vocabulary=characters(sizes.characters))
    if hasattr(sizes, "bert"):
        read = pieces(sizes.bert.vocabulary, sizes.bert.separator)
        return Assets(vocabulary={"source": read, "target": placeholder(sizes.words)})
    if hasattr(sizes, "words"):
        return Assets(vocabulary=placeholder(sizes.words))
    if hasattr(sizes, "separator"):
        return Assets(vocabulary=pieces(sizes.vocabulary, sizes.separator))
    return Assets()


@functools.lru_cache(KEPT)
def built(name: str) -> registry.Built:
    """The variant in its test size, with weights filled in. Do not train it: `fresh` gives one of your own."""
    return fresh(name)


def fresh(name: str) -> registry.Built:
    keras_model = family(name).build(config(name))
    several = family(name).tasks(config(name), assets(config(name)))
    made = registry.Built(name, keras_model, several, _normalise(name, next(iter(several.values()))))
    fill(keras_model)
    calibrate(made)
    return made


def _normalise(name: str, task: Task) -> Normalise | None:
    for entry in manifest.entries_of(name):
        if entry.preprocessing:
            return from_preprocessing(entry.preprocessing)[1]
    own = getattr(family(name), "NORMALISE", None)
    pictures = task.kind == "classify" and isinstance(getattr(task, "input", None), Picture)
    return Normalise(scale=2 / 255, mean=(1.0,)) if own is None and pictures else own


@functools.lru_cache(KEPT)
def golden(name: str) -> golden_.Golden:
    """The golden request, answered by Keras on NumPy ops."""
    return asked(built(name), keras_engine.network(built(name)))


def calls(name: str) -> tuple[golden_.Call, ...]:
    """What the goldens of all tasks ask of the network."""
    made = built(name)
    network = keras_engine.network(made)
    others = [task for task in made.tasks.values() if task is not made.task]
    return golden(name).calls + tuple(call for task in others for call in golden_.answer(task, network).calls)


def fill(model: Any) -> None:
    """Weights from path and shape, scaled so that signals keep their size."""
    for variable in model.weights:
        shape = tuple(variable.shape)
        digest = hashlib.sha256(f"{variable.path}{list(shape)}".encode()).digest()
        # RandomState is the one generator whose numbers NumPy promises never to change.
        random = np.random.RandomState(int.from_bytes(digest[:4], "little"))
        variable.assign(_values(variable.path.rpartition("/")[2], shape, random).astype(np.float32))


def _values(kind: str, shape: tuple[int, ...], random: np.random.RandomState) -> np.ndarray:
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.8, 1.2, shape)
    if len(shape) < 2:
        return random.uniform(-0.1, 0.1, shape)
    if kind == "embeddings":
        return random.standard_normal(shape)
    inputs = np.prod(shape[:2]) if "depthwise" in kind else np.prod(shape[:-1])
    return random.standard_normal(shape) * np.sqrt((1.0 if "recurrent" in kind else 2.0) / inputs)


def calibrate(made: registry.Built) -> None:
    """Sets moving statistics to those of a batch of fixed pictures."""
    import keras

    layers = list(flat(made.keras))
    _soften(layers)
    _quieten(layers)
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    calls = golden_.answer(made.task, keras_engine.network(made), request(made.task, 8)).calls
    with contextlib.ExitStack() as undo:
        for layer in norms:
            undo.callback(setattr, layer, "momentum", layer.momentum)
            layer.momentum = 0.0
        for layer in layers:
            if isinstance(layer, keras.layers.Dropout):
                undo.callback(setattr, layer, "rate", layer.rate)
                layer.rate = 0.0
        for part in made.task.parts:
            call = next(call for call in calls if call.part == part)
            model = keras_engine.network(made).part(part).model
            if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in flat(model)):
                continue
            given = [
                made.normalise(call.inputs[port.name])
                if made.normalise is not None and port.media == made.normalise.media
                else call.inputs[port.name]
                for port in made.task.parts[part].inputs
            ]
            model(given if len(given) > 1 else given[0], training=True)


def _soften(layers: list[Any]) -> None:
    # Random residual branches as strong as their trunk make a deep network chaotic: rounding alone would change what
    # it says. Trained ones are weaker.
    import keras

    for layer in layers:
        if isinstance(layer, keras.layers.Add):
            sources = [tensor._keras_history.operation for tensor in layer.input]
            ends = [source for source in sources if isinstance(source, keras.layers.BatchNormalization)]
            if len(ends) == 1:
                ends[0].gamma.assign(ends[0].gamma * 0.2)
        # Far from zero a sigmoid is known to 1e-7 on some runtimes, which is all there is of it; trained ones do not
        # say so surely that something is not there.
        if getattr(layer, "activation", None) is keras.activations.sigmoid:
            layer.kernel.assign(layer.kernel * 0.25)


def _quieten(layers: list[Any]) -> None:
    # What a pyramid adds up is normalised by nothing before a RetinaNet's outputs, and scores that all round to 1 would
    # have no order.
    for layer in layers:
        if layer.name in ("moves_conv", "logits_conv"):
            layer.kernel.assign(layer.kernel * 0.1)


def flat(model: Any) -> Iterator[Any]:
    """Every layer once, those of models within the model too."""
    found: dict[int, Any] = {}
    for layer in model.layers:
        for each in (layer, *(flat(layer) if hasattr(layer, "layers") else ())):
            found.setdefault(id(each), each)
    yield from found.values()


def request(task: Task, rows: int = 1) -> dict[str, Any]:
    """Golden requests that differ from row to row where a picture or a seed is asked.

    Pictures have the network's size. Resizing rounds differently in a graph, by one grey level; trained networks do
    not mind, those with random weights do. Tests of `kerazoo.ops` hold one resizing against the other.
    """
    first = golden_.golden_request(task)
    image = getattr(task, "input", None)
    made = []
    for row in range(rows if task.batched else 1):
        # Encoded files are one value each, also where a request is one row.
        alone = {port.name: task.batched or port.dtype == "string" for port in task.request}
        values = {name: first[name][0] if row_of else first[name] for name, row_of in alone.items()}
        for port in task.request:
            if port.media == "image":
                values[port.name] = _picture(row, *((image.height, image.width) if image else (60, 80)))
            elif port.media == "seed":
                values[port.name] = values[port.name] + row
        made.append(values)
    return stack(task, made)


def _picture(row: int, height: int, width: int) -> bytes:
    pixels = np.asarray(Image.open(io.BytesIO(image_.scene(height, width))))
    pixels = (pixels, pixels[::-1, ::-1], pixels[:, ::-1], pixels[::-1])[row % 4]
    if row % 2:
        pixels = 255 - pixels
    if row >= 4:
        pixels = np.roll(pixels, 1, axis=-1)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()


def asked(made: registry.Built, network: Network, rows: int = 1) -> golden_.Golden:
    return golden_.answer(made.task, network, request(made.task, rows))


# --- exports, each made once a run ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Converted:
    """Unchecked artefacts of one variant.

    Attributes:
        folder: Holds `golden.npz` and what could be written.
        failures: Format -> why it could not be written, or `None`.
    """

    folder: Path
    failures: dict[str, str | None]

    def path(self, format_: str) -> Path:
        """The artefact, whose test fails where there is none."""
        assert self.failures[format_] is None, f"{self.folder.name} to {format_}: {self.failures[format_]}"
        return self.folder / FORMATS[format_].file


def converted(name: str, shared: Path) -> Converted:
    """The variant in every format, from the run's cache; test processes share it."""
    from kerazoo.export.convert import convert

    folder = shared / "converted" / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "failures.json"
    with FileLock(folder / ".lock"):
        if not done.exists():
            asked_for, own = golden(name).request, golden_.golden_request

            def wanted(task: Task) -> Any:
                pictures = any(port.media == "image" for port in task.request)
                return asked_for if pictures else own(task)

            with mock.patch.object(golden_, "golden_request", wanted):
                failures = convert(built(name), FORMATS, folder)
            done.write_text(json.dumps(failures), encoding="utf-8")
    return Converted(folder, json.loads(done.read_text(encoding="utf-8")))
