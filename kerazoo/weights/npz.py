"""NumPy's `.npz`: one array a variable, named by its path. Nothing is ever unpickled.

Bounds: those of `_zip` and `_arrays`; an array's header is as long as NumPy allows, 10,000 bytes, and must account for
its member to the byte.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import _zip
from kerazoo.weights._arrays import Arrays, count

ABOUT = "NumPy .npz with an array for each variable path"


def recognises(path: Path, head: bytes) -> bool:
    names = _zip.names(path) if head.startswith(_zip.SIGNATURE) else []
    return bool(names) and all(name.endswith(".npy") for name in names)


def read(path: Path) -> dict[str, np.ndarray]:
    arrays = Arrays()
    with _zip.opened(path) as archive:
        for member in archive.infolist():
            arrays.add(member.filename.removesuffix(".npy"), _array(archive, member))
    return arrays


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = header(file)
        if dtype.kind not in "fiu":
            raise UsageError(f"Array {name} holds {dtype}, not numbers.")
        if count(name, shape) * dtype.itemsize + file.tell() != member.file_size:
            raise WeightsDamaged(f"array {name} says it is {shape} of {dtype}, but is not that long.")
        data = np.frombuffer(file.read(), dtype)
    return data.reshape(shape, order="F" if by_columns else "C")
