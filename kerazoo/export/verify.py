"""The gate: an artefact is asked its goldens on the engine that will run it, and held to Keras, stage by stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerazoo import codecs
from kerazoo.codecs import number
from kerazoo.contract import Answer, Network, Task, Tensors
from kerazoo.errors import GateError
from kerazoo.export.golden import Golden
from kerazoo.formats import ROWS, Format


def check_network(golden: Golden, network: Network, form: Format, what: str) -> dict[str, float]:
    """Replays the recorded calls; the largest relative error of each output.

    Raises:
        GateError: An output is missing, not finite, of another shape, or too far from Keras.
    """
    worst: dict[str, float] = {}
    for call in golden.calls:
        outputs = network.part(call.part)(call.inputs)
        for name, expected in call.outputs.items():
            if name not in outputs:
                raise GateError(f"{what}: the network has the outputs {sorted(outputs)}; {name!r} is missing.")
            try:
                error = number.distance(expected, outputs[name])
            except GateError as error_:
                raise GateError(f"{what}: network output {name!r} {error_}.") from None
            worst[name] = max(worst.get(name, 0.0), error)
            if error > form.network:
                raise GateError(
                    f"{what}: network output {name!r} differs from Keras by {error:.2g} "
                    f"({form.network:.0e} is allowed)."
                )
    return worst


def check_answer(task: Task, golden: Golden, answer: Answer, form: Format, what: str) -> dict[str, float]:
    """Asks the golden request, from bytes to labels; the difference at each response port.

    Raises:
        GateError: The answer is not Keras'.
    """
    differences = compare(task, golden.response, answer(golden.request), what)
    ports = {port.name: port for port in task.response}
    for name, difference in differences.items():
        limit = form.allowed(ports[name])
        if not difference <= limit:
            raise GateError(
                f"{what}: the answer's {name!r} differs from Keras by {difference:.3g} ({limit} is allowed)."
            )
    return differences


def compare(task: Task, expected: Tensors, got: Tensors, what: str) -> dict[str, float]:
    """The difference at each response port, in the unit of its media, or as the task itself compares.

    Raises:
        GateError: A port is missing, or holds what cannot be compared.
    """
    missing = sorted(set(expected) - set(got))
    if missing:
        raise GateError(f"{what}: the answer has no {', '.join(missing)}.")
    own = getattr(task, "compare", None)
    name = "answer"
    try:
        if own is not None:
            return own(expected, got)
        differences = {}
        for port in task.response:
            name = port.name
            differences[name] = codecs.of(port).distance(expected[name], got[name])
        return differences
    except GateError as error:
        raise GateError(f"{what}: {name} {error}.") from None


def check(
    several: Mapping[str, Task],
    goldens: Mapping[str, Golden],
    network: Network,
    form: Format,
    what: str,
    part: str | None = None,
) -> dict[str, float]:
    """Both gates of every task: the network's calls, and the answers from bytes on.

    Args:
        part: The one that the artefact holds; only its calls are asked then.
    """  # fmt: skip
    differences: dict[str, float] = {}
    for index, (name, task) in enumerate(several.items()):
        golden = goldens[name]
        if part is not None and len(task.parts) > 1:
            calls = tuple(call for call in golden.calls if call.part == part)
            found = check_network(Golden(golden.request, golden.response, calls), network, form, what)
        else:
            found = check_network(golden, network, form, what)
            found |= check_answer(task, golden, answering(task, network, form, name if index else None), form, what)
        differences |= {key: max(value, differences.get(key, 0.0)) for key, value in found.items()}
    return differences


def distances(
    several: Mapping[str, Task], goldens: Mapping[str, Golden], network: Network, form: Format, what: str
) -> dict[str, float]:
    """How far the artefact's answers lie from the goldens, where no limit is set to that."""
    anything = dataclasses.replace(form, network=float("inf"), answer=_Endless())
    limits = anything if form.rounded else form
    return check(several, goldens, network, limits, what)


class _Endless(dict[str, float]):
    def get(self, key: str, default: Any = None) -> Any:
        return float("inf")


def answering(task: Task, network: Network, form: Format, name: str | None) -> Answer:
    """What answers a task: the artefact itself where the whole answer is baked in, else the task on this machine."""
    if form.whole:
        return network.part(name or ANSWER)
    return lambda request: task.answer(network, request)


ANSWER = "serving_default"
"""The signature of a bundle that gives the default task's whole answer; other tasks have one of their own name."""


def main(path: str, goldens: str, form: str) -> dict[str, float]:
    """Checks an artefact in this process."""
    from kerazoo.engines import open_network
    from kerazoo.export.golden import load

    chosen = ROWS[form]
    network, card = open_network(chosen.engine, Path(path))
    return check(card.tasks, load(goldens), network, chosen, Path(path).name, card.part)
