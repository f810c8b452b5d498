from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs import graph
from kerazoo.errors import InputError
from kerazoo.inputs import expand
from kerazoo.ops import numpy as ops
from kerazoo.ops.pictures import open_image
from kerazoo.tasks._drawing import _bright
from kerazoo.tasks._layout import FEW, _repulsion, layout
from kerazoo.tasks.embed import EmbedNodes
from kerazoo.tasks.nodes import NodeLabels, Nodes, normalised, shares
from tests.tasks.stubs import Stub, again, both

GRAPHS = st.integers(1, 7).flatmap(
    lambda nodes: st.tuples(
        st.just(nodes), st.lists(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), max_size=12)
    )
)


def array(edges):
    return np.array(edges, np.int64).reshape(-1, 2)


@settings(max_examples=60)
@given(GRAPHS)
def test_normalised_adjacency(drawn):
    nodes, edges = drawn
    adjacency = np.eye(nodes)
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1
    root = np.diag(adjacency.sum(0) ** -0.5)
    source, target, weight = normalised(ops, array(edges), nodes)
    sparse = np.zeros((nodes, nodes))
    np.add.at(sparse, (target, source), weight)
    np.testing.assert_allclose(sparse, root @ adjacency @ root, atol=1e-6)
    assert (np.diff(target) >= 0).all()
    assert set(target) == set(range(nodes))


def test_rows_of_features_sum_to_one_unless_they_are_empty():
    np.testing.assert_allclose(shares(ops, np.array([[1, 3], [0, 0]], np.float32)), [[0.25, 0.75], [0, 0]])


TASK = Nodes(("a", "b", "c"), features=3)


def averaged(ops, features, source, target, weight):
    """One propagation of the features, each of which stands for a class."""
    rows = ops.length(features)
    columns = [ops.segment_sum(ops.gather(features[:, column], source) * weight, target, rows) for column in range(3)]
    return {"logits": ops.stack(columns, -1) * 9.0}


@settings(max_examples=15)
@given(GRAPHS)
def test_answer(drawn):
    nodes, edges = drawn
    features = np.random.default_rng(nodes).random((nodes, 3), np.float32)
    host, graph = both(TASK, {"features": features, "edges": array(edges)}, network=averaged)
    np.testing.assert_array_equal(graph["label"], host["label"])
    np.testing.assert_array_equal(graph["index"], host["index"])
    np.testing.assert_allclose(graph["score"], host["score"], rtol=1e-5)
    assert [TASK.labels[index].encode() for index in host["index"]] == host["label"].tolist()
    result = TASK.read(host, 0)
    assert len(result.rows()) == len(result.to_json()["nodes"]) == nodes


@pytest.mark.parametrize(
    ("features", "edges", "words"),
    [
        (np.zeros((0, 3), np.float32), [], "no nodes"),
        (np.zeros((2, 4), np.float32), [], "3 features"),
        (np.zeros((2, 3), np.float32), [(0, 2)], "does not have"),
        (np.zeros((2, 3), np.float32), [(-1, 0)], "does not have"),
    ],
)
def test_what_cannot_be_answered(features, edges, words):
    with pytest.raises(InputError, match=words):
        TASK.answer(Stub(ops, {"network": averaged}), {"features": features, "edges": array(edges)})


def test_card():
    assert again(TASK) == TASK


def test_hidden_units_are_a_task_of_their_own():
    task = EmbedNodes(3, 2)
    features = np.random.default_rng(0).random((4, 3), np.float32)

    def encoder(ops, features, source, target, weight):
        return {"hidden": features[:, :2] * 2.0}

    host, graph = both(task, {"features": features, "edges": array([(0, 1)])}, encoder=encoder)
    np.testing.assert_allclose(host["vectors"], features[:, :2] * 2 / features.sum(1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(graph["vectors"], host["vectors"], rtol=1e-6)
    result = task.read(host, 0)
    assert len(result.rows()) == len(result.to_json()["vectors"]) == 4
    np.testing.assert_array_equal(np.load(io.BytesIO(result.files()["vectors.npy"])), host["vectors"])
    assert again(task) == task


# --- drawing ------------------------------------------------------------------------------------------------------


def two_cliques(size):
    pairs = [(a, b) for a in range(size) for b in range(a)]
    return array([*pairs, *((a + size, b + size) for a, b in pairs), (0, size)])


@pytest.mark.parametrize("size", [4, 20])
def test_what_is_linked_lies_together(size):
    at = layout(two_cliques(size), 2 * size)
    assert at.shape == (2 * size, 2) and at.min() >= 0 and at.max() <= 1
    middles = at[:size].mean(0), at[size:].mean(0)
    spread = max(
        np.linalg.norm(part - middle, axis=1).max()
        for part, middle in zip((at[:size], at[size:]), middles, strict=True)
    )
    assert np.linalg.norm(middles[0] - middles[1]) > spread


def test_the_grid_pushes_as_all_pairs_do():
    at = np.random.default_rng(0).random((FEW + 200, 2)) * 30
    apart = at[:, None] - at[None]
    square = (apart**2).sum(-1, keepdims=True)
    np.fill_diagonal(square[..., 0], np.inf)
    exact, found = (apart / square).sum(1), _repulsion(at)
    # The very next neighbours are blurred by the grid, all others are not.
    assert np.median(np.linalg.norm(found - exact, axis=1)) < 0.1 * np.median(np.linalg.norm(exact, axis=1))


@pytest.mark.parametrize("edges", [[(0, 1), (1, 2), (2, 2)], []])
def test_a_graph_is_drawn_in_the_colours_of_its_classes(edges):
    result = NodeLabels(("a", "c", "c"), (0, 2, 2), (1.0, 1.0, 1.0), ("a", "b", "c")).on({"edges": array(edges)})
    assert list(result.files()) == ["graph.png"]
    seen = {colour for _, colour in open_image(result.files()["graph.png"]).getcolors(2**20)}
    assert {_bright(0), _bright(2)} <= seen and _bright(1) not in seen
    assert result == replace(result, edges=None) and not replace(result, edges=None).files()


# --- files --------------------------------------------------------------------------------------------------------


def npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


FEATURES = np.array([[0, 2, 0], [1, 0, 0]], np.float32)
SPARSE = {
    "x_data": np.array([2, 1], np.float32),
    "x_indices": np.array([1, 0]),
    "x_indptr": np.array([0, 1, 2]),
    "x_shape": np.array([2, 3]),
    "edges": np.array([[0, 1]], np.int32),
}


def networkx(edges, key="edges"):
    """What `networkx.node_link_data` writes; older versions say links."""
    nodes = [{"id": "a", "features": [0, 2, 0]}, {"id": 1, "features": [1, 0, 0], "label": "ü"}]
    return json.dumps({"directed": False, "multigraph": False, "graph": {}, "nodes": nodes, key: edges}).encode()


@pytest.mark.parametrize(
    "data",
    [
        npz(features=FEATURES, edges=array([(0, 1)]), labels=np.zeros(2)),
        npz(**SPARSE),
        json.dumps({"features": FEATURES.tolist(), "edges": [[0, 1]]}).encode(),
        networkx([{"source": "a", "target": 1}]),
        networkx([{"source": "a", "target": 1, "weight": 2}], "links"),
    ],
)
def test_layouts(data):
    found = graph.loads(data)
    np.testing.assert_array_equal(found["features"], FEATURES)
    np.testing.assert_array_equal(found["edges"], [[0, 1]])
    assert (found["features"].dtype, found["edges"].dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 torn", "damaged"),
        (npz(**SPARSE)[:-30], "damaged"),
        (b"{", "neither"),
        (b"\xff\xfe\x00", "neither"),
        (b"[1]", "an object"),
        (b"{}", "features and edges"),
        (b'{"features": [[1], [1, 2]], "edges": []}', "equal length"),
        (b'{"features": [["x"]], "edges": []}', "must be numbers"),
        (b'{"features": [1], "edges": []}', r"\[nodes"),
        (b'{"features": [[NaN]], "edges": []}', "NaN"),
        (b'{"features": [[1]], "edges": [[0, 1]]}', "nodes 0 to 1; there are 0 to 0"),
        (b'{"features": [[1]], "edges": [[0, 0.5]]}', "whole numbers"),
        (b'{"features": [[1]], "edges": [0, 0, 0]}', r"\[count, 2\]"),
        (npz(features=np.array([[object()]], object), edges=array([])), "damaged"),
        (npz(**{**SPARSE, "x_indptr": np.array([0, 3, 2])}), "do not fit"),
        (npz(**{**SPARSE, "x_indices": np.array([1, 3])}), "columns 1 to 3 of 3"),
        (npz(**{**SPARSE, "x_shape": np.array([10**6, 10**6])}), "more than"),
        (npz(**{key: value for key, value in SPARSE.items() if key != "x_indptr"}), "lack x_indptr"),
        (networkx([{"source": "a", "target": "1"}]), 'the node "1", which is not among'),
        (networkx([{"source": "a"}]), "the node null, which"),
        (networkx([["a", 1]]), "edges or links must be a list of objects"),
        (networkx({}, "other"), "edges or links must be"),
        (b'{"nodes": [{"id": 1, "features": [1]}, {"id": 1, "features": [1]}], "links": []}', "the same id"),
        (b'{"nodes": [{"id": "x"}], "links": []}', "the node x has no features"),
        (b'{"nodes": [{"id": [1], "features": [1]}, {"id": 2, "features": [1, 2]}], "links": []}', "equal length"),
    ],
)
def test_files_that_are_no_graph(data, words):
    with pytest.raises(InputError, match=words):
        graph.loads(data, "graph.npz")


NODES = "id,likes,follows,writes\nann,0,2,0\n\n b ,1,0,0\n"


@pytest.mark.parametrize(
    ("edges", "nodes"),
    [("source,target\nann,b\n", NODES), ("ann, b", NODES.partition("\n")[2]), ("\ufeffann,b\r\n", NODES)],
)
@pytest.mark.parametrize("named", ["edges", "nodes"])
def test_a_pair_of_plain_files(tmp_path, edges, nodes, named):
    (tmp_path / "net.edges.csv").write_text(edges, encoding="utf-8")
    (tmp_path / "net.nodes.csv").write_text(nodes, encoding="utf-8")
    found = graph.unpack(tmp_path / f"net.{named}.csv", ())
    np.testing.assert_array_equal(found["features"], FEATURES)
    np.testing.assert_array_equal(found["edges"], [[0, 1]])
    # In a folder a pair is one graph.
    assert list(expand(tmp_path, TASK.request[0])) == [tmp_path / "net.edges.csv"]


def test_a_pair_without_edges(tmp_path):
    (tmp_path / "net.edges.csv").write_text("source,target\n")
    (tmp_path / "net.nodes.csv").write_text("1,0.5\n2,1e3\n")
    found = graph.unpack(str(tmp_path / "net.edges.csv"), ())
    assert found["features"].tolist() == [[0.5], [1000.0]] and found["edges"].shape == (0, 2)


@pytest.mark.parametrize(
    ("edges", "nodes", "words"),
    [
        ("a,b", None, r"No such file: .*net\.nodes\.csv"),
        (None, "a,1", r"No such file: .*net\.edges\.csv"),
        ("a,c", "a,1\nb,2", r"edges\.csv, line 1: the node c is not in .*nodes\.csv"),
        ("a,b\na;b", "a,1\nb,2", "line 2: an edge is two ids with a comma between; here are 1"),
        ("a,b,1", "a,1\nb,2", "here are 3"),
        ("a,b", "a,1\nb,2,3", r"nodes\.csv, line 2: 2 features, in the lines before 1"),
        ("a,b", "a,1\na,2", "line 2: the node a is there already"),
        ("a,b", "a,1\nb,x", "line 2: features must be numbers"),
        ("a,b", "a,1\nb,nan", "NaN or infinity"),
        ("", "", "no nodes"),
        ("", "a\nb", r"\[nodes, values a node\]"),
        ("", b"\xff\xfe", "no .csv file in UTF-8"),
    ],
)
def test_pairs_that_are_no_graph(tmp_path, edges, nodes, words):
    for name, content in (("edges", edges), ("nodes", nodes)):
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / f"net.{name}.csv").write_bytes(data)
    with pytest.raises(InputError, match=words):
        graph.unpack(tmp_path / "net.edges.csv", ())


@pytest.mark.skipif("KERAZOO_TEST_DATA" not in os.environ, reason="KERAZOO_TEST_DATA names no folder of data")
def test_cora():
    found = graph.loads((Path(os.environ["KERAZOO_TEST_DATA"]) / "cora.npz").read_bytes())
    assert found["features"].shape == (2708, 1433)
    assert found["features"].sum() == 49216
    assert len(normalised(ops, found["edges"], 2708)[0]) == 2 * 5278 + 2708
