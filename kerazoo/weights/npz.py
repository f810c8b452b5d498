"""NumPy's `.npz`: one array a variable, named by its path. Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged

ABOUT = "NumPy .npz with an array for each variable path"

EXPANSION = 20
"""Weights never shrink this much when compressed; a file that declares more is refused before memory is taken."""


def recognises(path: Path, head: bytes) -> bool:
    if not head.startswith(b"PK"):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def read(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        declared = sum(member.file_size for member in members)
        if declared > EXPANSION * path.stat().st_size:
            raise WeightsDamaged(f"it declares {declared} bytes, more than so small a file can hold.")
        arrays = {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
        if len(arrays) != len(members):
            raise WeightsDamaged("it holds two arrays of the same name.")
        return arrays


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = header(file)
        if dtype.kind not in "fiu":
            raise UsageError(f"Array {name} holds {dtype}, not numbers.")
        if math.prod(shape) * dtype.itemsize + file.tell() != member.file_size:
            raise WeightsDamaged(f"array {name} says it is {shape} of {dtype}, but is not that long.")
        data = np.frombuffer(file.read(), dtype)
    return data.reshape(shape, order="F" if by_columns else "C")
