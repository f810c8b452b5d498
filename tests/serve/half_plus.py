"""The SavedModels that TF Serving's own suites use, built here: `half_plus_two` and its relatives."""

from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1
PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{word}" for word in ("predict", "classify", "regress"))


def _info(tensor):
    return v1.saved_model.build_tensor_info(tensor)


def _define(inputs, outputs, method):
    return v1.saved_model.build_signature_def(
        {name: _info(tensor) for name, tensor in inputs.items()},
        {name: _info(tensor) for name, tensor in outputs.items()},
        method,
    )


def _half_plus(folder: Path, signatures):
    """A graph of `y = x/2 + 2` and its like, fed by tf.Examples or directly; `signatures(tensors)` offers it."""
    with tf.Graph().as_default(), v1.Session() as session:
        a = v1.Variable(0.5, name="a")
        b = v1.Variable(2.0, name="b")
        c = v1.Variable(3.0, name="c")
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        parsed = tf.io.parse_example(
            serialized,
            {
                "x": tf.io.FixedLenFeature([1], tf.float32),
                "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
            },
        )
        x = tf.identity(parsed["x"], name="x")
        x2 = tf.identity(parsed["x2"], name="x2")
        tensors = {
            "examples": serialized,
            "x": x,
            "x2": x2,
            "y": tf.add(tf.multiply(a, x), b, name="y"),
            "y2": tf.add(tf.multiply(a, x), c, name="y2"),
            "y3": tf.add(tf.multiply(a, x2), c, name="y3"),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures(tensors))
        builder.save()
    return folder


def half_plus_two(base: Path, version="00000123", classify_x2=False):
    def signatures(t):
        made = {
            "serving_default": _define({"x": t["x"]}, {"y": t["y"]}, PREDICT),
            "classify_x_to_y": _define({"inputs": t["examples"]}, {"scores": t["y"]}, CLASSIFY),
            "regress_x_to_y": _define({"inputs": t["examples"]}, {"outputs": t["y"]}, REGRESS),
            "regress_x_to_y2": _define({"inputs": t["examples"]}, {"outputs": t["y2"]}, REGRESS),
            "regress_x2_to_y3": _define({"inputs": t["x2"]}, {"outputs": t["y3"]}, REGRESS),
        }
        if classify_x2:
            made["classify_x2_to_y3"] = _define({"inputs": t["x2"]}, {"scores": t["y3"]}, CLASSIFY)
        return made

    return _half_plus(base / version, signatures)


def half_plus_two_2_versions(base: Path):
    return [half_plus_two(base, version, classify_x2=True) for version in ("00000123", "00000124")]


def half_plus_three(base: Path, version="00000123"):
    """The signature's types are wrong, as they are in the old export: a float scalar for the examples."""
    folder = base / version
    with tf.Graph().as_default(), v1.Session() as session:
        a, b = v1.Variable(0.5, name="a"), v1.Variable(3.0, name="b")
        serialized = v1.placeholder(tf.string, name="tf_example")
        parsed = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(tf.multiply(a, x), b, name="y")
        regress = _define({"inputs": serialized}, {"outputs": y}, REGRESS)
        for info in (*regress.inputs.values(), *regress.outputs.values()):
            info.dtype = 1
            info.tensor_shape.Clear()
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": _define({"x": x}, {"y": y}, PREDICT),
                "tensorflow/serving/regress": regress,
            },
        )
        builder.save()
    return folder


def counter(base: Path, version="00000123"):
    folder = base / version
    with tf.Graph().as_default(), v1.Session() as session:
        count = v1.Variable(0.0, dtype=tf.float32, use_resource=False, name="counter")
        delta = v1.placeholder(tf.float32, name="delta")
        signatures = {
            "get_counter": _define({}, {"output": count}, PREDICT),
            "incr_counter": _define({}, {"output": v1.assign_add(count, 1.0)}, PREDICT),
            "incr_counter_by": _define({"delta": delta}, {"output": v1.assign_add(count, delta)}, PREDICT),
            "reset_counter": _define({}, {"output": v1.assign(count, 0.0)}, PREDICT),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def half_plus_two_tf2(base: Path, version="00000123"):
    """Exported by TensorFlow 2: every method is `predict`, and `x` has a default."""
    folder = base / version
    module = tf.Module()
    module.a, module.b, module.c = tf.Variable(0.5), tf.Variable(2.0), tf.Variable(3.0)
    columns = tf.TensorSpec([None, 1], tf.float32)
    examples = tf.TensorSpec([None], tf.string, name="inputs")

    def parse(serialized):
        return tf.io.parse_example(
            serialized,
            {
                "x": tf.io.FixedLenFeature([1], tf.float32),
                "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
            },
        )

    def offer(spec, compute):
        return tf.function(compute, input_signature=[spec])

    module.predict = tf.function(
        lambda x: {"y": module.a * x + module.b}, input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")]
    )
    signatures = {
        "serving_default": module.predict,
        "classify_x_to_y": offer(examples, lambda inputs: {"scores": module.a * parse(inputs)["x"] + module.b}),
        "regress_x_to_y": offer(examples, lambda inputs: {"outputs": module.a * parse(inputs)["x"] + module.b}),
        "regress_x_to_y2": offer(examples, lambda inputs: {"outputs": module.a * parse(inputs)["x"] + module.c}),
        "regress_x2_to_y3": offer(columns, lambda inputs: {"outputs": module.a * inputs + module.c}),
        "classify_x2_to_y3": offer(columns, lambda inputs: {"scores": module.a * inputs + module.c}),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    _add_default(folder)
    return folder


def _add_default(folder: Path):
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    signature.defaults["x"].CopyFrom(tf.make_tensor_proto([0.0]))
    path.write_bytes(saved.SerializeToString())
