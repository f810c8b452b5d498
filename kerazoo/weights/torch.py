"""PyTorch's weight files, zip and the older container, without PyTorch and without unpickling.

Both hold the bytes of the storages, and a pickle that says which tensors lie where in them; `_pickle` interprets it.

Bounds: those of `_pickle` for the description, and of `_zip`; each storage is as long as its tensors say, and all
tensors together take `SHARED` times the file at most.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import _zip
from kerazoo.weights._arrays import BRAIN, SHARED, Arrays
from kerazoo.weights._pickle import STORAGES, Storage, Tensor, interpret

ABOUT = "PyTorch state dict .pth"

MAGIC = 0x1950A86A20F9469CFC6C
"""First object of the older container."""

PROTOCOL = 1001
NESTED = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the state dict in a larger checkpoint."""


def recognises(path: Path, head: bytes) -> bool:
    if head.startswith(b"\x80\x02\x8a\n" + MAGIC.to_bytes(10, "little")):
        return True
    names = _zip.names(path) if head.startswith(_zip.SIGNATURE) else []
    return any(name.rpartition("/")[2] == "data.pkl" for name in names)


def read(path: Path) -> dict[str, np.ndarray]:
    """Tensors by their names in the state dict, `module.` of wrapped models taken off."""
    with path.open("rb") as file:
        zipped = file.read(2) == _zip.SIGNATURE
        file.seek(0)
        found = _archive(path) if zipped else _legacy(file, path.stat().st_size)
    named = _state_dict(found)
    total = sum(math.prod(tensor.shape) * np.dtype(STORAGES[tensor.storage.kind]).itemsize for tensor in named.values())
    if total > SHARED * path.stat().st_size:
        raise WeightsDamaged(f"it declares {total} bytes of tensors, more than the file holds.")
    arrays = Arrays()
    for name, tensor in named.items():
        arrays.add(name, _array(name, tensor))
    return arrays


def _archive(path: Path) -> Any:
    with _zip.opened(path, packed=False) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise UsageError(f"The archive holds {len(pickles)} files data.pkl; a state dict has one.")
        folder = pickles[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in members and archive.read(order) != b"little":
            raise UsageError("The file was written on a big-endian machine; only little-endian ones can be read.")
        storages: dict[str, Storage] = {}
        with archive.open(pickles[0]) as source:
            found = interpret(source, members[pickles[0]].file_size, storages)
        for key, storage in storages.items():
            data = archive.read(f"{folder}data/{key}")
            storage.data = _elements(storage, data)
        return found


def _legacy(file: IO[bytes], size: int) -> Any:
    storages: dict[str, Storage] = {}
    if interpret(file, size, {}) != MAGIC or interpret(file, size, {}) != PROTOCOL:
        raise UsageError("The file is a pickle, but not PyTorch's container.")
    system = interpret(file, size, {})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UsageError("The file was written on a big-endian machine; only little-endian ones can be read.")
    found = interpret(file, size, storages)
    keys = interpret(file, size, {})
    # Lists of what may be anything are not compared as wholes: what they hold may hold itself many times over.
    listed = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not listed or sorted(keys) != sorted(storages):
        raise WeightsDamaged("the list of storages differs from those that the tensors use")
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise WeightsDamaged(f"storage {key} has {count} elements, its tensors say {storage.count}")
        length = count * np.dtype(STORAGES[storage.kind]).itemsize
        if length > size - file.tell():
            raise WeightsDamaged(f"the file ends within storage {key}")
        storage.data = _elements(storage, file.read(length))
    if file.read(1):
        raise WeightsDamaged("bytes follow after the last storage")
    return found


def _elements(storage: Storage, data: bytes) -> np.ndarray:
    array = np.frombuffer(data, STORAGES[storage.kind])
    if len(array) != storage.count:
        raise WeightsDamaged(f"storage {storage.key} has {len(array)} elements, its tensors say {storage.count}")
    return array.astype("<f4") if STORAGES[storage.kind] == BRAIN else array


def _state_dict(found: Any) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            break
    if not isinstance(found, dict) or not found:
        raise UsageError(f"The file holds no state dict (nor one under {', '.join(NESTED)}).")
    named: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise UsageError(f"The file's {str(name)[:80]!r} is no tensor; save model.state_dict() alone.")
        named[str(name).removeprefix("module.")] = tensor
    if len(named) != len(found):
        raise WeightsDamaged("two tensors have the same name")
    return named


def _array(name: str, tensor: Tensor) -> np.ndarray:
    data, shape, strides = tensor.storage.data, tensor.shape, tensor.strides
    if data is None:
        raise WeightsDamaged(f"tensor {name} has no storage")
    if math.prod(shape) == 0:
        return np.zeros(shape, data.dtype)
    last = tensor.offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if last >= len(data) or math.prod(shape) > len(data):
        raise WeightsDamaged(f"tensor {name} reaches beyond its storage")
    steps = [stride * data.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(data[tensor.offset :], shape, steps, writeable=False)


__all__ = ["ABOUT", "read", "recognises"]
