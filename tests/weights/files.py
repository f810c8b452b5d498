"""Writers of small weight files, each made from the description of its format."""

import io
import struct
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
