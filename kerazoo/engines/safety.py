"""Files of strangers: TensorFlow runs a SavedModel as a program, so what it could reach is looked at before.

A SavedModel may read and write files, open sockets and start processes by operations in its graph. Those that reach
nothing but tensors stand in `allowed_ops.txt`; others are refused, wherever in the graph they stand, unless a person
trusts the file. What saves and restores variables is allowed to the saver alone, which signatures cannot reach.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import mmap
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo import store
from kerazoo.errors import UsageError
from kerazoo.store.paths import writing

FILE = "saved_model.pb"
SPLIT = "saved_model.cpb"
"""What TensorFlow takes before `FILE`, for models of more than 2 GB."""

RESTORE = frozenset({"Restore", "RestoreSlice", "RestoreV2"})
SAVE = frozenset({"MergeV2Checkpoints", "Save", "SaveSlices", "SaveV2", "ShardedFilename", "ShardedFilespec"})
"""Operations of the saver's own halves."""

INITIAL = ("saved_model_main_op", "legacy_init_op")
"""Collections of graphs of TensorFlow 1 that name what is run when they are loaded."""


@functools.cache
def allowed() -> frozenset[str]:
    """Names of the operations that reach nothing but tensors."""
    text = importlib.resources.files(__package__).joinpath("allowed_ops.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def refused(saved: Any) -> dict[str, str]:
    """Operations of a parsed `SavedModel` message that reach more than tensors: name -> where it stands."""
    found: dict[str, str] = {}
    for graph in saved.meta_graphs:
        parts = _Graph(graph)
        restored = parts.reached([graph.saver_def.restore_op_name])
        used = parts.reached(_roots(graph))
        for place, op in parts.everything():
            savers = RESTORE if place in restored else RESTORE | SAVE
            if op in parts.functions or op in allowed() or (op in savers and place not in used):
                continue
            found.setdefault(op, place[0] or "the graph")
    return found


Place = tuple[str, str]
"""A function's name and nothing, since functions run as a whole; or nothing and the name of a node of the graph."""


@dataclass
class _Graph:
    """The nodes of a graph and its functions."""

    graph: Any
    nodes: Mapping[str, Any] = field(init=False)
    functions: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.graph.graph_def.node}
        self.functions = {each.signature.name: each for each in self.graph.graph_def.library.function}

    def everything(self) -> Iterator[tuple[Place, str]]:
        """Every operation, and where it stands."""
        yield from ((("", node.name), node.op) for node in self.graph.graph_def.node)
        for name, function in self.functions.items():
            yield from (((name, ""), node.op) for node in function.node_def)

    def reached(self, roots: Iterable[str]) -> set[Place]:
        """Places that run when nodes of the graph, or functions, are asked for."""
        seen: set[Place] = set()
        todo = [place for root in roots for place in self._places(_plain(root))]
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            function, name = place
            for node in self.functions[function].node_def if function else [self.nodes[name]]:
                # An operation called `StatefulPartitionedCall` is not the node of that name.
                todo += [(called, "") for called in _called(node) if called in self.functions]
                todo += [("", name) for name in map(_plain, () if function else node.input) if name in self.nodes]
        return seen

    def _places(self, name: str) -> list[Place]:
        return [("", name)] * (name in self.nodes) + [(name, "")] * (name in self.functions)


def _plain(text: str) -> str:
    return text.removeprefix("^").partition(":")[0]


def _called(node: Any) -> Iterator[str]:
    """Functions that a node may call."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (each.name for each in value.list.func)


def _roots(graph: Any) -> Iterator[str]:
    """What can be asked of a graph, but for its saver: signatures, what initialises it, functions of its objects."""
    for signature in graph.signature_def.values():
        for tensor in (*signature.outputs.values(), *signature.inputs.values()):
            yield tensor.name
    for name in INITIAL:
        yield from graph.collection_def[name].node_list.value if name in graph.collection_def else ()
    yield from graph.object_graph_def.concrete_functions


def check_saved_model(folder: Path, saved: Any) -> None:
    """Whether TensorFlow may open a SavedModel.

    Args:
        folder: Where it lies.
        saved: Its parsed `SavedModel` message.

    Raises:
        UsageError: It could reach more than tensors, and is not trusted on this machine.
    """
    found = {SPLIT: "which is not looked into"} if (folder / SPLIT).exists() else refused(saved)
    if found and not is_trusted(folder):
        shown = ", ".join(f"{op} (in {place})" for op, place in sorted(found.items())[:4])
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        raise UsageError(
            f"{folder} was not opened: it holds operations that can reach files, the network or other code:\n"
            f"{shown}{more}.\n"
            "If you know who made it, --trust (in Python trust=True) opens it, and this machine remembers that."
        )


def _marker(folder: Path) -> Path:
    digest = hashlib.sha256()
    for name in (FILE, SPLIT):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return store.home() / "trusted" / digest.hexdigest()


def is_trusted(folder: Path) -> bool:
    """Whether a person of this machine trusts the graph in a folder, by its sha256."""
    return _marker(folder).is_file()


def trust(folder: Path) -> None:
    """Remembers in the cache that the graph in a folder is trusted; copies of it are too, other graphs are not."""
    marker = _marker(folder)
    with writing(marker):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(f"{folder}\n", encoding="utf-8")


def check_onnx(path: Path) -> list[Path]:
    """The other files in which an ONNX file keeps some of its tensors, all of which lie in its folder.

    Raises:
        UsageError: It names a file elsewhere.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if not _names_files(data):
                return []  # Most files: they need not be parsed.
    except (OSError, ValueError):
        return []  # Nothing to be opened; onnxruntime says so.
    import onnx

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf's errors; what is no ONNX, onnxruntime refuses.
        return []
    others: set[Path] = set()
    for tensor in _tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = next((each.value for each in tensor.external_data if each.key == "location"), "")
        inside = posixpath.normpath(where.replace("\\", "/"))
        if inside.startswith(("/", "..")) or ":" in inside or not _within(path.parent, path.parent / inside):
            raise UsageError(
                f"{path} was not opened: its tensor {tensor.name!r} lies in {where!r}, "
                "outside of the file's own folder."
            )
        others.add(path.parent / inside)
    return sorted(others)


def _names_files(data: mmap.mmap) -> bool:
    """Whether the key of such a name stands in a file: `location` after the last byte of its length, 8.

    A length may be written with more bytes than it needs, of which the last is 0. The word alone proves nothing:
    vocabularies have it, too.
    """
    at = -1
    while (at := data.find(b"location", at + 1)) >= 0:
        if at and data[at - 1] in (0, 8):
            return True
    return False


def _within(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _tensors(proto: Any) -> Iterator[Any]:
    """Every tensor of a model: initial values, attributes of nodes, subgraphs and functions."""
    from google.protobuf.message import Message

    todo: list[Any] = [proto]
    while todo:
        message = todo.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            yield message
            continue
        for _, value in message.ListFields():
            several = value if not isinstance(value, (Message, str, bytes, int, float)) else [value]
            todo += [each for each in several if isinstance(each, Message)]
