"""What both wires ask for: predict, classify, regress, several of them at once. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.serve import budget
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.wire import tensors
from kerazoo.serve.wire.status import Status, invalid

DEFAULT = "serving_default"
METHODS = {name: f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress")}


@dataclass(frozen=True)
class Rules:
    """What a server was told about signatures.

    Attributes:
        check_methods: Whether a signature's method name must fit what is asked of it.
    """

    check_methods: bool = False


def predict(
    servable: Servable,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    wanted: Sequence[str] = (),
    rules: Rules = Rules(),
) -> dict[str, np.ndarray]:
    """Answers one signature.

    Args:
        signature: Its key; empty means `serving_default`.
        inputs: Arrays by alias; what is missing comes from the signature's defaults.
        wanted: Aliases of the outputs; all of them where there are none.

    Raises:
        Status: In TF Serving's words.
    """
    return servable.run(*prepared(servable, signature, inputs, wanted, rules))


def prepared(
    servable: Servable,
    signature: str,
    inputs: Mapping[str, Any],
    wanted: Sequence[str] = (),
    rules: Rules = Rules(),
    build: Callable[[Any, str], np.ndarray] = lambda value, alias: value,
) -> tuple[str, dict[str, np.ndarray], list[str]]:
    """What `Servable.run` is asked for `predict`.

    Args:
        build: Makes an array of an input; called only once all names are known to be right.

    Raises:
        Status: As `predict`, or raised by `build`.
    """
    key = signature or DEFAULT
    described = servable.signatures.get(key)
    if described is None:
        raise Status("FAILED_PRECONDITION", f'Serving signature key "{key}" not found.')
    if rules.check_methods and described.method_name not in METHODS.values():
        expected = ", ".join(sorted(METHODS.values()))
        raise Status("INTERNAL", f"Expected prediction signature method_name to be one of {{{expected}}}. Was: "
                     f"{described.method_name}")  # fmt: skip
    complete, outputs = _complete(described, inputs), _outputs(described, wanted)
    built = {name: build(value, name) if name in inputs else value for name, value in complete.items()}
    return key, built, outputs


def _complete(described: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs in the signature's order, with its defaults for what is missing."""
    wanted = described.inputs
    if len(inputs) == len(wanted) and all(name in wanted for name in inputs):  # A message's keys() are slow.
        return {name: inputs[name] for name in sorted(inputs)} if len(inputs) > 1 else dict(inputs)
    names, given, defaults = sorted(described.inputs), sorted(inputs), described.defaults
    if len(given) > len(names) or (len(given) < len(names) and not defaults):
        extra, missing = set(given) - set(names), set(names) - set(given)
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(names)} len({_set(given)}) != "
            f"len({_set(names)}). Sent extra: {_set(extra)}. Missing but required: {_set(missing)}."
        )
    complete = {}
    for name in names:
        if name in inputs:
            complete[name] = inputs[name]
        elif name in defaults:
            complete[name] = tensors.to_array(defaults[name], name)
        else:
            raise invalid(
                f"Signature input alias: {name}(feed name: {described.inputs[name].name}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {_set(given)}, or default input alias "
                f"set: {','.join(sorted(defaults))}"
            )
    return complete


def _outputs(described: Any, wanted: Sequence[str]) -> list[str]:
    for index, name in enumerate(wanted):
        if name not in described.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_set(described.outputs)}."
            )
        if name in wanted[:index]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return list(wanted) or sorted(described.outputs)


def _set(names: Any) -> str:
    return "{" + ",".join(sorted(names)) + "}"


# --- tf.Examples in, labels and numbers out ---------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """Labels and scores of each example; `labels` or `scores` is `None` where the model gives none.

    Both are [examples, classes], texts as object arrays of bytes.
    """

    labels: np.ndarray | None
    scores: np.ndarray | None

    def pairs(self) -> list[list[tuple[bytes, float]]]:
        """Label and score of every class of every example; an empty label or 0 where there is none."""
        labels: Any = np.full_like(self.scores, b"", object) if self.labels is None else self.labels
        scores: Any = np.zeros(labels.shape, np.float32) if self.scores is None else self.scores
        return [list(zip(*row, strict=True)) for row in zip(labels.tolist(), scores.tolist(), strict=True)]


def classify(servable: Servable, signature: str, examples: Sequence[bytes], rules: Rules = Rules()) -> Classes:
    """Labels and scores of serialized tf.Examples.

    Raises:
        Status: The signature cannot classify, or the graph failed.
    """
    return _classes(_one(servable, signature, "classify", rules), servable, signature or DEFAULT, examples)


def regress(servable: Servable, signature: str, examples: Sequence[bytes], rules: Rules = Rules()) -> np.ndarray:
    """One number [examples] for each serialized tf.Example.

    Raises:
        Status: The signature cannot regress, or the graph failed.
    """
    return _values(_one(servable, signature, "regress", rules), servable, signature or DEFAULT, examples)


def several(
    servable: Servable, tasks: Sequence[tuple[str, str]], examples: Sequence[bytes], rules: Rules = Rules()
) -> list[Classes | np.ndarray]:
    """Several (signature, method name) on the same examples, answered in their order.

    Raises:
        Status: One of them cannot be answered.
    """
    seen: set[str] = set()
    checked = []
    for signature, method in tasks:
        key = signature or DEFAULT
        if key in seen:
            raise invalid(f"Duplicate evaluation of signature: {key}")
        seen.add(key)
        if key not in servable.signatures:
            raise invalid(f"Requested signature not found in model graph: {key}")
        kind = {METHODS["classify"]: "classify", METHODS["regress"]: "regress"}.get(method)
        if kind is None:
            raise Status("UNIMPLEMENTED", f"Unsupported signature method_name: {method}")
        checked.append((key, kind, _one(servable, key, kind, rules)))
    return [
        (_classes if kind == "classify" else _values)(described, servable, key, examples)
        for key, kind, described in checked
    ]


def _one(servable: Servable, signature: str, kind: str, rules: Rules) -> Any:
    """The signature, if its keys are those of the method."""
    key = signature or DEFAULT
    described = servable.signatures.get(key)
    if described is None:
        raise invalid(f"No signature was found with the name: {key}")
    word = "classification" if kind == "classify" else "regression"
    if rules.check_methods and described.method_name != METHODS[kind]:
        raise invalid(f"Expected {word} signature method_name to be {METHODS[kind]}. Was: {described.method_name}")
    if len(described.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    outputs = len(described.outputs)
    if kind == "classify" and outputs not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {outputs}")
    if kind == "regress" and outputs != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in described.inputs:
        raise invalid(f"No {word} inputs found in SignatureDef: {described}")
    known = {"scores", "classes"} if kind == "classify" else {"outputs"}
    if set(described.outputs) - known:
        raise invalid(f"No {word} outputs found in SignatureDef: {described}")
    return described


def _fed(described: Any, servable: Servable, key: str, examples: Sequence[bytes]) -> dict[str, np.ndarray]:
    if not examples:
        raise invalid("Input is empty.")
    most = budget.limits().rows
    if len(examples) > most:
        raise Status("RESOURCE_EXHAUSTED", f"There are {len(examples)} examples; at most {most} go.")
    vector = np.empty(len(examples), object)
    vector[:] = list(examples)
    return servable.run(key, {"inputs": vector}, sorted(described.outputs))


def _classes(described: Any, servable: Servable, key: str, examples: Sequence[bytes]) -> Classes:
    outputs = _fed(described, servable, key, examples)
    labels, scores = outputs.get("classes"), outputs.get("scores")
    for name, array, kind in (("classes", labels, "O"), ("scores", scores, "f")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_{name}] but got {_shape(array)}")
        if array.dtype.kind != kind or (kind == "f" and array.dtype.itemsize != 4):
            raise invalid(f"Expected {name} Tensor of {'string' if kind == 'O' else 'float'}. Got: {array.dtype}")
        if len(array) != len(examples):
            raise invalid(f"Expected {name} output batch size of {len(examples)}. Got: {len(array)}")
    if labels is not None and scores is not None and labels.shape != scores.shape:
        raise invalid(f"Tensors class and score should match in shape. Got {_shape(labels)} vs. {_shape(scores)}")
    return Classes(labels, scores)


def _values(described: Any, servable: Servable, key: str, examples: Sequence[bytes]) -> np.ndarray:
    values = _fed(described, servable, key, examples)["outputs"]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(f"Expected Tensor shape: [batch_size] or [batch_size, 1] but got {_shape(values)}")
    if values.dtype != np.float32:
        raise invalid(f"Expected regression Tensor of float. Got: {values.dtype}")
    if len(values) != len(examples):
        raise invalid(f"Expected regression output batch size of {len(examples)}. Got: {len(values)}")
    return values.reshape(-1)


def _shape(array: np.ndarray) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def serialized(input_: Any) -> list[bytes]:
    """The serialized tf.Examples of an `Input` message; a context's features come first, so an example's own win."""
    kind = input_.WhichOneof("kind")
    if kind == "example_list":
        return [example.SerializeToString() for example in input_.example_list.examples]
    if kind == "example_list_with_context":
        context = input_.example_list_with_context.context.SerializeToString()
        budget.spend(len(context) * len(input_.example_list_with_context.examples))
        return [context + example.SerializeToString() for example in input_.example_list_with_context.examples]
    raise invalid("Input is empty.")
