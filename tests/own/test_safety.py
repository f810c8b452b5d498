"""A SavedModel is a program: what it could reach is looked at before TensorFlow opens it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kerazoo import loading
from kerazoo.engines import safety
from kerazoo.engines.savedmodel import open_saved_model, parsed
from kerazoo.errors import UsageError
from kerazoo.own.cards import card
from tests.own import files

STATED: dict[str, Any] = {"labels": files.LABELS, "size": 24, "ends": "logits"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_writes_files_is_refused_until_it_is_trusted(tmp_path: Path, home: Path) -> None:
    written = tmp_path / "written.txt"
    folder = files.hub(tmp_path / "net", writes=str(written))
    with pytest.raises(UsageError, match="WriteFile .in __inference_.*\n.*--trust"):
        card(folder, tmp_path / "mine", **STATED)
    assert not written.exists() and not (tmp_path / "mine").exists() and not home.exists()
    made = card(folder, tmp_path / "mine", trust=True, **STATED)
    assert written.exists()  # It does what it was said to do.
    written.unlink()
    # The copy has the same graph, and this machine has been told.
    assert loading.load(made)(files.picture("red")).top(1)[0][0] == "red"


def test_a_card_does_not_make_it_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "written.txt"
    made = card(files.hub(tmp_path / "net", writes=str(written)), tmp_path / "mine", trust=True, **STATED)
    written.unlink()
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "another machine"))
    with pytest.raises(UsageError, match="was not opened"):
        loading.load(made)
    assert not written.exists()
    assert loading.load(made, trust=True)(files.picture("red")).top(1)[0][0] == "red"


def test_trust_is_of_one_graph(tmp_path: Path) -> None:
    folder = files.hub(tmp_path / "net", writes=str(tmp_path / "one.txt"))
    other = files.hub(tmp_path / "other", writes=str(tmp_path / "two.txt"))
    open_saved_model(folder, trust=True)
    open_saved_model(folder)
    with pytest.raises(UsageError, match="was not opened"):
        open_saved_model(other)


def _of_version_1(folder: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        y = tf.matmul(x, v1.get_variable("kernel", [3, 2]))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def _with_tables(folder: Path) -> None:
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = tf.lookup.KeyValueTensorInitializer(["a"], [1])
            self.table = tf.lookup.StaticHashTable(pairs, 0)
            self.growing = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)
            self.kernel = tf.Variable([1.0])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, words: Any) -> Any:
            return {"ids": self.table.lookup(words), "noise": tf.random.normal([2])}

    net = Net()
    tf.saved_model.save(net, str(folder), signatures=net.__call__)


def _of_keras(folder: Path) -> None:
    files.keras_model().export(str(folder), verbose=False)


HARMLESS: dict[str, Callable[[Path], Any]] = {
    "TensorFlow 1": _of_version_1,
    "tables and random numbers": _with_tables,
    "Keras": _of_keras,
    "TF-Hub": files.hub,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_models_are_opened(kind: str, tmp_path: Path) -> None:
    HARMLESS[kind](tmp_path / "net")
    assert safety.refused(parsed(tmp_path / "net")) == {}


REACHING: dict[str, Callable[[Any, Any], Any]] = {
    "ReadFile": lambda tf, x: tf.strings.length(tf.io.read_file("/etc/hostname")),
    "MatchingFiles": lambda tf, x: tf.size(tf.io.matching_files("/*")),
    "EagerPyFunc": lambda tf, x: tf.py_function(lambda: 1.0, [], tf.float32),
    "PrintV2": lambda tf, x: tf.print("x", output_stream="file:///tmp/nothing"),
    "RestoreV2": lambda tf, x: tf.raw_ops.RestoreV2(
        prefix="/nothing", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    ),
    "SaveV2": lambda tf, x: tf.raw_ops.SaveV2(
        prefix="/nothing", tensor_names=["a"], shape_and_slices=[""], tensors=[x]
    ),
    "TextLineDataset": lambda tf, x: tf.data.TextLineDataset("/etc/hostname").reduce(0, lambda n, line: n + 1),
    "DebugIdentityV2": lambda tf, x: tf.raw_ops.DebugIdentityV2(input=x, debug_urls=["file:///tmp/nothing"]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", REACHING)
@pytest.mark.parametrize("nested", [False, True])
def test_what_reaches_further_is_refused_however_deep(op: str, nested: bool, tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function
    def inner(x: Any) -> Any:
        REACHING[op](tf, x)
        return x

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2])])
        def __call__(self, x: Any) -> Any:
            if nested:
                tf.cond(tf.reduce_sum(x) > 0, lambda: inner(x), lambda: x)
            else:
                REACHING[op](tf, x)
            return {"y": x * 2}

    net = Net()
    tf.saved_model.save(net, str(tmp_path / "net"), signatures=net.__call__)
    assert op in safety.refused(parsed(tmp_path / "net"))


def test_the_savers_own_half_may_do_nothing_else(tmp_path: Path) -> None:
    """What restores variables is run by every loader: there, saving is refused, and so is a file operation."""
    from google.protobuf import text_format

    files.hub(tmp_path / "net")
    saved = parsed(tmp_path / "net")
    graph = saved.meta_graphs[0]
    restore = graph.saver_def.restore_op_name
    called = next(node for node in graph.graph_def.node if node.name == restore).attr["f"].func.name
    for op in ("WriteFile", "MergeV2Checkpoints"):
        again = type(saved).FromString(saved.SerializeToString())
        library = again.meta_graphs[0].graph_def.library.function
        function = next(each for each in library if each.signature.name == called)
        text_format.Parse(f'name: "added" op: "{op}"', function.node_def.add())
        assert safety.refused(again) == {op: called}


def test_a_model_in_pieces_is_not_looked_into(tmp_path: Path) -> None:
    files.hub(tmp_path / "net")
    (tmp_path / "net" / safety.SPLIT).write_bytes(b"what TensorFlow would take first")
    with pytest.raises(UsageError, match="which is not looked into"):
        open_saved_model(tmp_path / "net")


def test_the_list_of_allowed_operations_is_held_against_tensorflows_own() -> None:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as session

    listed = op_def_pb2.OpList.FromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    known = {op.name: op for op in listed.op}
    assert safety.allowed() <= set(known), safety.allowed() - set(known)
    assert not safety.allowed() & (safety.SAVE | safety.RESTORE)
    text = Path(str(safety.__file__)).with_name("allowed_ops.txt").read_text(encoding="utf-8")
    stateless, _, stateful = text.partition("# With state")
    wrong = [word for word in stateless.partition("state.")[2].split() if known[word].is_stateful]
    assert not wrong, f"have state: {wrong}"
    names = re.compile(r"file|Rpc|PyFunc|Dataset|Iterator|Socket|Server|Debug|Remote|Send|Recv|Proto|Custom", re.I)
    suspect = [op for op in safety.allowed() if names.search(op)]
    assert not suspect
    paths = re.compile(r"file|path|url|dir|address|token|mlir", re.I)
    for op in safety.allowed():
        told = {each.name for each in (*known[op].attr, *known[op].input_arg) if paths.search(each.name)}
        assert told <= {"direction", "top_paths"}, f"{op} takes {told}"


@pytest.mark.parametrize("where", ["../elsewhere.bin", "/etc/hostname", "deep/../../elsewhere.bin", "link.bin"])
def test_onnx_tensors_stay_in_the_files_folder(where: str, tmp_path: Path) -> None:
    import onnx

    (tmp_path / "there").mkdir()
    (tmp_path / "elsewhere.bin").write_bytes(bytes(4000))
    (tmp_path / "there" / "link.bin").symlink_to(tmp_path / "elsewhere.bin")
    path = files.onnx_model(tmp_path / "there" / "net.onnx")
    proto = onnx.load(path)
    tensor = proto.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", where
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(UsageError, match="outside of the file's own folder"):
        card(path, tmp_path / "mine.onnx", **STATED)


def test_a_key_with_more_bytes_than_it_needs_is_a_key(tmp_path: Path) -> None:
    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    key = b"\x0a\x88\x00location"  # 8 in two bytes.
    elsewhere = field(8, b"w") + field(13, key + field(2, b"../elsewhere.bin")) + b"\x70\x01"
    path = files.onnx_model(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes() + field(7, field(5, elsewhere)))
    with pytest.raises(UsageError, match="outside of the file's own folder"):
        safety.check_onnx(path)


def test_a_file_that_only_has_the_word_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    path = files.onnx_model(tmp_path / "net.onnx")
    proto = onnx.load(path)
    proto.metadata_props.add(key="vocabulary", value="a\nlocation\n")
    path.write_bytes(proto.SerializeToString())
    parsed: list[str] = []
    monkeypatch.setattr(onnx, "load", lambda path, **options: parsed.append(path))
    assert safety.check_onnx(path) == [] and not parsed
