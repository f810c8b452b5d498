"""Conversion of a built Keras model to each format. TensorFlow lives in this process; checking is done by others.

TensorFlow's converters print at will, take the memory of several models and do not always get on with other runtimes,
so `main` runs in a process of its own (`kerazoo.export.run`).
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import formats, own, seal
from kerazoo.contract import Network, Port, Signature
from kerazoo.engines import card as card_
from kerazoo.engines import keras as keras_engine
from kerazoo.engines import onnx as onnx_engine
from kerazoo.engines.card import Card
from kerazoo.errors import KerazooError, UsageError
from kerazoo.export import finish, lower
from kerazoo.export import golden as golden_
from kerazoo.export.simplify import simplify
from kerazoo.export.verify import ANSWER
from kerazoo.registry import Built

AGAIN = 5
"""Further tries of a conversion that came out with another rank."""

_MACHINE = ("no space left on device", "disk quota exceeded", "out of memory", "cannot allocate memory")
"""How libraries that wrap the system's errors put it."""

PACKAGES = ("kerazoo", "tensorflow", "keras", "tf2onnx", "onnx")
"""Whose versions a card tells."""


def card_of(built: Built, goldens: Mapping[str, golden_.Golden]) -> Card:
    """The card that the artefacts of a built model carry; the normalisation is inside them."""
    return Card(
        built.name,
        built.tasks,
        config=built.config,
        weights_sha256=built.weights_sha256,
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        goldens={name: golden_.to_card(golden) for name, golden in goldens.items()},
        inside=None if built.normalise is None else dataclasses.asdict(built.normalise),
    )


def convert(
    built: Built, names: Iterable[str], folder: Path, batch: str | None = None, part: str | None = None
) -> dict[str, str | None]:
    """Writes unchecked artefacts and `golden.npz` into an existing folder.

    Args:
        names: Of `kerazoo.formats.FORMATS`.
        batch: `1` or `dynamic` rows at a time, where the format's own way is not wanted.
        part: Of the network, which is written alone.

    Returns:
        For each format the reason why it could not be written, or `None`.

    Raises:
        GateError: The Keras model's own answer is flat or not finite.
    """
    goldens = golden_.goldens_of(built)
    golden_.save(goldens, folder / "golden.npz")
    card = dataclasses.replace(card_of(built, goldens), part=part)
    one_row = None if batch is None else batch == "1"
    failures: dict[str, str | None] = {}
    for name in names:
        form = formats.find(name)
        path = folder / form.file
        try:
            _WRITERS[form.engine](built, card, path, one_row)
            for _ in range(AGAIN):
                if form is not formats.ONNX or _same_ranks(path, goldens, part):
                    break
                _remove(path)
                _WRITERS[form.engine](built, card, path, one_row)
            failures[name] = None
        except Exception as error:  # Each converter raises what it likes; the others must go on.
            if _of_the_machine(error):
                raise KerazooError(f"{built.name} could not be converted to {name} now: {error}") from error
            failures[name] = _why(error, form)
    return failures


_OPERATION = re.compile(r"'tf\.(\w+)' op is neither")
_PLACE = re.compile(r'loc\((?:callsite\(|fused\[)*.*?"([^"]*/[^"]*)"')
"""How TensorFlow's converter names an operation that the format does not have, and where it stands."""


def _why(error: Exception, form: formats.Format) -> str:
    """What to tell where a conversion failed: the operation and the layer, where it is an operation."""
    text = str(error).strip()
    operation = _OPERATION.search(text)
    if operation is not None:
        place = _PLACE.search(text)
        return unknown(form, operation.group(1), place.group(1) if place is not None else "")
    if isinstance(error, KerazooError):
        return text
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"


def unknown(form: formats.Format, operation: str, node: str) -> str:
    """That a format does not know an operation.

    Args:
        node: As TensorFlow calls it: model, layer and operation between slashes.
    """
    names = node.split("/")
    layer = re.sub(r"_\d+$", "", names[-2]) if len(names) > 1 else node or "a layer"
    return f"{form.name} does not know the operation {operation} of the layer {layer}; another format may."


def _of_the_machine(error: BaseException | None) -> bool:
    """Whether a full disk or memory is behind an error, which says nothing about the model."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, (OSError, MemoryError)) or any(words in text for words in _MACHINE):
            return True
        error = error.__cause__ or error.__context__
    return False


def _same_ranks(path: Path, goldens: Mapping[str, golden_.Golden], part: str | None) -> bool:
    """Whether every output, of one part where there is but one, has as many axes as Keras' has.

    tf2onnx's optimiser visits nodes in an order that changes from run to run, and in a few of a hundred runs it drops
    the last Squeeze of a network that ends in one channel. The gate would refuse the file; another try mends it.
    """
    network, _ = onnx_engine.open_network(path)
    for call in {call.part: call for golden in goldens.values() for call in golden.calls}.values():
        if part not in (None, call.part):
            continue
        found = network.part(call.part)(call.inputs)
        if any(found[name].ndim != expected.ndim for name, expected in call.outputs.items() if name in found):
            return False
    return True


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _traced(built: Built, part: str, fixed: bool) -> tuple[Callable[..., Any], list[Any]]:
    """A function of one positional tensor a port, and its named specs; `fixed` sets a batch axis to 1."""
    import tensorflow as tf

    from kerazoo.ops import tensorflow as ops

    signature = built.parts[part]
    network = keras_engine.network(built, ops).part(part)

    def run(*tensors: Any) -> Any:
        outputs = network(dict(zip((port.name for port in signature.inputs), tensors, strict=True)))
        return {name: tf.identity(output, name=name) for name, output in outputs.items()}

    return run, _specs(signature, one_row=fixed and built.task.batched)


def _specs(signature: Signature, one_row: bool = False) -> list[Any]:
    import tensorflow as tf

    def shape(port: Port) -> tuple[int | None, ...]:
        return (1, *port.shape[1:]) if one_row and port.shape and port.shape[0] is None else port.shape

    return [tf.TensorSpec(shape(port), getattr(tf, port.dtype), name=port.name) for port in signature.inputs]


def saved_model(built: Built, card: Card, path: Path, one_row: bool | None = None) -> None:
    """A bundle: from request to response a signature a task, `serving_default` the first; and one a part.

    A task that says by `also` how else it is answered has these signatures, too.
    """
    import keras

    from kerazoo.ops import tensorflow as ops

    network = keras_engine.network(built, ops)
    archive = keras.export.ExportArchive()
    archive.track(built.keras)
    for index, (name, task) in enumerate(built.tasks.items()):
        specs = _specs(Signature(task.request, task.response))
        archive.add_endpoint(name if index else ANSWER, _whole(task, network), specs)
        for also, other in getattr(task, "also", {}).items():
            archive.add_endpoint(also, _whole(other, network), specs)
    for part in built.parts:
        archive.add_endpoint(part, *_traced(built, part, fixed=False))
    archive.write_out(str(path), verbose=False)
    card_.into_folder(path, card)
    _record_warmup(card, path / "assets.extra" / "tf_serving_warmup_requests")
    seal.seal_folder(path, card_.FOLDER)


def _whole(task: Any, network: Network) -> Callable[..., Any]:
    """The whole answer as a function of one positional tensor a request port."""
    names = [port.name for port in task.request]
    return lambda *tensors: task.answer(network, dict(zip(names, tensors, strict=True)))


def _record_warmup(card: Card, path: Path) -> None:
    """The golden request, as a request that TF Serving replays before it says that the version is available."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    if card.golden is None:
        return
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = card.model.partition(":")[0]
    request.model_spec.signature_name = ANSWER
    for name, value in golden_.from_card(card.golden).request.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


def onnx(built: Built, card: Card, path: Path, one_row: bool | None = None) -> None:
    """One .onnx file; for a model in several parts a folder with one a part."""
    import tensorflow as tf
    import tf2onnx
    from onnx import defs as onnx_defs

    parts = [card.part] if card.part is not None else list(built.parts)
    if len(parts) > 1:
        path.mkdir()
    for part in parts:
        run, specs = _traced(built, part, fixed=bool(one_row))
        proto, _ = tf2onnx.convert.from_function(tf.function(run, input_signature=specs), specs, opset=18)
        for node in proto.graph.node:  # tf2onnx writes what it does not know as it stands, and says nothing.
            if not onnx_defs.has(node.op_type, node.domain):
                raise KerazooError(unknown(formats.ONNX, node.op_type, node.name))
        simplify(proto)
        (path if len(parts) == 1 else path / f"{part}.onnx").write_bytes(proto.SerializeToString())
    finish.onnx(path, card)


def litert(built: Built, card: Card, path: Path, one_row: bool | None = None, optimise: Iterable[str] = ()) -> None:
    """One .tflite file with one signature a part; the card and the labels end it as associated files.

    Args:
        one_row: Whether a batch is one row; by default it is.
        optimise: Names of `tf.lite.Optimize`: `DEFAULT` makes integers of ranges that `kerazoo.layers.FakeQuant`
            learned, `EXPERIMENTAL_SPARSITY` leaves zeros out.
    """
    import keras
    import tensorflow as tf

    source = path.with_suffix(".source")
    archive = keras.export.ExportArchive()
    archive.track(built.keras)
    parts = [card.part] if card.part is not None else list(built.parts)
    for part in parts:
        archive.add_endpoint(part, *_traced(built, part, fixed=one_row is not False))
    archive.write_out(str(source), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source), signature_keys=parts)
    converter.optimizations = [getattr(tf.lite.Optimize, name) for name in optimise]
    path.write_bytes(converter.convert())
    shutil.rmtree(source)
    finish.litert(path, card)


_WRITERS: dict[str, Callable[..., None]] = {
    formats.SAVED_MODEL.engine: saved_model,
    formats.ONNX.engine: onnx,
    formats.LITERT.engine: litert,
}


def main(model: str, folder: str, *words: str) -> dict[str, str | None]:
    """Builds the model, answers the goldens with Keras, writes `golden.npz` and the unchecked artefacts.

    Args:
        words: Names of formats, and options: `batch=1`, `part=encoder`.
    """
    options = dict(word.split("=", 1) for word in words if "=" in word)
    built = own.find(model).build()
    place = Path(folder)
    failures = convert(
        built, [word for word in words if "=" not in word], place, options.get("batch"), options.get("part")
    )
    if names := list(lower.learned_of(place)):
        _record_layers(built, names, place)
    return failures


def _record_layers(built: Built, names: list[str], folder: Path) -> None:
    """What some layers answer to the golden: by that, their tensors are found in an artefact."""
    import keras

    call = golden_.load(folder / "golden.npz")[next(iter(built.tasks))].calls[0]
    found = {layer.name: layer for layer in built.keras.layers}
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise UsageError(f"Ranges are given for {', '.join(unknown[:5])}, and the model has no such layers.")
    whole = keras.Model(built.keras.input, [found[name].output for name in names])
    media = built.normalise.media if built.normalise is not None else None
    values = [
        built.normalise(call.inputs[port.name]) if built.normalise is not None and port.media == media
        else call.inputs[port.name]
        for port in built.parts[call.part].inputs
    ]  # fmt: skip
    outputs = whole(values if len(values) > 1 else values[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    held: dict[str, Any] = {name: np.asarray(value) for name, value in zip(names, outputs, strict=True)}
    np.savez(folder / lower.LAYERS, **held)
