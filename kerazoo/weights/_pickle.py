"""The pickles of PyTorch's files as descriptions of tensors, without unpickling.

Unpickling runs whatever the pickle asks for. Here the few instructions that a state dict consists of are interpreted
one by one; every name that the dialect does not have ends the reading.

Bounds: the dialect's `longest` bytes and `MOST_INSTRUCTIONS`, against which the items of a list count as often as it is
gone through; keys and names are plain text (an object of a few bytes that holds itself many times over has a text of
any length); shapes as in `_arrays`.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights._arrays import BRAIN, HIGHEST_RANK, LONGEST_LENGTH

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
class Name:
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


@dataclass(frozen=True)
class Dialect:
    """What the pickles of one kind of file may say.

    Attributes:
        longest: Bytes of a pickle at the most.
        knows: Whether a name, module and name with a space between, may be mentioned.
        call: What stands for the result where a name is called: of the machine, the name and its arguments.
        complete: Gives the object that was made last the state that stands behind it.
    """

    longest: int
    knows: Callable[[str], bool]
    call: Callable[[Machine, str, tuple[Any, ...]], Any]
    complete: Callable[[Machine, Any], None]


def interpret(file: IO[bytes], size: int, storages: dict[str, Storage], dialect: Dialect | None = None) -> Any:
    """The object of the pickle at the file's position, which moves behind it; storages that it mentions are noted.

    Args:
        dialect: `TENSORS` where it is not given.
    """
    dialect = dialect or TENSORS
    machine = Machine(storages, dialect)
    # Python's own decoder only takes the instructions apart.
    bounded = cast(IO[bytes], _Bounded(file, min(size, dialect.longest)))
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
        self.most = most
        self.left = most

    def read(self, size: int) -> bytes:
        return self._counted(self.file.read(min(size, self.left + 1)))

    def readline(self) -> bytes:
        return self._counted(self.file.readline(self.left + 1))

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise UsageError(f"The file's description is longer than {self.most >> 20} MiB; it is no state dict.")
        return data


class Machine:
    """The stack and the memory that the instructions work on."""

    def __init__(self, storages: dict[str, Storage], dialect: Dialect) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages = storages
        self.dialect = dialect
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


def _global(machine: Machine, argument: str) -> None:
    if not machine.dialect.knows(argument):
        asked = ".".join(argument.split(" ", 1))
        raise UsageError(f"The file asks for {asked}, which weights never need; it is refused.")
    machine.stack.append(Name(argument))


def _stack_global(machine: Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise WeightsDamaged("the description asks for a name that is no text")
    _global(machine, f"{module} {name}")


def _set_items(machine: Machine, items: list[Any]) -> None:
    if len(items) % 2:
        raise WeightsDamaged("the description sets a key without a value")
    _enter(machine.top(dict), zip(items[::2], items[1::2], strict=True))


def _enter(target: dict[Any, Any], pairs: Iterable[Any]) -> None:
    for key, value in pairs:
        # Keys are never compared by code of theirs, and never nested.
        if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < HIGHEST_KEY):
            raise UsageError(f"The file uses a {type(key).__name__} as a name; it is no state dict.")
        target[key] = value


def _set_item(machine: Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _tuple(count: int) -> Callable[[Machine, Any], None]:
    def action(machine: Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(items[::-1]))

    return action


def _append(machine: Machine, _: Any) -> None:
    item = machine.pop()
    machine.top(list).append(item)


def _appends(machine: Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.top(list).extend(items)


def _put(machine: Machine, index: int) -> None:
    item = machine.pop()
    machine.stack.append(item)
    machine.memo[index] = item


def _memoize(machine: Machine, _: Any) -> None:
    _put(machine, len(machine.memo))


def _get(machine: Machine, index: int) -> None:
    if index not in machine.memo:
        raise WeightsDamaged("the description recalls what it never stored")
    machine.stack.append(machine.memo[index])


def _persistent(machine: Machine, _: Any) -> None:
    """`("storage", type, key, location, count)`, and `None` after it in the older container."""
    item = machine.pop()
    if not isinstance(item, tuple) or len(item) not in (5, 6) or item[0] != "storage" or item[5:] not in ((), (None,)):
        raise UsageError("The file refers to something that is no storage of its own; save model.state_dict() alone.")
    kind, key, count = item[1], item[2], item[4]
    if not isinstance(kind, Name) or not kind.text.endswith("Storage") or not isinstance(key, str):
        raise WeightsDamaged("a storage has no type or no name")
    if type(count) is not int or not 0 <= count <= LONGEST_LENGTH:
        raise WeightsDamaged("a storage has no length")
    storage = Storage(kind.text.partition(" ")[2], key, count)
    known = machine.storages.setdefault(key, storage)
    if (known.kind, known.count) != (storage.kind, storage.count):
        raise WeightsDamaged(f"storage {key} is described in two ways")
    machine.stack.append(known)


def _reduce(machine: Machine, _: Any) -> None:
    arguments, name = machine.pop(), machine.pop()
    if not isinstance(name, Name) or not isinstance(arguments, tuple):
        raise WeightsDamaged("the description calls something that has no name")
    machine.stack.append(machine.dialect.call(machine, name.text, arguments))


def _build(machine: Machine, _: Any) -> None:
    state = machine.pop()
    machine.dialect.complete(machine, state)


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
_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
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


# --- tensors of PyTorch ---------------------------------------------------------------------------------------------


def _knows(text: str) -> bool:
    module, _, name = text.partition(" ")
    return text in REBUILDERS or (module in ("torch", "torch.cuda") and name in STORAGES)


def _call(machine: Machine, name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "collections OrderedDict" and len(arguments) <= 1:
        # Python 2 wrote the pairs as one list.
        pairs = arguments[0] if arguments else []
        if not isinstance(pairs, list):
            raise WeightsDamaged("a dictionary is made of something that is no list")
        machine.spend(len(pairs))
        if any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs):
            raise WeightsDamaged("a dictionary is made of something that is no pair")
        made: OrderedDict[Any, Any] = OrderedDict()
        _enter(made, pairs)
        return made
    if name == "torch._utils _rebuild_parameter" and arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    if name.startswith("torch._utils _rebuild_tensor") and len(arguments) >= 4:
        storage, offset, shape, strides = arguments[:4]
        whole = isinstance(shape, tuple) and isinstance(strides, tuple)
        if not isinstance(storage, Storage) or not whole or not len(shape) == len(strides) <= HIGHEST_RANK:
            raise WeightsDamaged("a tensor is described wrongly")
        if any(type(n) is not int or not 0 <= n <= LONGEST_LENGTH for n in (offset, *shape, *strides)):
            raise WeightsDamaged(f"a tensor of rank {len(shape)} has negative or endless lengths")
        return Tensor(storage, offset, shape, strides)
    raise WeightsDamaged(f"the description calls {name} wrongly")


def _complete(machine: Machine, _: Any) -> None:
    """State dicts carry `_metadata` as an attribute; it says nothing about the numbers."""
    machine.top(OrderedDict)


TENSORS = Dialect(longest=16 << 20, knows=_knows, call=_call, complete=_complete)
