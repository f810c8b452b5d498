"""Planetoid's files of a citation graph, read without unpickling anything but numbers.

A graph NAME lies in eight files of one folder, as Yang, Cohen and Salakhutdinov published Cora, Citeseer and Pubmed
with "Revisiting Semi-Supervised Learning with Graph Embeddings" (ICML 2016, arXiv:1603.08861), and as Kipf and
Welling's code reads them: `ind.NAME.allx` and `ind.NAME.tx` are the features of the first and of the test nodes, sparse
matrices of SciPy; `ally` and `ty` their classes, one-hot; `x` and `y` the part of `allx` and `ally` that is learnt
from; `graph` maps each node to its neighbours, and `test.index` says in plain text which numbers the rows of `tx` have.

The pickles are of Python 2. Every name in them outside `_NAMES` ends the reading, and what these names make are records
of this module, so that no code of a file's choice runs.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs._files import read_file
from kerazoo.codecs.graph import MAX_VALUES, dense
from kerazoo.errors import InputError
from kerazoo.printable import printable

PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")

HELD = 500
"""Nodes behind those that are learnt from, by which a training is judged."""


def is_one(path: Path) -> bool:
    """Whether a path is called like one of the eight files."""
    return path.name.startswith("ind.") and path.name.split(".", 2)[-1] in PARTS


def read(path: Path) -> tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]:
    """The graph that the path, one of its eight files, belongs to.

    Numbers that `test.index` leaves out, as Citeseer's does, are nodes without features, edges and class.

    Returns:
        `features` float32 [nodes, F], `edges` int64 [n, 2] without loops and each once, `labels` int64 [nodes], -1
        where there is none; and `train_idx`, `val_idx` and `test_idx`.

    Raises:
        InputError: A file is missing, is no such pickle, or does not fit the others; the message says which.
    """
    files = {part: path.with_name(f"ind.{path.name.split('.', 2)[1]}.{part}") for part in PARTS}
    try:
        asked = np.array(read_file(files["test.index"]).split(), np.int64)
    except ValueError:
        raise InputError(f"{files['test.index']} must hold numbers of nodes, one a line.") from None
    first, tested = (_rows(files[part]) for part in ("allx", "tx"))
    known, theirs = (_classes(files[part]) for part in ("ally", "ty"))
    learnt, neighbours = len(_classes(files["y"])), _opened(files["graph"])
    where = f"{path.parent}: the files of {path.name.split('.', 2)[1]}"
    start, width = len(first), first.shape[1]
    fits = (
        (len(known), len(tested), len(theirs)) == (start, len(asked), len(asked))
        and tested.shape[1] == width
        and 0 < learnt <= start
        and len(asked) == len(np.unique(asked)) > 0
        and asked.min() >= start
    )
    if not fits or not isinstance(neighbours, dict):
        raise InputError(f"{where} do not fit each other.")
    nodes = int(asked.max()) + 1
    if nodes * width > MAX_VALUES:
        raise InputError(f"{where} are features of {nodes} x {width}, more than {MAX_VALUES} values.")
    features = np.zeros((nodes, width), np.float32)
    features[:start], features[asked] = first, tested
    labels = np.full(nodes, -1, np.int64)
    labels[:start], labels[asked] = known, theirs
    splits = {"train_idx": np.arange(learnt), "val_idx": np.arange(learnt, min(learnt + HELD, start))}
    found = {"features": features, "edges": _edges(neighbours, nodes, where), "labels": labels}
    return found, {**splits, "test_idx": np.sort(asked)}


def _edges(neighbours: Mapping[Any, Any], nodes: int, where: str) -> np.ndarray:
    try:
        rows = [(int(node), int(other)) for node, others in neighbours.items() for other in others]
    except (TypeError, ValueError):
        raise InputError(f"{where}: the graph must map numbers of nodes to lists of them.") from None
    pairs = np.array(rows, np.int64).reshape(-1, 2)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= nodes):
        raise InputError(f"{where}: edges name the nodes {pairs.min()} to {pairs.max()}; there are 0 to {nodes - 1}.")
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


class _Kind:
    """What stands for NumPy's type of numbers."""

    def __init__(self, name: str = "", *_: Any) -> None:
        self.name = str(name)

    def __setstate__(self, state: Any) -> None:
        self.order = "".join(str(each) for each in state[1:2] if each in ("<", ">"))


class _Array:
    """What stands for NumPy's array; its numbers are only bytes until `numbers` looks at them."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Sparse:
    """What stands for SciPy's compressed sparse rows: attributes by name."""


_NAMES: Mapping[str, Callable[..., Any]] = {
    "numpy.core.multiarray _reconstruct": _Array,
    "numpy._core.multiarray _reconstruct": _Array,
    "numpy ndarray": _Array,
    "numpy dtype": _Kind,
    "scipy.sparse.csr csr_matrix": _Sparse,
    "scipy.sparse._csr csr_matrix": _Sparse,
    "collections defaultdict": lambda *_: {},
    "__builtin__ list": list,
    "builtins list": list,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in _NAMES:
            raise InputError(f"asks for {module}.{name}, which graphs never need; it is refused")
        return _NAMES[f"{module} {name}"]


def _opened(path: Path) -> Any:
    try:
        return _Unpickler(io.BytesIO(read_file(path)), encoding="latin1").load()
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path} {error}.") from None
    except Exception as error:  # Unpickling raises whatever the stand-ins do.
        raise InputError(f"{path} is no pickle of numbers: {printable(str(error), 100)}") from None


def _numbers(value: Any, path: Path) -> np.ndarray:
    """The array that a stand-in describes."""
    try:
        _, shape, kind, fortran, data = value.state
        dtype = np.dtype(f"{kind.order}{kind.name}")
        if dtype.kind not in "iuf":
            raise ValueError(dtype)
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    except (AttributeError, TypeError, ValueError, UnicodeError):
        raise InputError(f"{path} holds no array of numbers.") from None


def _classes(path: Path) -> np.ndarray:
    """One-hot rows as numbers of classes, -1 where a row is empty."""
    hot = _numbers(_opened(path), path)
    if hot.ndim != 2 or not hot.shape[1]:
        raise InputError(f"{path} must be [nodes, classes].")
    return np.where(hot.any(1), hot.argmax(1), -1)


def _rows(path: Path) -> np.ndarray:
    """Compressed sparse rows as a matrix."""
    found = _opened(path)
    if not isinstance(found, _Sparse):
        raise InputError(f"{path} is no sparse matrix.")
    own = vars(found)
    parts = {f"x_{name}": _numbers(own.get(name), path) for name in ("data", "indices", "indptr")}
    return dense({**parts, "x_shape": own.get("_shape", ())}, str(path))
