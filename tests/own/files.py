"""Files as others make them: small networks that tell colours apart, whose answers can be computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("red", "green", "blue")
SHARPNESS = 12.0
"""Logits are so many times the mean of each channel in 0..1, so that a plain colour is nearly certain."""


def picture(colour: str, size: int = 40) -> np.ndarray:
    """uint8 [size, size, 3] of one colour."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., LABELS.index(colour)] = 255
    return pixels


def keras_model(size: int = 24, softmax: bool = False, rescale: bool = True, name: str = "colours") -> Any:
    """Functional: pixels 0..255 (or 0..1) to the mean of each channel, sharpened."""
    import keras

    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs) if rescale else inputs
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="mix")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Activation("softmax")(x) if softmax else x, name=name)
    model.get_layer("mix").set_weights([np.eye(3, dtype=np.float32)[None, None] * SHARPNESS])
    return model


def onnx_model(path: Path, batch: Any = "n", size: Any = 24, softmax: bool = False, tail: tuple[int, ...] = ()) -> Path:
    """What torch.onnx writes of conv, global average pooling and linear: NCHW, `input` and `output`, pixels 0..1."""
    from onnx import TensorProto, helper, numpy_helper

    eye = np.eye(3, dtype=np.float32)
    weights = [
        numpy_helper.from_array(eye[:, :, None, None], "conv.weight"),
        numpy_helper.from_array(eye * SHARPNESS, "fc.weight"),
        numpy_helper.from_array(np.zeros(3, np.float32), "fc.bias"),
    ]
    nodes = [
        helper.make_node("Conv", ["input", "conv.weight"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["scores"], transB=1),
        helper.make_node("Softmax" if softmax else "Identity", ["scores"], ["row"]),
    ]
    shape = [batch, 3]
    if tail:
        weights.append(numpy_helper.from_array(np.array([-1, *tail], np.int64), "tail"))
        nodes.append(helper.make_node("Reshape", ["row", "tail"], ["output"]))
        shape = [batch, *tail]
    else:
        nodes.append(helper.make_node("Identity", ["row"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def quantised(path: Path) -> Path:
    """A .tflite file of whole numbers: uint8 in, uint8 out, as post-training quantisation makes it; pixels -1..1."""
    import tensorflow as tf

    kernel = tf.constant(np.eye(3, dtype=np.float32)[None, None])

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 24, 24, 3])])
        def __call__(self, x: Any) -> Any:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + 1.0)
            return tf.nn.softmax(tf.reduce_mean(x, [1, 2]) * (SHARPNESS / 2))

    net = Net()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([net.__call__.get_concrete_function()], net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(5)

    def calibration() -> Any:
        for _ in range(8):
            yield [rng.uniform(-1, 1, (1, 24, 24, 3)).astype(np.float32)]
        for colour in LABELS:
            yield [picture(colour, 24)[None].astype(np.float32) / 127.5 - 1]

    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    path.write_bytes(converter.convert())
    return path


def hub(folder: Path, batch: int | None = None, side: int | None = None, inputs: int = 1, writes: str = "") -> Path:
    """A SavedModel as TF-Hub has them: a tf.Module with serving_default, pixels 0..1, any size by default."""
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(np.eye(3, dtype=np.float32) * SHARPNESS)

        def answer(self, *several: Any) -> Any:
            if writes:
                tf.io.write_file(writes, "written")
            return {"logits": tf.reduce_mean(several[0], [1, 2]) @ self.kernel}

    net = Net()
    spec = [tf.TensorSpec([batch, side, side, 3], name=f"images_{index}") for index in range(inputs)]
    function = tf.function(net.answer, input_signature=spec).get_concrete_function()
    tf.saved_model.save(net, str(folder), signatures=function)
    return folder
