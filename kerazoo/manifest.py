"""What the weight files are: `weights_manifest.json`, read and held to its schema.

The code says what a graph is; the manifest says what the bytes are: where they come from, their hash, licence,
labels, the preprocessing that belongs to them, and the figures published for them and measured here.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from kerazoo.errors import UnknownModel, UsageError, near

SCHEMA = 1
ROLES = re.compile(r"full|no_top|part:[a-z0-9_]+|asset:[a-z0-9_]+")
PART, ASSET = "part:", "asset:"
FORMATS = (
    "keras_h5",
    "torch",
    "torch_arrays",
    "safetensors",
    "slim",
    "onnx",
    "caffe",
    "darknet",
    "litert",
    "deep_compressed",
    "frozen_graph",
    "npz",
    "npz_int8",
    "word2vec",
)
TEXT = "text"
"""What assets are, and weights never."""

HASHES = {"sha256": (64, 64), "md5": (32, 32), "sha1": (40, 40), "sha384": (96, 96), "sha256_prefix": (8, 63)}
"""Kinds of hash that sources publish, and the fewest and the most hexadecimal digits that each has.

PyTorch's hubs publish the beginning of a sha256, within the file's name.
"""

PINNING = ("sha256", "sha384")
"""Kinds of hash for which nobody can make two files that share one; md5 and sha1 have been broken so."""

PACKAGE = "package:"
"""A URL that begins so names a file inside the installed package."""


@dataclass(frozen=True)
class File:
    """One weight file.

    Attributes:
        name: Plain file name, without a folder.
        role: `full`, or `no_top` for the same network without its classifier; `part:encoder` and so on for weights that
            lie in several files, all of which make the network; `asset:vocabulary` and so on for what is no weights.
        urls: Where it can be had, best first: http, https, file, or `package:` and a path inside the package. None for
            a file that was made of published ones and has no address of its own: it comes from a mirror.
        hash_kind, hash_value: The published hash; both `None` where none was ever published.
        size: In bytes; `None` where it is not known.
        format: Which reader opens it, one of `FORMATS`; `TEXT` for an asset, one item a line in UTF-8.
    """

    name: str
    role: str
    urls: tuple[str, ...]
    hash_kind: str | None
    hash_value: str | None
    size: int | None
    format: str

    @property
    def packaged(self) -> bool:
        """Whether the file comes with Kerazoo."""
        return any(url.startswith(PACKAGE) for url in self.urls)

    @property
    def pinned(self) -> bool:
        """Whether the published hash alone says which bytes these are: nobody can make others with the same one."""
        return self.hash_kind in PINNING


@dataclass(frozen=True)
class Entry:
    """The weights of one model.

    Attributes:
        name: `variant:weights`.
        preprocessing: `resize` (the short side, [h, w] or None, as `kerazoo.codecs.image.Image` takes it), `size`
            [h, w], `interpolation`, `channels`, `scale`, `mean`, `std`: pixels 0..255 become
            `(x * scale - mean) / std`; and `fill` and `pad` as `Image` has them, where a ground fills what the picture
            leaves. Empty where no picture goes in.
        published, measured: Rows of `metric`, `value` (a number, in percent where it is a share), `dataset`, and the
            `source` that published or the `command` that measured it; and, where it is not the usual one,
            `tolerance`, how much worse a measurement may be.
        task: What these weights want of their task, beside what the variant says: the scale they enlarge by.
        sizes: Fields of the variant's config that are others here: how many classes.
        recipe: The file that trained these weights, for those of this project.
        log: Last lines of that training's log.
    """

    name: str
    files: tuple[File, ...]
    licence: str
    source: str
    labels: str | None
    preprocessing: Mapping[str, Any]
    published: tuple[Mapping[str, Any], ...] = ()
    measured: tuple[Mapping[str, Any], ...] = ()
    task: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    sizes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    recipe: str | None = None
    log: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        return self.name.partition(":")[0]

    @property
    def weights(self) -> str:
        return self.name.partition(":")[2]

    def roles(self, top: bool = True) -> list[str]:
        """Those of the files that make the network: one file, or all of its parts.

        Args:
            top: Whether its classifier is wanted; without it, the smaller file is taken where there is one.
        """
        own = [file.role for file in self.files]
        if not top and "no_top" in own:
            return ["no_top"]
        return [role for role in own if role.startswith(PART)] or ["full"]

    def assets(self) -> list[str]:
        """The roles of the files beside the weights."""
        return [file.role for file in self.files if file.role.startswith(ASSET)]

    def file(self, role: str = "full") -> File:
        """The file with this role; `UsageError` names the roles that there are."""
        for file in self.files:
            if file.role == role:
                return file
        raise UsageError(f"{self.name} has no {role!r} weights; it has {', '.join(file.role for file in self.files)}.")


def text() -> str:
    """The manifest as it is written: from the installed package, or from the top of a source checkout."""
    packaged = importlib.resources.files("kerazoo").joinpath("weights_manifest.json")
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parent.parent / "weights_manifest.json").read_text(encoding="utf-8")


def canonical(data: Any) -> str:
    """The one way of writing the manifest down."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


@functools.cache
def load() -> Mapping[str, Entry]:
    """Every entry by its name, in the manifest's order."""
    models = json.loads(text())["models"]
    return MappingProxyType({name: parse(name, entry) for name, entry in models.items()})


def parse(name: str, entry: Mapping[str, Any]) -> Entry:
    """One entry of a manifest that has no `problems`."""
    files = []
    for file in entry["files"]:
        published = file["hash"] or {"kind": None, "value": None}
        files.append(
            File(
                name=file["name"],
                role=file["role"],
                urls=tuple(file["urls"]),
                hash_kind=published["kind"],
                hash_value=published["value"],
                size=file["size"],
                format=file["format"],
            )
        )
    return Entry(
        name=name,
        files=tuple(files),
        licence=entry["licence"],
        source=entry["source"],
        labels=entry["labels"],
        preprocessing=MappingProxyType(entry["preprocessing"] or {}),
        published=tuple(MappingProxyType(row) for row in entry["published"]),
        measured=tuple(MappingProxyType(row) for row in entry["measured"]),
        task=MappingProxyType(entry.get("task", {})),
        sizes=MappingProxyType(entry.get("sizes", {})),
        recipe=entry.get("recipe"),
        log=tuple(entry.get("log", ())),
    )


def entries_of(variant: str) -> list[Entry]:
    """The entries of one variant, its default first; empty where it has no weights."""
    return [entry for entry in load().values() if entry.variant == variant]


def find(model: str) -> Entry:
    """The entry of `variant:weights`, or the default one of a bare `variant`; `UnknownModel` suggests near names."""
    entries = load()
    if model in entries:
        return entries[model]
    variant, colon, weights = model.partition(":")
    own = entries_of(variant)
    if own and not colon:
        return own[0]
    if own:
        raise UnknownModel(f"{variant} has no weights {weights!r}; it has {', '.join(e.weights for e in own)}.")
    known = entries if colon else {entry.variant for entry in entries.values()}
    raise UnknownModel(f"No weights are known for {model!r}.{near(model, known)}")


# The schema. Hand-written, because its messages name the entry and the key, and it needs no package.

ENTRY_KEYS = ("files", "licence", "source", "labels", "preprocessing", "published", "measured")
ENTRY_OPTIONAL = ("task", "sizes", "recipe", "log")
FILE_KEYS = ("name", "role", "urls", "hash", "size", "format")
PREPROCESSING_KEYS = ("resize", "size", "interpolation", "channels", "scale", "mean", "std")
PREPROCESSING_OPTIONAL = ("fill", "pad")
NAME = re.compile(r"[a-z0-9][a-z0-9_]*:[a-z0-9][a-z0-9_.-]*")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def problems(data: Any) -> list[str]:
    """What is wrong with a manifest, one line a fault that names entry and key; empty where nothing is."""
    if not isinstance(data, dict) or list(data) != ["schema", "models"]:
        return ["manifest: must be an object with the keys schema, models"]
    if data["schema"] != SCHEMA:
        return [f"schema: must be {SCHEMA}, is {data['schema']!r}"]
    if not isinstance(data["models"], dict):
        return ["models: must be an object"]
    found: list[str] = []
    done: list[str] = []
    for name, entry in data["models"].items():
        if not NAME.fullmatch(name):
            found.append(f"{name}: must be written variant:weights, lower case")
        variant = name.partition(":")[0]
        if variant in done and done[-1] != variant:
            found.append(f"{name}: must stand with the other entries of {variant}")
        done.append(variant)
        found += [f"{name}: {fault}" for fault in _entry_faults(entry)]
    return found


def _entry_faults(entry: Any) -> Iterable[str]:
    if not isinstance(entry, dict):
        yield "must be an object"
        return
    if (fault := _keys_fault(entry, ENTRY_KEYS, ENTRY_OPTIONAL)) is not None:
        yield fault
        return
    for key in ("licence", "source"):
        if not _line(entry[key]):
            yield f"{key}: must be one line of text"
    if entry["labels"] is not None and not (isinstance(entry["labels"], str) and FILE_NAME.fullmatch(entry["labels"])):
        yield "labels: must be the name of a file in kerazoo/labels without .txt, or null"
    if entry["preprocessing"] is not None:
        yield from (f"preprocessing.{fault}" for fault in _preprocessing_faults(entry["preprocessing"]))
    for key, origin in (("published", "source"), ("measured", "command")):
        yield from _metric_faults(key, entry[key], origin)
    for key in ("task", "sizes"):
        if key in entry and not (isinstance(entry[key], dict) and all(map(_number, entry[key].values()))):
            yield f"{key}: must be an object of numbers"
    if "recipe" in entry and not _line(entry["recipe"]):
        yield "recipe: must be a path"
    if "log" in entry and not (isinstance(entry["log"], list) and all(_line(line) for line in entry["log"])):
        yield "log: must be a list of lines"
    files = entry["files"]
    if not isinstance(files, list) or not files:
        yield "files: must be a list of at least one file"
        return
    for index, file in enumerate(files):
        yield from (f"files[{index}].{fault}" for fault in _file_faults(file))
    roles = [str(file.get("role")) for file in files if isinstance(file, dict)]
    sound = all(ROLES.fullmatch(role) for role in roles)
    if sound and ("full" in roles) == any(role.startswith(PART) for role in roles):
        yield f"files: must be one with the role full, or parts ({PART}NAME), and not both"
    for key in ("name", "role"):
        values = [file.get(key) for file in files if isinstance(file, dict)]
        if len(set(map(str, values))) != len(values):
            yield f"files: two have the same {key}"


def _file_faults(file: Any) -> Iterable[str]:
    if not isinstance(file, dict):
        yield "must be an object"
        return
    if (fault := _keys_fault(file, FILE_KEYS)) is not None:
        yield fault
        return
    # A name with a folder in it could lead out of the cache.
    if not (isinstance(file["name"], str) and FILE_NAME.fullmatch(file["name"])):
        yield "name: must be a plain file name"
    if not (isinstance(file["role"], str) and ROLES.fullmatch(file["role"])):
        yield f"role: must be full, no_top, {PART}NAME or {ASSET}NAME"
    asset = str(file["role"]).startswith(ASSET)
    if file["format"] not in ((TEXT,) if asset else FORMATS):
        yield f"format: must be {TEXT if asset else 'one of ' + ', '.join(FORMATS)}"
    if file["size"] is not None and not (type(file["size"]) is int and file["size"] > 0):
        yield "size: must be a number of bytes, or null"
    published = file["hash"]
    if not (isinstance(file["urls"], list) and all(_url(url) for url in file["urls"])):
        yield "urls: must be a list of http, https, file or package: addresses"
        return
    # What has no address can only be told by its hash.
    if not file["urls"] and not (isinstance(published, dict) and published.get("kind") in PINNING):
        yield f"urls: must hold an address, unless there is a hash of the kind {' or '.join(PINNING)}"
        return
    if published is None:
        if any(str(url).startswith(PACKAGE) for url in file["urls"]):
            yield "hash: a file that comes with the package must have one"
        return
    if not isinstance(published, dict) or list(published) != ["kind", "value"] or published["kind"] not in HASHES:
        yield f"hash: must be null or have a kind of {', '.join(HASHES)} and a value"
        return
    least, most = HASHES[published["kind"]]
    if not re.fullmatch(rf"[0-9a-f]{{{least},{most}}}", str(published["value"])):
        digits = least if least == most else f"{least} to {most}"
        yield f"hash: a {published['kind']} has {digits} lower-case hexadecimal digits"


def _preprocessing_faults(recipe: Any) -> Iterable[str]:
    if not isinstance(recipe, dict):
        yield "must be an object or null"
        return
    if (fault := _keys_fault(recipe, PREPROCESSING_KEYS, PREPROCESSING_OPTIONAL)) is not None:
        yield fault
        return
    size = recipe["size"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        yield "size: must be [height, width] in pixels"
    elif recipe.get("fill") == "corner":
        if not (recipe["resize"] is None or (type(recipe["resize"]) is int and recipe["resize"] > 0)):
            yield "resize: must be the short side in pixels, or null, where the picture lies in a corner"
    elif recipe["resize"] is not None and not _covers(recipe["resize"], size):
        yield "resize: must be the short side in pixels or [h, w], at least as long as size, or null"
    if recipe["interpolation"] not in ("bilinear", "bicubic"):
        yield "interpolation: must be bilinear or bicubic"
    if recipe["channels"] not in ("rgb", "bgr", "gray"):
        yield "channels: must be rgb, bgr or gray"
    if recipe.get("fill", "crop") not in ("crop", "letterbox", "corner"):
        yield "fill: must be crop, letterbox or corner"
    elif recipe.get("fill") == "letterbox" and recipe["resize"] is not None:
        yield "resize: must be null, for a letterbox shows the whole picture"
    if not _number(recipe.get("pad", 0)):
        yield "pad: must be a number"
    count = 1 if recipe["channels"] == "gray" else 3
    if not _number(recipe["scale"]):
        yield "scale: must be a number"
    for key in ("mean", "std"):
        values = recipe[key]
        if not (isinstance(values, list) and len(values) == count and all(_number(value) for value in values)):
            yield f"{key}: must be {count} number{'s' * (count > 1)}, one a channel"
        elif key == "std" and 0 in values:
            yield "std: must not be 0"


def _covers(resize: Any, size: list[int]) -> bool:
    sides = resize if isinstance(resize, list) and len(resize) == 2 else [resize, resize]
    return all(type(side) is int and side >= least for side, least in zip(sides, size, strict=True))


def _metric_faults(key: str, rows: Any, origin: str) -> Iterable[str]:
    if not isinstance(rows, list):
        yield f"{key}: must be a list"
        return
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            yield f"{key}[{index}]: must be an object"
        elif (fault := _keys_fault(row, ("metric", "value", "dataset", origin), ("tolerance",))) is not None:
            yield f"{key}[{index}].{fault}"
        elif type(row["value"]) is not float:
            yield f"{key}[{index}].value: must be a number with a decimal point"
        elif "tolerance" in row and not (_number(row["tolerance"]) and row["tolerance"] >= 0):
            yield f"{key}[{index}].tolerance: must be a number that is not negative"
        elif not all(_line(row[name]) for name in ("metric", "dataset", origin)):
            yield f"{key}[{index}]: metric, dataset and {origin} must be text"


def _keys_fault(value: Mapping[str, Any], keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> str | None:
    allowed = [*keys, *optional]
    for key in value:
        if key not in allowed:
            return f"{key}: is not a key of this object; {', '.join(allowed)} are"
    for key in keys:
        if key not in value:
            return f"{key}: is missing"
    if list(value) != [key for key in allowed if key in value]:
        return f"{next(iter(value))}: keys must stand in the order {', '.join(allowed)}"
    return None


def _line(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\n" not in value


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < float("inf")


def _url(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if value.startswith(PACKAGE):
        parts = value.removeprefix(PACKAGE).split("/")
        return all(FILE_NAME.fullmatch(part) for part in parts)
    parts_of = urlsplit(value)
    return parts_of.scheme == "file" or (parts_of.scheme in ("http", "https") and bool(parts_of.hostname))
