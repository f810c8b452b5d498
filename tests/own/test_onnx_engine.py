"""How onnxruntime is opened for a model's own inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo import seal
from kerazoo.codecs._wordpiece import WordPiece, placeholder
from kerazoo.engines.card import KEY, Card
from kerazoo.engines.onnx import OnnxNetwork, open_network, open_sessions
from kerazoo.errors import KerazooError
from kerazoo.own.cards import card
from kerazoo.tasks.embed import Embed
from tests.own import files

SLEEPS = "session.force_spinning_stop"


def sleeps(network: Any) -> bool:
    own = getattr(network, "inner", network)
    assert isinstance(own, OnnxNetwork)
    (session,) = own.sessions.values()
    try:
        return session.get_session_options().get_session_config_entry(SLEEPS) == "1"
    except RuntimeError:  # There is no such entry.
        return False


def of_texts(path: Path) -> Path:
    """A network that gives back what it is asked, with a card that says that it is asked texts."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Cast", ["tokens"], ["embedding"], to=TensorProto.FLOAT)], "texts",
        [helper.make_tensor_value_info("tokens", TensorProto.INT32, ["n", 4])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4])],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    told = Card("texts:mine", {"embed": Embed(WordPiece(placeholder(60), 4, padded=True), 4)})
    metadata = {KEY: told.dumps(), **{f"{KEY}/{name}": data.decode() for name, data in told.files().items()}}
    helper.set_model_props(proto, metadata)
    onnx.save(proto, str(path))
    seal.seal_onnx(path)
    return path


def test_threads_sleep_while_pictures_are_decoded_and_wait_awake_for_texts(tmp_path: Path) -> None:
    net = files.onnx_model(tmp_path / "net.onnx")
    assert sleeps(open_network(card(net, tmp_path / "mine.onnx", labels=files.LABELS, size=24, ends="logits"))[0])
    network, told = open_network(of_texts(tmp_path / "texts.onnx"))
    assert told.model == "texts:mine" and not sleeps(network)


def test_products_of_bytes_add_up_on_every_processor(tmp_path: Path) -> None:
    """Without VNNI two of the largest do not fit into the 16 bits that onnxruntime adds them in, unless it is asked."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.full((64, 16), 127, np.int8), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["bytes", "weights"], ["sums"])], "largest",
        [helper.make_tensor_value_info("bytes", TensorProto.UINT8, [1, 64])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, [1, 16])], [weights],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "net.onnx"
    )
    (session,) = open_sessions(tmp_path / "net.onnx").values()
    (sums,) = session.run(None, {"bytes": np.full((1, 64), 255, np.uint8)})
    assert (sums == 64 * 255 * 127).all()


def test_every_cut_is_an_error_that_says_which_file(tmp_path: Path) -> None:
    path = of_texts(tmp_path / "texts.onnx")
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(KerazooError, match=r"texts\.onnx"):
            open_network(path)
