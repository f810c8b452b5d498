"""Planetoid's eight files, written here byte by byte as Python 2 pickled the published ones."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from kerazoo.errors import InputError
from kerazoo.train.data import graph, planetoid

FIRST = np.array([[0.25, 0, 0.5], [0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
TESTED = np.array([[0, 0, 1.0], [2.0, 0, 0]])
KNOWN = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
NEIGHBOURS = {0: [1, 2], 1: [0], 2: [0, 2], 3: [6, 6], 6: [3], 4: [], 5: []}


def whole(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def array(values: np.ndarray, dtype: str) -> bytes:
    """What Python 2's NumPy pickled of an array, instruction by instruction."""
    data = values.astype(f"<{dtype}").tobytes()
    shape = b"(" + b"".join(map(whole, values.shape)) + b"t"
    kind = b"cnumpy\ndtype\n" + text(dtype) + b"K\x00K\x01\x87R(K\x03" + text("<") + b"NNN" + whole(-1) * 2 + b"K\x00tb"
    begun = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
    return begun + b"(K\x01" + shape + kind + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"


def sparse(matrix: np.ndarray) -> bytes:
    rows, columns = np.nonzero(matrix)
    bounds = np.concatenate([[0], np.cumsum(np.count_nonzero(matrix, axis=1))])
    items = {
        "format": text("csr"),
        "_shape": whole(matrix.shape[0]) + whole(matrix.shape[1]) + b"\x86",
        "indptr": array(bounds, "i4"),
        "indices": array(columns, "i4"),
        "maxprint": b"K2",
        "data": array(matrix[rows, columns], "f8"),
    }
    return (
        b"cscipy.sparse.csr\ncsr_matrix\n)\x81}("
        + b"".join(text(name) + value for name, value in items.items())
        + b"ub"
    )


def neighbours(table: dict[int, list[int]]) -> bytes:
    rows = (whole(node) + b"](" + b"".join(map(whole, others)) + b"e" for node, others in table.items())
    return b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(" + b"".join(rows) + b"u"


def written(folder: Path, **changed: bytes) -> Path:
    parts = {
        "x": sparse(FIRST[:2]), "allx": sparse(FIRST), "tx": sparse(TESTED), "y": array(KNOWN[:2], "i4"),
        "ally": array(KNOWN, "i4"), "ty": array(KNOWN[:2], "i4"), "graph": neighbours(NEIGHBOURS), **changed,
    }  # fmt: skip
    for part, data in parts.items():
        (folder / f"ind.pubmed.{part}").write_bytes(b"\x80\x02" + data + b".")
    (folder / "ind.pubmed.test.index").write_text("6\n4\n")
    return folder / "ind.pubmed.graph"


def test_the_published_files_are_a_graph_with_its_split(tmp_path: Path) -> None:
    found, splits = planetoid.read(written(tmp_path))
    # Number 5 is in no file: a node of its own, as Citeseer has some.
    expected = np.concatenate([FIRST, TESTED[1:], np.zeros((1, 3)), TESTED[:1]])
    np.testing.assert_array_equal(found["features"], expected.astype(np.float32))
    assert found["labels"].tolist() == [0, 1, 0, 1, 1, -1, 0]
    assert found["edges"].tolist() == [[0, 1], [0, 2], [3, 6]]
    assert {name: rows.tolist() for name, rows in splits.items()} == {
        "train_idx": [0, 1], "val_idx": [2, 3], "test_idx": [4, 6],
    }  # fmt: skip
    # What trains and evaluates takes any of the eight as the graph.
    again, _ = graph.read(tmp_path / "ind.pubmed.test.index")
    np.testing.assert_allclose(again["features"].sum(1), [1, 0, 1, 1, 1, 0, 1])


@pytest.mark.parametrize(
    ("part", "data", "words"),
    [
        ("allx", sparse(FIRST[:3]), "do not fit each other"),
        ("tx", sparse(TESTED[:, :2]), "do not fit each other"),
        ("ally", array(KNOWN[:, 0], "i4"), r"must be \[nodes, classes\]"),
        ("allx", array(FIRST, "f8"), "no sparse matrix"),
        ("y", sparse(FIRST), "no array of numbers"),
        ("graph", neighbours({0: [7]}), "nodes 0 to 7; there are 0 to 6"),
        ("graph", b"]", "do not fit"),
        ("graph", neighbours({0: [1]})[:-5], "no pickle of numbers"),
        ("graph", b"cposix\nsystem\n" + text("touch owned") + b"\x85R", "posix.system, which graphs never need"),
        ("ty", b"K\x01", "no array of numbers"),
    ],
)
def test_what_is_none_says_so(tmp_path: Path, part: str, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        planetoid.read(written(tmp_path, **{part: data}))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "ind.pubmed.allx").unlink()
    with pytest.raises(InputError, match=r"ind\.pubmed\.allx"):
        planetoid.read(path)


def test_the_bytes_here_are_what_pickle_reads() -> None:
    """The writer above is held to Python's own reader."""
    np.testing.assert_array_equal(pickle.loads(b"\x80\x02" + array(FIRST, "f8") + b".", encoding="latin1"), FIRST)
