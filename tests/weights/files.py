"""Writers of small weight files, each made from the description of its format."""

import io
import json
import pickle as pickling
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from kerazoo.weights import deep_compressed

DATA_ENV = "KERAZOO_TEST_DATA"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def pickled_tensor(key, array, extra=b""):
    """The instructions that describe one contiguous float32 tensor."""
    strides = [stride // 4 for stride in array.strides]
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(array.size)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + extra
        + b"tQ"
        + number(0)
        + numbers(array.shape)
        + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def pickled(arrays, extra=b""):
    items = b"".join(
        text(name) + pickled_tensor(str(i), array, extra) for i, (name, array) in enumerate(arrays.items())
    )
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def torch_zip(path, arrays, pickle=None):
    """The container of current PyTorch."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(arrays) if pickle is None else pickle)
        archive.writestr("archive/byteorder", "little")
        for index, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{index}", array.tobytes())
        archive.writestr("archive/version", "3\n")


def torch_arrays(path, arrays, pickle=None):
    """A package with two containers of NumPy arrays, which PyTorch pickled, `first/` those with a weight's name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if pickle else zipfile.ZIP_DEFLATED) as package:
        package.writestr("package/__init__.py", "")
        for container, ending in (("first", "weight"), ("second", "bias")):
            held = io.BytesIO()
            with zipfile.ZipFile(held, "w") as archive:
                # Python 2 called NumPy's module so, and PyTorch still writes protocol 2.
                body = pickling.dumps({name: array for name, array in arrays.items() if name.endswith(ending)}, 2)
                body = body.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
                archive.writestr(f"{container}/data.pkl", body if pickle is None else pickle)
                archive.writestr(f"{container}/version", "3\n")
            package.writestr(f"package/checkpoints/{container}.ckpt", held.getvalue())


def torch_legacy(path, arrays, pickle=None):
    """The container of PyTorch before 1.6."""
    magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
    version = b"\x80\x02M\xe9\x03."
    system = b"\x80\x02}(" + text("little_endian") + b"\x88u."
    keys = b"\x80\x02](" + b"".join(text(str(index)) for index in range(len(arrays))) + b"e."
    body = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in arrays.values())
    description = pickled(arrays, b"N") if pickle is None else pickle
    Path(path).write_bytes(magic + version + system + description + keys + body)


def deep_compress(path, kernels, biases, codebook):
    """The compressed SqueezeNet: kernels hold values of the codebook, 0 where pruned."""
    counts, bodies = [], []
    for name in deep_compressed.LAYERS:
        flat = kernels[name].reshape(-1)
        entries, last = [], -1
        for place in np.flatnonzero(flat):
            while place - last > 16:
                last += 16
                entries.append((15, 0))
            entries.append((place - last - 1, int(np.flatnonzero(codebook == flat[place])[0])))
            last = place
        gaps = [gap for gap, _ in entries]
        gaps += [0] * (((len(gaps) - 1) // 2 + 1) * 2 - len(gaps))
        counts.append(len(entries))
        bodies += [
            codebook.astype("<f4").tobytes(),
            biases[name].astype("<f4").tobytes(),
            bytes(code for _, code in entries),
            bytes(low | high << 4 for low, high in zip(gaps[::2], gaps[1::2], strict=True)),
        ]
    Path(path).write_bytes(struct.pack(f"<{len(counts)}I", *counts) + b"".join(bodies))


def tflite(path, arrays):
    """A LiteRT file that holds constants and one computed tensor, and no operators."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)

    def table(fields):
        builder.StartObject(1 + max(fields))
        for index, (kind, value) in sorted(fields.items()):
            getattr(builder, f"Prepend{kind}Slot")(index, value, 0)
        return builder.EndObject()

    def vector(offsets):
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    buffers, tensors = [table({0: ("UOffsetTRelative", 0)})], []
    for name, array in arrays.items():
        data = builder.CreateByteVector(array.astype("<f4").tobytes())
        buffers.append(table({0: ("UOffsetTRelative", data)}))
        shape = builder.CreateNumpyVector(np.asarray(array.shape, np.int32))
        tensors.append(_tensor(builder, table, shape, len(buffers) - 1, name))
    tensors.append(_tensor(builder, table, builder.CreateNumpyVector(np.asarray([1, 2], np.int32)), 0, "computed"))
    graph = table({0: ("UOffsetTRelative", vector(tensors))})
    graphs, stored = vector([graph]), vector(buffers)
    builder.Finish(table({2: ("UOffsetTRelative", graphs), 4: ("UOffsetTRelative", stored)}), b"TFL3")
    Path(path).write_bytes(bytes(builder.Output()))


def _tensor(builder, table, shape, buffer, name):
    label = builder.CreateString(name)
    return table({0: ("UOffsetTRelative", shape), 2: ("Uint32", buffer), 3: ("UOffsetTRelative", label)})


def keras_legacy(path, model):
    """The layout of the official files."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def npz_bytes(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def safetensors(path, arrays, kinds=None, table=None):
    """The table may be given; else it describes the arrays, whose kinds NumPy cannot always tell."""
    known = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64", "u1": "U8"} | (kinds or {})
    rows, at = {"__metadata__": {"format": "pt"}}, 0
    for name, array in arrays.items():
        kind = known[name if name in known else array.dtype.str[1:]]
        rows[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    header = json.dumps(rows).encode() if table is None else table
    header += b" " * (-len(header) % 8)
    body = b"".join(array.tobytes() for array in arrays.values())
    Path(path).write_bytes(struct.pack("<Q", len(header)) + header + body)


def onnx(path, arrays, nodes=(), change=lambda model: None):
    """A graph whose nodes use the arrays of the names given, each in one node."""
    import onnx as package
    from onnx import helper, numpy_helper

    made = [helper.make_node("Identity", [name], [f"out{index}"]) for index, name in enumerate(nodes)]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    model = helper.make_model(helper.make_graph(made, "net", [], [], tensors), producer_name="a test")
    change(model)
    Path(path).write_bytes(package.ModelProto.SerializeToString(model))


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """A field of a protocol buffer: a number, or text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def frozen_graph(path, arrays, kind=1, splat=False):
    """A `GraphDef` of constants behind a placeholder, and an operation that uses them."""

    def node(name, operation, *attributes):
        return field(1, field(1, name) + field(2, operation) + b"".join(field(5, each) for each in attributes))

    out = node("image", "Placeholder", field(1, "dtype") + field(2, field(6, 1)))
    for name, array in arrays.items():
        shape = b"".join(field(2, field(1, length)) for length in array.shape)
        values = field(5, array.astype("<f4").tobytes()[:4]) if splat else field(4, array.astype("<f4").tobytes())
        tensor = field(1, kind) + field(2, shape) + values
        out += node(
            name, "Const", field(1, "dtype") + field(2, field(6, 1)), field(1, "value") + field(2, field(8, tensor))
        )
    Path(path).write_bytes(out + node("sum", "Add"))


def caffe_blob(array, old=False, shape=None):
    """With the shape of current files, or that of old ones, whose four lengths begin with ones."""
    lengths = array.shape if shape is None else shape
    if old:
        lengths = (1,) * (4 - len(lengths)) + tuple(lengths)
        said = b"".join(field(number, length) for number, length in enumerate(lengths, start=1))
    else:
        said = field(7, field(1, b"".join(map(varint, lengths))))
    kind, number = ("<f8", 8) if array.dtype == np.float64 else ("<f4", 5)
    return field(number, array.astype(kind).tobytes()) + said


def caffe(path, layers, old=False, before=b""):
    """Layers by name: their types, and their arrays."""
    body = field(1, "net") + before
    for name, (kind, arrays) in layers.items():
        blobs = b"".join(field(6 if old else 7, caffe_blob(array, old)) for array in arrays)
        if old:
            number = {"Convolution": 4, "InnerProduct": 14}.get(kind, 0)
            body += field(2, field(2, "bottom") + field(3, "top") + field(4, name) + field(5, number) + blobs)
        else:
            body += field(100, field(1, name) + field(2, kind) + field(3, "bottom") + field(4, "top") + blobs)
    Path(path).write_bytes(body)


TABLE_END = (0xDB4775248B80FB57).to_bytes(8, "little")


def sorted_table(entries, packed=None):
    """A LevelDB table of one block; `packed` is that block as Snappy packs it."""

    def block(rows):
        body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in rows)
        return body + struct.pack("<II", 0, 1)

    first = block(entries) if packed is None else packed
    index = block([(b"\xff", b"\0" + varint(len(first)))])
    footer = b"\0\0" + varint(len(first) + 5) + varint(len(index))
    tail = bytes([packed is not None]) + bytes(4)
    return first + tail + index + bytes(5) + footer.ljust(40, b"\0") + TABLE_END


def tensor_shape(shape):
    return b"".join(field(2, field(1, length)) for length in shape)


def checkpoint_rows(arrays, kind=1, number=5):
    """The entries of a checkpoint of one file: `kind` is TensorFlow's number of the type, `number` the field used."""
    meta = b"".join(
        field(1, field(1, name) + field(2, tensor_shape(array.shape)) + field(3, kind))
        for name, array in arrays.items()
    )
    rows = [(b"", field(1, meta))]
    for index, (name, array) in enumerate(arrays.items()):
        rows.append((b"\0%08d" % index, field(2, field(1, name) + field(3, field(number, array.tobytes())))))
    return rows


def index_row(shape, start, size, kind=1, shard=0, extra=b""):
    return field(1, kind) + field(2, tensor_shape(shape)) + field(3, shard) + field(4, start) + field(5, size) + extra


def checkpoints(folder, arrays):
    """Both kinds as TensorFlow itself writes them: `old.ckpt`, and `new.ckpt.index` with its data."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, array in arrays.items():
            v1.get_variable(name, initializer=array)
        session.run(v1.global_variables_initializer())
        for name, version in {"old.ckpt": v1.train.SaverDef.V1, "new.ckpt": v1.train.SaverDef.V2}.items():
            saver = v1.train.Saver(write_version=version)
            saver.save(session, str(Path(folder) / name), write_meta_graph=False, write_state=False)


def archive(path, members):
    """Files by name into a `.zip` or `.tar.gz`."""
    if str(path).endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
        return
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
