"""tf.Examples in REST bodies of classify and regress, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerazoo.serve import budget
from kerazoo.serve.models.inference import Classes
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.json_tensors import floats
from kerazoo.serve.wire.json_text import UNDECODABLE, is_base64, kind, string, unbase64
from kerazoo.serve.wire.status import invalid


def examples(body: Mapping[str, Any]) -> list[bytes]:
    """Serialized tf.Examples; the features of a `context` come first in each, so that an example's own win.

    Raises:
        Status: In TF Serving's words.
    """
    if "examples" not in body:
        raise invalid("When method is classify, key 'examples' is expected and was not found")  # Of regress too.
    given = body["examples"]
    if not isinstance(given, list):
        raise invalid("Expecting 'examples' value to be an list/array")
    if not given:
        raise invalid("'examples' value is an empty array")
    context = _example(body["context"]) if "context" in body else b""
    budget.spend(len(context) * len(given))
    return [context + _example(one) for one in given]


def _example(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(value)}")
    example = protos.core("Example")()
    for name, content in value.items():
        feature = example.features.feature[name.encode("utf-8", UNDECODABLE).decode("utf-8", "replace")]
        _fill(feature, name, content if isinstance(content, list) else [content])
    return example.SerializeToString()


_KINDS = {"bytes": "bytes_list", "float": "float_list", "int64": "int64_list"}


def _fill(feature: Any, name: str, values: list[Any]) -> None:
    chosen = None
    converted = []
    for value in values:
        word, plain = _value(name, value)
        if chosen is None:
            chosen = word
        if word != chosen:
            raise invalid(f"Unexpected element type in feature: {name} expecting type: {chosen}")
        converted.append(plain)
    if chosen is not None:
        getattr(feature, _KINDS[chosen]).value.extend(converted)


def _value(name: str, value: Any) -> tuple[str, Any]:
    """What kind of feature a value belongs to, as its JSON token says: `2` is an integer, `2.0` is not."""
    if isinstance(value, str):
        return "bytes", value.encode("utf-8", UNDECODABLE)
    if is_base64(value):
        return "bytes", unbase64(value["b64"])
    if isinstance(value, bool):
        return "int64", int(value)
    if isinstance(value, int):
        if value >= 1 << 64 or value < -(1 << 63):
            return "float", float(value)
        if value >= 1 << 63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "int64", value
    if isinstance(value, float):
        # What is beyond a float of the wire becomes infinite there, as a cast in C does.
        with np.errstate(over="ignore"):
            return "float", float(np.float32(value))
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind(value)}")


def classifications(found: Classes) -> bytes:
    """`results`: for every example its pairs of label and score."""
    rows = []
    for row in found.pairs():
        scores = floats(np.array([score for _, score in row], np.float32))
        labels = [string(label.decode("utf-8", UNDECODABLE)) for label, _ in row]
        rows.append("[" + ", ".join(map("[{}, {}]".format, labels, scores)) + "]")
    return f'{{"results": [{", ".join(rows)}]}}'.encode("utf-8", UNDECODABLE)


def regressions(found: np.ndarray) -> bytes:
    """`results`: for every example its number."""
    return f'{{"results": [{", ".join(floats(found))}]}}'.encode()
