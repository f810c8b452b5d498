"""Keras' HDF5 files: the layout of the official weights (`.h5`), and that of Keras 3 (`.weights.h5`, `.keras`).

Both hold a group a layer with its arrays in the order of the layer's weights, so both come out as `layer/array` and are
matched by layer name and order.

Bounds: those of `_zip` for `.keras`; of an HDF5 file, `MOST` arrays, their declared bytes at most `EXPANSION` times
what is stored of each and of the whole file; blocks of texts that lie one after the other; one file, without links out
of it. HDF5's own library holds to none, so it first reads the file in a process of its own, with `ROOM` bytes of memory
more than the file could need and a time that grows with its size.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import _zip
from kerazoo.weights._arrays import EXPANSION, MOST

if TYPE_CHECKING:
    import h5py
    import keras as keras_

ABOUT = "Keras .h5, .weights.h5 or .keras"

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAP = b"GCOL\x01\0\0\0"
"""Signature, version and zeros that a block of texts begins with."""

INSIDE = "model.weights.h5"
"""The member of a `.keras` archive that holds the weights."""


def recognises(path: Path, head: bytes) -> bool:
    return head.startswith(SIGNATURE) or (head.startswith(_zip.SIGNATURE) and INSIDE in _zip.names(path))


def read(path: Path) -> dict[str, np.ndarray]:
    """`layer/array` in file order. A layer that has no name in the file gets that of its group, after `layers.`."""
    _try_elsewhere(path)
    return load(path)


def _try_elsewhere(path: Path) -> None:
    """Reads the file in a process of its own first.

    HDF5's library trusts what it reads: of all changes of one byte in a small file, one in some thousands ended the
    process or took gigabytes. What happens there happens again here, so what was read there can be read here.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        # There is no interpreter to start.
        return
    size = path.stat().st_size
    command = [sys.executable, "-c", _TRIAL, json.dumps(sys.path), str(path), str(ROOM + 8 * size)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    try:
        ran = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60 + size / 5e6
        )
    except subprocess.TimeoutExpired:
        raise WeightsDamaged("HDF5's library does not come to an end with it") from None
    except OSError:
        # Where no process can be started, the file is read without this precaution.
        return
    if ran.returncode == 0:
        return
    said = ran.stdout.decode(errors="replace").strip()
    if ran.returncode == REFUSED:
        raise UsageError(said)
    raise WeightsDamaged(said if ran.returncode == DAMAGED else "HDF5's library breaks down over it")


ROOM = 1 << 30
"""Bytes of memory that reading may take beside the arrays themselves."""

REFUSED, DAMAGED = 17, 18
"""Exit statuses of the trial."""

_TRIAL = f"""
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pathlib import Path
from kerazoo.errors import UsageError
from kerazoo.weights import keras_h5
keras_h5.limit_memory(int(sys.argv[3]))
try:
    keras_h5.load(Path(sys.argv[2]))
except UsageError as error:
    print(error)
    sys.exit({REFUSED})
except Exception as error:
    print(" ".join(str(error).split()) or type(error).__name__)
    sys.exit({DAMAGED})
"""


def limit_memory(more: int) -> None:
    """Lets this process take `more` bytes than it has, where the system can hold it to that."""
    import h5py  # noqa: F401  (what it takes itself does not count)

    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, OSError, ValueError):
        return


def load(path: Path) -> dict[str, np.ndarray]:
    """What `read` does, in this process alone."""
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) == SIGNATURE:
            return _read(file, path.stat().st_size)
    with _zip.opened(path) as archive:
        member = archive.getinfo(INSIDE)
        return _read(io.BytesIO(archive.read(member)), member.file_size)


def _read(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    import h5py

    _check_heaps(file)
    with h5py.File(file, "r") as root:
        _refuse_links(root)
        group = root["model_weights"] if "layer_names" not in root.attrs and "model_weights" in root else root
        stored = _legacy(group) if any(_names(group, "layer_names")) else _keras3(group)
        found = dict(itertools.islice(stored, MOST + 1))
        if not found:
            raise UsageError("The file holds no arrays.")
        if len(found) > MOST:
            raise WeightsDamaged(f"it holds more than {MOST} arrays.")
        _refuse_bombs(found, size)
        return {name: _array(dataset) for name, dataset in found.items()}


def _check_heaps(file: IO[bytes]) -> None:
    """Walks the blocks in which HDF5 keeps texts: the library itself never ends on one whose lengths are wrong.

    A block is its signature, its length, and objects of number, references, length and content up to multiples of 8.
    """
    data = file.read()
    file.seek(0)
    start, walked = data.find(HEAP), 0
    while start >= 0:
        (length,) = struct.unpack_from("<Q", data, start + 8)
        end = start + length
        walked += length
        if end > len(data) or walked > len(data):
            raise WeightsDamaged("blocks of texts are longer than the file")
        at = start + 16
        while at + 16 <= end:
            number, size = struct.unpack_from("<H6xQ", data, at)
            # Number 0 is the free rest, whose length counts its own header.
            at += size if number == 0 else 16 + (size + 7) // 8 * 8
            if at > end or (number == 0 and size < 16):
                raise WeightsDamaged("a text is longer than its block")
        start = data.find(HEAP, start + 1)


def _refuse_links(root: h5py.File) -> None:
    """A weight file is one file: what it names must lie inside it."""
    import h5py

    # What the callback returns ends the visit; an exception in it would be lost in the library.
    found = root.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    if found is not None:
        raise UsageError(f"The file links {found} to elsewhere; weights must lie in the file itself.")


def _refuse_bombs(found: Mapping[str, h5py.Dataset], size: int) -> None:
    declared = 0
    for name, dataset in found.items():
        if dataset.external or dataset.is_virtual:
            raise UsageError(f"The file keeps {name} elsewhere; weights must lie in the file itself.")
        if dataset.dtype.kind not in "fiu":
            raise UsageError(f"The file's {name} holds {dataset.dtype}, not numbers.")
        # Arrays that were never written take no room in the file, however large they say they are.
        packed = 1 if dataset.chunks is None else EXPANSION
        if dataset.nbytes > packed * dataset.id.get_storage_size():
            raise WeightsDamaged(f"{name} says it has {dataset.nbytes} bytes, but is not that long.")
        declared += dataset.nbytes
    if declared > EXPANSION * size:
        raise WeightsDamaged(f"it declares {declared} bytes, more than so small a file can hold.")


def _array(dataset: h5py.Dataset) -> np.ndarray:
    return np.asarray(dataset[()])


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; a long one is split over `attribute0`, `attribute1`, ..."""
    parts = [attribute] if attribute in group.attrs else []
    while not parts or parts[0] != attribute:
        part = f"{attribute}{len(parts)}"
        if part not in group.attrs:
            break
        parts.append(part)
    names = [name for part in parts for name in np.asarray(group.attrs[part]).reshape(-1).tolist()]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _legacy(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for layer in _names(group, "layer_names"):
        taken: set[str] = set()
        for weight in _names(group[layer], "weight_names"):
            leaf = unique = weight.removeprefix(f"{layer}/").removesuffix(":0").replace("/", ".")
            while unique in taken:
                unique = f"{leaf}.{len(taken)}"
            taken.add(unique)
            yield f"{layer}/{unique}", group[layer][weight]


def _keras3(root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    layers = root.get("layers", root.get("_layer_checkpoint_dependencies"))
    if layers is None:
        raise UsageError("The HDF5 file holds no layers; it was not saved by Keras.")
    for key, layer in layers.items():
        holders: dict[str, h5py.Group] = {}

        def visit(name: str, item: Any, holders: dict[str, Any] = holders) -> None:
            owner, _, last = f"/{name}".rpartition("/")
            if last == "vars" and len(item) and not owner.endswith(("seed_generator", "_random_generator")):
                holders[owner] = item

        layer.visititems(visit)
        # Keras 3 notes the layer's own name (older ones did not); its groups are named after classes.
        name = layer["vars"].attrs.get("name") if "vars" in layer else None
        name = f"layers.{key}" if name is None else str(name)
        if len(holders) > 1:
            raise UsageError(f"Layer {name} has layers of its own, whose order the file does not tell; save as .npz.")
        for arrays in holders.values():
            for index in sorted(arrays, key=int):
                yield f"{name}/{index}", arrays[index]


def match(model: keras_.Model, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of a Keras file under the paths of the model's variables.

    Layers are matched by name, arrays by their order in the layer. One last layer may have another name: the official
    files' classifiers were renamed over the years.

    Raises:
        UsageError: A layer has another number of arrays than the file holds for it.
    """
    layers = {layer.name: layer.weights for layer in model.layers if layer.weights}
    alias = {f"layers.{key}": name for key, name in _class_names(model)}
    groups: dict[str, list[np.ndarray]] = {}
    for key, tensor in tensors.items():
        name = key.rpartition("/")[0]
        groups.setdefault(alias.get(name, name), []).append(tensor)
    strange = [name for name in groups if name not in layers]
    absent = [name for name in layers if name not in groups]
    if len(strange) == len(absent) == 1 and absent[0] == list(layers)[-1]:
        shapes = [tuple(weight.shape) for weight in layers[absent[0]]]
        if [tensor.shape for tensor in groups[strange[0]]] == shapes:
            groups[absent[0]] = groups.pop(strange[0])
    found: dict[str, np.ndarray] = {}
    for name, arrays in groups.items():
        weights = layers.get(name)
        if weights is not None and len(weights) != len(arrays):
            raise UsageError(f"The file has {len(arrays)} arrays for layer {name} of {model.name}, not {len(weights)}.")
        paths = [weight.path for weight in weights] if weights else [f"{name}/{index}" for index in range(len(arrays))]
        found |= zip(paths, arrays, strict=True)
    return found


def _class_names(model: keras_.Model) -> Iterator[tuple[str, str]]:
    """Keras 3's name for each layer's group, made from its class and a counter, and the layer's own name."""
    counts: dict[str, int] = {}
    for layer in model.layers:
        word = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        counts[word] = counts.get(word, -1) + 1
        yield (f"{word}_{counts[word]}" if counts[word] else word), layer.name
