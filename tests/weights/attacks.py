"""Small files that ask for much time or memory, and what reads them within bounds: `python attacks.py FILE...`."""

import json
import signal
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.weights import files

SECONDS, MEGABYTES = 60, 150

ONE = {"a": np.ones(4, "f")}


def endless_text(levels=60):
    """Instructions that leave a tuple of a few bytes whose text has 2^levels letters."""
    return files.text("a") + b"".join(b"q%ch%c\x86" % (level, level) for level in range(levels))


def torch_key(path):
    pickle = files.pickled(ONE).replace(files.text("0"), endless_text())
    files.torch_zip(path, ONE, pickle)


def torch_name(path):
    files.torch_zip(path, ONE, b"\x80\x02" + endless_text() + b"h\x00\x93.")


def torch_list_of_storages(path):
    files.torch_legacy(path, ONE)
    keys = b"\x80\x02](" + files.text("0") + b"e."
    path.write_bytes(path.read_bytes().replace(keys, b"\x80\x02](" + endless_text() + b"e."))


def torch_product(path):
    long = b"\x8a\xff" + b"\x7f" * 255
    pickle = files.pickled(ONE).replace(files.numbers([4]), b"(" + long * 1500 + b"t")
    files.torch_zip(path, ONE, pickle)


def torch_pairs(path):
    """One list of pairs, of which a dictionary is made again and again."""
    pairs = b"](" + (files.text("a") + b"N\x86") * 50_000 + b"eq\x00"
    again = b"h\x01h\x00\x85R" * 50_000
    files.torch_zip(path, ONE, b"\x80\x02" + pairs + b"ccollections\nOrderedDict\nq\x01" + again + b".")


def torch_keys(path):
    """Numbers that a dictionary cannot tell apart by their hashes."""
    numbers = (b"\x8a\x0c" + (k * ((1 << 61) - 1)).to_bytes(12, "little") + b"N" for k in range(1, 100_000))
    files.torch_zip(path, ONE, b"\x80\x02}(" + b"".join(numbers) + b"u.")


def torch_texts(path):
    """One text, of which numbers are made again and again."""
    encode = b"c_codecs\nencode\nq\x00" + files.text("a" * (1 << 20)) + b"q\x01" + files.text("latin1") + b"q\x02"
    files.torch_arrays(path, {}, b"\x80\x02" + encode + b"h\x00h\x01h\x02\x86R" * 5_000 + b".")


def local(crc, length, name):
    """A member's header, filled up to whole numbers of four bytes."""
    extra = bytes(-(30 + len(name)) % 4)
    head = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, crc, length, length, len(name), len(extra))
    return head + name + extra


def overlapping(path, members=700, size=300_000):
    """Members that lie within each other's content: each of `members` tensors is the whole rest of the file."""
    data, places = bytes(size), []
    crc = zlib.crc32(data)
    for index in reversed(range(members)):
        name = b"archive/data/%d" % index
        head = local(crc, len(data), name)
        places.append((name, crc, len(data)))
        data, crc = head + data, zlib.crc32(head + data)
    arrays = {f"{i}": np.empty(length // 4, "f") for i, (*_, length) in enumerate(reversed(places))}
    pickle = files.pickled(arrays)
    at, entries = 0, []
    for name, crc, length in reversed(places):
        entries.append((name, crc, length, at))
        at += len(local(crc, length, name))
    name = b"archive/data.pkl"
    crc = zlib.crc32(pickle)
    rest = local(crc, len(pickle), name)
    entries.append((name, crc, len(pickle), len(data)))
    body = data + rest + pickle
    directory = b"".join(
        struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 0, 0, 0, crc, length, length, len(name), *(0,) * 5, at)
        + name
        for name, crc, length, at in entries
    )
    count = len(entries)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)


def directory(path):
    """A directory of many members, none of which is there."""
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, *(0,) * 7, 5, *(0,) * 5, 0)
    entries = b"".join(entry + b"%01x.npy" % (i % 16) for i in range(100_000))
    path.write_bytes(entries + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65535, 65535, len(entries), 0, 0))


def litert(path):
    claimed = SimpleNamespace(shape=(2**31 - 1,) * 1_000_000, astype=ONE["a"].astype)
    files.tflite(path, {"a": claimed})


def safetensors(path):
    files.safetensors(path, ONE, table=b'{"a": [' + b"[]," * 8_000_000 + b"[]]}")


def onnx(path):
    """Nodes with many attributes, of which each takes two bytes, and some hundred as an object."""
    node = files.field(1, files.field(5, b"") * 99_000)
    graph = node * 15 + files.field(5, files.field(1, b"\4") + files.field(2, 1) + files.field(8, "a"))
    path.write_bytes(files.field(1, 8) + files.field(7, graph))


def snappy(path):
    """Copies of what lies far back, each of 64 bytes."""
    copies = range(60, 60 + 200_000 * 64, 64)
    pieces = b"".join(b"\xff" + struct.pack("<I", length) for length in copies)
    packed = files.varint(copies.stop) + b"\xec" + bytes(60) + pieces
    path.write_bytes(files.sorted_table([], packed))


def texts(path):
    """HDF5 blocks of texts that lie over each other, each up to the end of the file."""
    step = 32
    head = b"\x89HDF\r\n\x1a\n"
    count = 30_000
    end = len(head) + count * step + step // 2
    blocks = [b"GCOL\1\0\0\0" + struct.pack("<QHH4xQ", end - len(head) - i * step, 1, 1, 16) for i in range(count)]
    path.write_bytes(head + b"".join(blocks) + bytes(step // 2))


ATTACKS = {
    torch_key: "no type or no name",
    torch_name: "no text",
    torch_list_of_storages: "list of storages differs",
    torch_product: "described wrongly",
    torch_pairs: "steps",
    torch_keys: "int as a name",
    torch_texts: "steps",
    overlapping: "lies over",
    directory: "directory takes",
    litert: "rank 1000000",
    safetensors: "more than any network needs",
    onnx: "should take|no tensors",
    snappy: "block is too short|no checkpoint|entry is longer",
    texts: "blocks of texts",
}
"""What writes a file, and words of the error that it ends in."""


def main(paths):
    """Reads each file and prints what became of it, a line of JSON each; ends where one takes too much."""
    import resource

    import h5py  # noqa: F401
    import onnx  # noqa: F401

    from kerazoo.weights import read

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for path in paths:
        signal.alarm(SECONDS)
        try:
            said = f"read {len(read(path)[1])} tensors"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        signal.alarm(0)
        print(json.dumps([Path(path).name, said]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
