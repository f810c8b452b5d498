"""Graphs: from an .npz or a .json file, or a pair of .csv files, to features and edges."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs import number
from kerazoo.codecs._files import read_bytes
from kerazoo.contract import Port
from kerazoo.errors import InputError
from kerazoo.printable import printable

EDGES, NODES = ".edges.csv", ".nodes.csv"
"""Ends of the names of the two files of a graph in plain text; either stands for both, in a folder the first."""

SUFFIXES: tuple[str, ...] = (".npz", ".json", EDGES)
MIME = None

read = number.read
plain = number.plain
example = number.example
distance = number.distance

MAX_VALUES = 2**28
"""Most feature values that a compressed file may unfold to (1 GiB of float32)."""


def unpack(item: Any, ports: Sequence[Port]) -> Mapping[str, Any]:
    """A graph file, its bytes or an open file to a value for each of a graph's ports; see `loads` and `pair`.

    Raises:
        InputError: It is no graph.
    """
    if isinstance(item, (str, Path)) and str(item).lower().endswith((EDGES, NODES)):
        return pair(item)
    data = read_bytes(item, "A graph")
    if data is None:
        raise InputError(
            f"A graph is a mapping or an .npz, .json or {EDGES} file of features and edges; not {type(item).__name__}."
        )
    return loads(data, str(item) if isinstance(item, (str, Path)) else "The graph")


def loads(data: bytes, name: str = "The graph") -> dict[str, np.ndarray]:
    """The bytes of a graph file to the arrays of a request.

    Three layouts are read. Plain: `features` [nodes, F] and `edges` [n, 2], pairs of node numbers in any order; both as
    .npz and as .json with nested lists. Sparse (.npz): `edges`, and the features as the compressed sparse rows
    `x_data`, `x_indices`, `x_indptr` and `x_shape`. NetworkX' (.json, as its `node_link_data` makes it): `nodes`, each
    with its `id` and its `features`, and `edges` or `links` from one `id` to another. Other keys are ignored.

    Args:
        data: An .npz (zip) file or JSON in UTF-8.
        name: What messages call it.

    Returns:
        `features` float32 [nodes, F] and `edges` int64 [n, 2].

    Raises:
        InputError: It is neither, a key is missing, or the arrays do not fit; the message says which.
    """
    return arrays(_open(data, name), name)


def _open(data: bytes, name: str) -> Mapping[str, Any]:
    if not data:
        raise InputError(f"{name} is empty (0 bytes).")
    if data[:2] != b"PK":
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name} is neither an .npz file nor JSON: {error}") from None
        if not isinstance(found, dict):
            raise InputError(f'{name} must hold an object {{"features": ..., "edges": ...}}.')
        return _plain(found, name) if "nodes" in found else found
    wanted = ("features", "edges", "x_data", "x_indices", "x_indptr", "x_shape")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # A tiny file can unfold to gigabytes; its own table of contents says so beforehand.
            if sum(entry.file_size for entry in archive.infolist()) > 4 * MAX_VALUES + 2**26:
                raise InputError(f"{name} unfolds to more than {MAX_VALUES >> 18} MiB.")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {key: stored[key] for key in wanted if key in stored.files}
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each raise their own.
        raise InputError(f"{name} is a damaged .npz file: {error}") from None


def _plain(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """NetworkX' layout as the plain one: nodes are numbered in their order."""
    nodes, links = found["nodes"], found.get("edges", found.get("links"))
    for key, rows in (("nodes", nodes), ("edges or links", links)):
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{name}: {key} must be a list of objects, as NetworkX' node_link_data writes them.")
    lacks = next((row.get("id") for row in nodes if "features" not in row), None)
    if lacks is not None:
        raise InputError(f"{name}: the node {printable(str(lacks), 60)} has no features, a list of numbers.")
    # Hashable whatever JSON holds; 1 and "1" are two nodes.
    numbers = {json.dumps(row.get("id")): number for number, row in enumerate(nodes)}
    if len(numbers) < len(nodes):
        raise InputError(f"{name}: two nodes have the same id, or none.")
    edges = []
    for link in links:
        ends = [json.dumps(link.get(end)) for end in ("source", "target")]
        unknown = next((end for end in ends if end not in numbers), None)
        if unknown is not None:
            raise InputError(f"{name}: an edge names the node {printable(unknown, 60)}, which is not among its nodes.")
        edges.append([numbers[end] for end in ends])
    return {"features": [row["features"] for row in nodes], "edges": edges}


def pair(item: str | Path) -> dict[str, np.ndarray]:
    """A graph in two files of plain text, `NAME.edges.csv` and `NAME.nodes.csv` beside it, as `loads` gives it.

    Each line of `NAME.nodes.csv` is a node: its id, any text, and its features, numbers with commas between. Each line
    of `NAME.edges.csv` is an edge: two ids. A first line that begins with `id`, or is `source,target`, is a heading.
    Nodes are numbered in the order of their file.

    Args:
        item: The path or address of either.

    Raises:
        InputError: One is missing, a line does not fit, or an edge names no node; the message says which.
    """
    stem = str(item)[: -len(EDGES)]  # Both ends are as long.
    edges, nodes = f"{stem}{EDGES}", f"{stem}{NODES}"
    numbers: dict[str, int] = {}
    rows: list[np.ndarray] = []
    for place, (own, *values) in _lines(nodes):
        if not rows and own.lower() == "id":
            continue
        try:
            rows.append(np.array(values, np.float32))
        except ValueError as error:
            raise InputError(f"{nodes}, line {place}: features must be numbers: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise InputError(f"{nodes}, line {place}: {len(rows[-1])} features, in the lines before {len(rows[0])}.")
        if numbers.setdefault(own, len(numbers)) != len(rows) - 1:
            raise InputError(f"{nodes}, line {place}: the node {printable(own, 60)} is there already.")
    found: list[tuple[int, int]] = []
    for place, ends in _lines(edges):
        if not found and [end.lower() for end in ends] == ["source", "target"]:
            continue
        if len(ends) != 2:
            raise InputError(f"{edges}, line {place}: an edge is two ids with a comma between; here are {len(ends)}.")
        unknown = next((end for end in ends if end not in numbers), None)
        if unknown is not None:
            raise InputError(f"{edges}, line {place}: the node {printable(unknown, 60)} is not in {nodes}.")
        found.append((numbers[ends[0]], numbers[ends[1]]))
    if not rows:
        raise InputError(f"{nodes} holds no nodes.")
    return arrays({"features": np.stack(rows), "edges": np.array(found, np.int64).reshape(-1, 2)}, stem)


def _lines(name: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a .csv file that are not empty, and their numbers from 1 on."""
    try:
        text = (read_bytes(name, "A graph") or b"").decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""))
        for row in lines:
            if row:
                yield lines.line_num, [field.strip() for field in row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name} is no .csv file in UTF-8: {error}") from None


def arrays(found: Mapping[str, Any], name: str = "The graph") -> dict[str, np.ndarray]:
    """`loads` for what is already opened: a mapping of arrays or nested lists."""
    if "edges" not in found or not ("features" in found or "x_data" in found):
        raise InputError(f"{name} must hold features and edges; it holds {', '.join(map(str, found)) or 'nothing'}.")
    features = _numbers(found["features"], "features", name) if "features" in found else dense(found, name)
    if features.ndim != 2 or 0 in features.shape:
        raise InputError(f"{name}: features must be [nodes, values a node]; they are {list(features.shape)}.")
    if not np.isfinite(features).all():
        raise InputError(f"{name}: features hold NaN or infinity.")
    edges = _numbers(found["edges"], "edges", name)
    if edges.size == 0:
        edges = edges.reshape(0, 2)
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise InputError(f"{name}: edges must be [count, 2]; they are {list(edges.shape)}.")
    if not np.array_equal(edges, np.rint(edges)):
        raise InputError(f"{name}: edges must be whole numbers.")
    edges = edges.astype(np.int64, copy=False)
    if edges.size and (edges.min() < 0 or edges.max() >= len(features)):
        raise InputError(
            f"{name}: edges name the nodes {edges.min()} to {edges.max()}; there are 0 to {len(features) - 1}."
        )
    return {"features": features.astype(np.float32, copy=False), "edges": edges}


def _numbers(value: Any, key: str, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name}: {key} must be rows of equal length.") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: {key} must be numbers; they are {array.dtype}.")
    return array


def dense(found: Mapping[str, Any], name: str) -> np.ndarray:
    """Compressed sparse rows (`x_data`, `x_indices`, `x_indptr`, `x_shape`) as a matrix, float32 [nodes, F]."""
    parts = ("x_data", "x_indices", "x_indptr", "x_shape")
    missing = [key for key in parts if key not in found]
    if missing:
        raise InputError(f"{name}: sparse features lack {', '.join(missing)}.")
    data, columns, bounds, shape = (_numbers(found[key], key, name) for key in parts)
    # Whole numbers first: sizes and places of any other kind would be cut off unsaid.
    if shape.shape != (2,) or any(array.dtype.kind not in "iu" for array in (columns, bounds, shape)):
        raise InputError(f"{name}: x_indices, x_indptr and x_shape must be whole numbers, x_shape two of them.")
    rows, width = (int(side) for side in shape)
    if rows < 1 or width < 1 or rows * width > MAX_VALUES:
        raise InputError(f"{name}: features {rows} x {width} are more than {MAX_VALUES} values, or none.")
    places = bounds.astype(np.int64)
    counts: np.ndarray = places[1:] - places[:-1]
    fits = bounds.shape == (rows + 1,) and bounds[0] == 0 and (counts >= 0).all() and bounds[-1] == len(data)
    if not fits or data.ndim != 1 or columns.shape != data.shape:
        raise InputError(f"{name}: x_indptr, x_indices and x_data do not fit {rows} rows.")
    if columns.size and (columns.min() < 0 or columns.max() >= width):
        raise InputError(f"{name}: x_indices name the columns {columns.min()} to {columns.max()} of {width}.")
    whole = np.zeros((rows, width), np.float32)
    np.add.at(whole, (np.repeat(np.arange(rows), counts), columns), data)
    return whole
