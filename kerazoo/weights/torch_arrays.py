"""PyTorch's containers that hold NumPy arrays instead of tensors, several in an archive, such as a package is.

A dict of arrays that `torch.save` was given has no storages of its own: the numbers stand in the pickle, in protocol 2
as text of one letter a byte. `_pickle` interprets it; of NumPy's names only those that make arrays of plain numbers are
known. An array has the name of its container, without the ending, before its own: `voice/conv.weight`.

Bounds: those of `_zip` for the archive and for each container in it, which must not be compressed once more, and of
`_pickle`; a pickle is as long as `LONGEST` at the most, and its texts become numbers once, an instruction for `PIECE`
bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import _arrays, _zip
from kerazoo.weights._pickle import Dialect, Machine, Name, interpret

ABOUT = "archive of PyTorch files with NumPy arrays .whl"

ENDING = ".ckpt"
PICKLE = "/data.pkl"
LONGEST = 1 << 28
PIECE = 64
TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1")


@dataclass
class _Type:
    code: str
    order: str = ""


@dataclass
class _Array:
    data: bytes = b""
    kind: str = ""
    shape: tuple[int, ...] = ()


def recognises(path: Path, head: bytes) -> bool:
    if not head.startswith(_zip.SIGNATURE) or not any(name.endswith(ENDING) for name in _zip.names(path)):
        return False
    with _zip.opened(path) as archive:
        # TensorFlow's checkpoints of old have the same ending, and are no archives themselves.
        first = next(member for member in archive.infolist() if member.filename.endswith(ENDING))
        with archive.open(first) as member:
            return member.read(len(_zip.SIGNATURE)) == _zip.SIGNATURE


def read(path: Path) -> dict[str, np.ndarray]:
    """Arrays by `container/name`."""
    arrays = _arrays.Arrays()
    with _zip.opened(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(ENDING):
                container = member.filename.rpartition("/")[2].removesuffix(ENDING)
                for name, array in _dict(io.BytesIO(archive.read(member))).items():
                    arrays.add(f"{container}/{name}", array)
    return arrays.some()


def _dict(file: io.BytesIO) -> dict[str, np.ndarray]:
    with _zip.opened(file, packed=False) as container:
        pickles = [member for member in container.infolist() if member.filename.endswith(PICKLE)]
        if len(pickles) != 1:
            raise UsageError(f"The archive holds {len(pickles)} files data.pkl; a dict of arrays has one.")
        with container.open(pickles[0]) as source:
            found = interpret(source, pickles[0].file_size, {}, ARRAYS)
    if not isinstance(found, dict):
        raise UsageError("The file holds no dict of arrays.")
    made = {}
    for name, array in found.items():
        if not isinstance(name, str) or not isinstance(array, _Array) or not array.kind:
            raise UsageError(f"The file's {str(name)[:80]!r} is no array.")
        made[name] = _arrays.array(name, array.data, array.kind, array.shape)
    return made


def _call(machine: Machine, name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "numpy dtype" and arguments and isinstance(arguments[0], str) and arguments[0] in TYPES:
        return _Type(arguments[0])
    if name == "_codecs encode" and len(arguments) == 2 and arguments[1] == "latin1" and isinstance(arguments[0], str):
        machine.spend(len(arguments[0]) // PIECE)
        return arguments[0].encode("latin1")
    if name.endswith("multiarray _reconstruct") and arguments and arguments[0] == Name("numpy ndarray"):
        return _Array()
    raise WeightsDamaged(f"the description calls {name} wrongly")


def _complete(machine: Machine, state: Any) -> None:
    """A type is given its byte order, an array its shape, its type and its numbers."""
    made = machine.pop()
    machine.stack.append(made)
    if not isinstance(state, tuple):
        raise WeightsDamaged("the description completes an object with something that is no state")
    if isinstance(made, _Type) and len(state) > 1 and state[1] in ("<", "|"):
        made.order = state[1]
    elif isinstance(made, _Array) and len(state) == 5 and state[3] is False:
        _, shape, kind, _, data = state
        if not isinstance(kind, _Type) or not kind.order or not isinstance(data, bytes):
            raise WeightsDamaged("an array is described wrongly")
        if not isinstance(shape, tuple) or any(type(side) is not int for side in shape):
            raise WeightsDamaged("an array has a shape of something that is no number")
        made.data, made.kind, made.shape = data, kind.order + kind.code, shape
    else:
        raise WeightsDamaged("an array is described in a way that is not known here")


NAMES = {
    "_codecs encode",
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
}
ARRAYS = Dialect(longest=LONGEST, knows=NAMES.__contains__, call=_call, complete=_complete)
