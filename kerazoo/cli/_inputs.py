"""What is typed as INPUT, --port and --seed, as the items of requests."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kerazoo import codecs
from kerazoo import inputs as inputs_
from kerazoo.codecs._files import MAX_BYTES
from kerazoo.contract import Port, Task
from kerazoo.errors import InputError, UsageError, near
from kerazoo.inputs import Source
from kerazoo.predictor import make_one_item
from kerazoo.printable import printable


def without_lists(texts: Iterable[str]) -> list[str | Source]:
    """The inputs, with the lines of each @list in its place; lists may name lists.

    Raises:
        UsageError: A list that was typed cannot be read; one that a list names fails in its turn.
    """
    return [each for text in texts for each in _opened(text, ())]


def _opened(text: str, within: tuple[str, ...]) -> Iterator[str | Source]:
    if not is_list(text):
        yield text
        return
    path = os.path.realpath(text[1:])
    if path in within:
        yield inputs_.bad(text, f"The list {printable(text[1:])} names itself.")
        return
    try:
        with open(text[1:], "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    except (OSError, ValueError) as error:
        message = f"The list {printable(text[1:])} cannot be read: {getattr(error, 'strerror', None) or error}"
        if not within:
            raise UsageError(message) from None
        yield inputs_.bad(text, message)
        return
    for line in os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).split("\n"):
        if line.strip():
            yield from _opened(line.removesuffix("\r"), (*within, path))


def is_list(text: str) -> bool:
    return len(text) > 1 and text.startswith("@") and not os.path.lexists(text)


def are_many(texts: Sequence[str], port: Port) -> bool:
    """Whether the answers need their inputs' names."""
    typed = not codecs.of(port).SUFFIXES
    return len(texts) > 1 or any(
        is_list(text) or (text == "-" and typed) or inputs_.stands_for_many(text, port) for text in texts
    )


def check(task: Task, inputs: bool, given: Mapping[str, str], seeds: bool) -> None:
    """Holds what was typed against the ports of the task's request.

    Raises:
        UsageError: A port is unknown, filled twice or not at all.
    """
    names = [port.name for port in task.request]
    for name in given:
        if name not in names:
            raise UsageError(f"No port {name!r}; the request has {', '.join(names)}.{near(name, names)}")
    filled = list(given)
    if inputs:
        if seed_port(task) == names[0]:
            raise UsageError("This model samples: give --seed NUMBER instead of INPUT.")
        filled.append(names[0])
    if seeds:
        seed = seed_port(task)
        if seed is None:
            raise UsageError(f"--seed is for models that sample; this one does {task.kind} and takes INPUT.")
        filled.append(seed)
    if inputs and not given and not seeds and make_one_item(task.request):
        return
    twice = next((name for name in filled if filled.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"The port {twice} is filled twice: INPUT fills {names[0]}, --seed a seed, --port what it names."
        )
    # Where something is asked about, a seed goes without saying; so does a class.
    unsaid = [port.name for port in task.request if hasattr(codecs.of(port), "UNSAID")]
    missing = [name for name in names if name not in filled and name not in unsaid]
    if missing:
        how = " ".join(f"--port {name}=VALUE" if name != names[0] else "INPUT" for name in missing)
        raise UsageError(f"The request has the ports {', '.join(names)}; {', '.join(missing)} lack a value: give {how}")


def seed_port(task: Task) -> str | None:
    """The port that --seed fills."""
    return next((port.name for port in task.request if port.media == "seed"), None)


def category_port(task: Task) -> str | None:
    """The port that --label fills."""
    return next((port.name for port in task.request if port.media == "category"), None)


def requests(
    texts: Iterable[str | Source], task: Task, given: Mapping[str, str], seeds: Sequence[int], recursive: bool
) -> Iterator[Source]:
    """One item a request, read when its turn comes: the sources for the first port, with every seed for each.

    Args:
        given: Port -> value as typed, the same for all.
    """
    first = task.request[0].name
    sources: Iterable[Source | None] = sources_of(texts, task.request[0], recursive)
    if first in given or seed_port(task) == first:
        sources = [None]
    for source in sources:
        if source is not None and not given and not seeds:
            yield source
            continue
        repeated: Sequence[int | None] = seeds or [None]
        for seed in repeated:
            values = {**given, **({str(seed_port(task)): seed} if seed is not None else {})}
            named = [source.label] if source is not None else [f"{name}={value}" for name, value in given.items()]
            if seed is not None and (not named or len(seeds) > 1):
                named.append(f"seed {seed}" if named else str(seed))
            yield Source(", ".join(named), functools.partial(_filled, first, source, values))


def _filled(first: str, source: Source | None, values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values if source is None else {first: source(), **values}


def sources_of(texts: Iterable[str | Source], port: Port, recursive: bool) -> Iterator[Source]:
    """What is typed for one port, folders, patterns and stdin opened."""
    typed = not codecs.of(port).SUFFIXES
    for text in texts:
        if isinstance(text, Source):
            yield text
        elif text == "-":
            yield from _lines() if typed else [Source("-", _stdin)]
        else:
            for each in inputs_.expand(text, port, recursive):
                yield each if isinstance(each, Source) else Source(each, functools.partial(_itself, each))


def _itself(item: str) -> str:
    return item


def _stdin() -> Any:
    if sys.stdin is None:
        raise InputError("There is no standard input.")
    return sys.stdin.buffer


def _lines() -> Iterator[Source]:
    """Standard input, one text a line, as the lines come."""
    file = _stdin()
    while data := file.readline(MAX_BYTES + 1):
        text = data.rstrip(b"\r\n")
        if len(text) > MAX_BYTES:
            yield inputs_.bad("-", f"A line is larger than {MAX_BYTES >> 20} MiB.")
        else:
            line = os.fsdecode(text)
            yield Source(line, functools.partial(_itself, line))
