"""The pickles of PyTorch's files as descriptions of tensors, without unpickling.

Unpickling runs whatever the pickle asks for. Here the few instructions that a state dict consists of are interpreted
one by one; every name outside the table below ends the reading.

Bounds: `LONGEST_PICKLE` bytes and `MOST_INSTRUCTIONS`, against which the items of a list count as often as it is gone
through; keys and names are plain text (an object of a few bytes that holds itself many times over has a text of any
length); shapes as in `_arrays`.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights._arrays import BRAIN, HIGHEST_RANK, LONGEST_LENGTH

LONGEST_PICKLE = 16 << 20
MOST_INSTRUCTIONS = 1 << 20
"""Fifty describe a tensor; each can leave an object of some hundred bytes."""

HIGHEST_KEY = 1 << 31
"""Optimisers number their parameters; longer numbers can be chosen such that a dict never tells them apart."""

STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": BRAIN,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}
REBUILDERS = {
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "collections OrderedDict",
}


@dataclass(frozen=True)
class _Name:
    """A name from the table of what a pickle may mention."""

    text: str


@dataclass
class Storage:
    kind: str
    key: str
    count: int
    data: np.ndarray | None = None


@dataclass(frozen=True)
class Tensor:
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()


def interpret(file: IO[bytes], size: int, storages: dict[str, Storage]) -> Any:
    """The object of the pickle at the file's position, which moves behind it; storages that it mentions are noted."""
    machine = _Machine(storages)
    # Python's own decoder only takes the instructions apart.
    bounded = cast(IO[bytes], _Bounded(file, min(size, LONGEST_PICKLE)))
    for instruction, argument, _ in pickletools.genops(bounded):
        if instruction.name == "STOP":
            return machine.result()
        machine.spend(1)
        machine.run(instruction.name, argument)
    raise WeightsDamaged("the description ends too early")


class _Bounded:
    """A file that gives no more than a description may have, whatever length it is asked for."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file = file
        self.left = most

    def read(self, size: int) -> bytes:
        return self._counted(self.file.read(min(size, self.left + 1)))

    def readline(self) -> bytes:
        return self._counted(self.file.readline(self.left + 1))

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise UsageError(f"The file's description is longer than {LONGEST_PICKLE >> 20} MiB; it is no state dict.")
        return data


class _Machine:
    def __init__(self, storages: dict[str, Storage]) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages = storages
        self.left = MOST_INSTRUCTIONS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise UsageError(f"The file's description takes more than {MOST_INSTRUCTIONS} steps; it is no state dict.")

    def result(self) -> Any:
        if len(self.stack) != 1:
            raise WeightsDamaged("the description leaves more than one object")
        return self.stack[0]

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise WeightsDamaged("the description uses more objects than there are")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        items: list[Any] = []
        while self.stack:
            item = self.stack.pop()
            if item is _MARK:
                return items[::-1]
            items.append(item)
        raise WeightsDamaged("the description ends a list that it never began")

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise WeightsDamaged(f"the description adds to something that is no {kind.__name__}")
        return self.stack[-1]

    def run(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise UsageError(f"The file uses the pickle instruction {name}, which weights never need; it is refused.")


def _named(text: str) -> _Name:
    module, _, name = text.partition(" ")
    if text in REBUILDERS or (module in ("torch", "torch.cuda") and name in STORAGES):
        return _Name(text)
    raise UsageError(f"The file asks for {module}.{name}, which weights never need; it is refused.")


def _global(machine: _Machine, argument: str) -> None:
    machine.stack.append(_named(argument))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise WeightsDamaged("the description asks for a name that is no text")
    machine.stack.append(_named(f"{module} {name}"))


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.top(dict)
    if len(items) % 2:
        raise WeightsDamaged("the description sets a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Keys are never compared by code of theirs, and never nested.
        if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < HIGHEST_KEY):
            raise UsageError(f"The file uses a {type(key).__name__} as a name; it is no state dict.")
        target[key] = value


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def action(machine: _Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(items[::-1]))

    return action


def _append(machine: _Machine, _: Any) -> None:
    item = machine.pop()
    machine.top(list).append(item)


def _appends(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.top(list).extend(items)


def _put(machine: _Machine, index: int) -> None:
    item = machine.pop()
    machine.stack.append(item)
    machine.memo[index] = item


def _memoize(machine: _Machine, _: Any) -> None:
    _put(machine, len(machine.memo))


def _get(machine: _Machine, index: int) -> None:
    if index not in machine.memo:
        raise WeightsDamaged("the description recalls what it never stored")
    machine.stack.append(machine.memo[index])


def _persistent(machine: _Machine, _: Any) -> None:
    """`("storage", type, key, location, count)`, and `None` after it in the older container."""
    item = machine.pop()
    if not isinstance(item, tuple) or len(item) not in (5, 6) or item[0] != "storage" or item[5:] not in ((), (None,)):
        raise UsageError("The file refers to something that is no storage of its own; save model.state_dict() alone.")
    kind, key, count = item[1], item[2], item[4]
    if not isinstance(kind, _Name) or not kind.text.endswith("Storage") or not isinstance(key, str):
        raise WeightsDamaged("a storage has no type or no name")
    if type(count) is not int or not 0 <= count <= LONGEST_LENGTH:
        raise WeightsDamaged("a storage has no length")
    storage = Storage(kind.text.partition(" ")[2], key, count)
    known = machine.storages.setdefault(key, storage)
    if (known.kind, known.count) != (storage.kind, storage.count):
        raise WeightsDamaged(f"storage {key} is described in two ways")
    machine.stack.append(known)


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, name = machine.pop(), machine.pop()
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise WeightsDamaged("the description calls something that has no name")
    if name.text == "collections OrderedDict" and len(arguments) <= 1:
        machine.stack.append(OrderedDict())
        # Python 2 wrote the pairs as one list.
        pairs = arguments[0] if arguments else []
        if not isinstance(pairs, list):
            raise WeightsDamaged("a dictionary is made of something that is no list")
        machine.spend(len(pairs))
        for pair in pairs:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise WeightsDamaged("a dictionary is made of something that is no pair")
            _set_items(machine, list(pair))
    elif name.text == "torch._utils _rebuild_parameter" and arguments and isinstance(arguments[0], Tensor):
        machine.stack.append(arguments[0])
    elif name.text.startswith("torch._utils _rebuild_tensor") and len(arguments) >= 4:
        storage, offset, shape, strides = arguments[:4]
        whole = isinstance(shape, tuple) and isinstance(strides, tuple)
        if not isinstance(storage, Storage) or not whole or not len(shape) == len(strides) <= HIGHEST_RANK:
            raise WeightsDamaged("a tensor is described wrongly")
        if any(type(n) is not int or not 0 <= n <= LONGEST_LENGTH for n in (offset, *shape, *strides)):
            raise WeightsDamaged(f"a tensor of rank {len(shape)} has negative or endless lengths")
        machine.stack.append(Tensor(storage, offset, shape, strides))
    else:
        raise WeightsDamaged(f"the description calls {name.text} wrongly")


def _build(machine: _Machine, _: Any) -> None:
    """State dicts carry `_metadata` as an attribute; it says nothing about the numbers."""
    machine.pop()
    machine.top(OrderedDict)


_VALUES = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINSTRING",
    "SHORT_BINSTRING",
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": _append,
    "APPENDS": _appends,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _memoize,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "BINPERSID": _persistent,
    "REDUCE": _reduce,
    "BUILD": _build,
}
