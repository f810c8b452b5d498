"""What a person states about a file, held against what the file is found to be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import assets, formats
from kerazoo.codecs.image import Image, Normalise, scene
from kerazoo.contract import Port, Signature
from kerazoo.engines.adapter import LAYOUTS, Adapted, Adapter, Seam
from kerazoo.errors import UsageError, near
from kerazoo.own import describing
from kerazoo.own.ends import ends_of, output_of
from kerazoo.own.ports import Held, Opened
from kerazoo.tasks.classify import OUTPUTS, Classify

CHANNELS = ("rgb", "bgr", "gray")
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Statement:
    """What a classifier of pictures does, as a person says it.

    Attributes:
        labels: One name a class, in the order of the output; `None` calls them `class_0`, ...
        size: Height and width of the input; `None` where the file says it.
        resize: As `kerazoo.codecs.image.Image` takes it.
        interpolation: `bilinear` or `bicubic`.
        channels: `rgb`, `bgr` or `gray`; `None` where the file or the normalisation says it.
        normalise: What makes pixels 0..255 the input; or `tf`, `torch`, `caffe`, `none`, as in keras.applications.
        background: `first` or `last` where the output has one unit more, for none of the classes.
        ends: `logits`, `probabilities` or `independent` (logits of classes that do not exclude each other); `None`
            where it can be seen.
        output, input, signature: Names in the file, where it has several.
        layout: `nhwc` or `nchw`, where the shape of the input does not say it.
        exact_pixels: Whether large pictures are always decoded whole.
    """

    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"
    channels: str | None = None
    normalise: Normalise | str | None = None
    background: str | None = None
    ends: str | None = None
    output: str | None = None
    input: str | None = None
    signature: str | None = None
    layout: str | None = None
    exact_pixels: bool = False


def statement(
    *,
    labels: str | os.PathLike[str] | Iterable[str] | None = None,
    size: int | tuple[int, int] | None = None,
    **others: Any,
) -> Statement:
    """A statement of words, checked as far as it can be without the file.

    Args:
        labels: A text file with a name a line, the name of labels that come with Kerazoo (`imagenet1k`), or the names.
        size: One number for a square.
        others: See `Statement`.

    Raises:
        UsageError: A word is not known, or labels cannot be read.
    """
    sides = (size, size) if isinstance(size, int) else size
    stated = Statement(labels=read_labels(labels) if labels is not None else None, size=sides, **others)
    resize = (stated.resize,) if isinstance(stated.resize, int) else stated.resize
    for name, given in (("size", stated.size), ("resize", resize)):
        if given is not None and not all(isinstance(side, int) and 0 < side <= 1 << 14 for side in given):
            raise UsageError(f"{name}={'x'.join(map(str, given))} is no size in pixels.")
    words: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("interpolation", INTERPOLATIONS),
        ("channels", CHANNELS),
        ("background", ("first", "last")),
        ("ends", OUTPUTS),
        ("layout", LAYOUTS),
    )
    for name, known in words:
        word = getattr(stated, name)
        if word is not None and word not in known:
            raise UsageError(f"{name}={word!r} is not known; allowed are {', '.join(known)}.{near(str(word), known)}")
    if isinstance(stated.normalise, str) and stated.normalise not in describing.MODES:
        modes = ", ".join(describing.MODES)
        raise UsageError(f"normalise={stated.normalise!r} is not known; allowed are a Normalise, {modes}.")
    return stated


def read_labels(labels: str | os.PathLike[str] | Iterable[str]) -> tuple[str, ...]:
    """One name a class: from a text file, by the name of labels that come with Kerazoo, or as they are given.

    Raises:
        UsageError: The file cannot be read or is empty, or a line is.
    """
    if not isinstance(labels, (str, os.PathLike)):
        return tuple(str(label) for label in labels)
    path = Path(labels).expanduser()
    if not path.exists():
        if path.suffix or path.name != str(labels):
            raise UsageError(f"No such file of labels: {path}")
        return assets.labels(str(labels))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels in {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return labels_of(text, str(path))


def labels_of(text: str, name: str) -> tuple[str, ...]:
    """One name a class, of the text of a file of this name.

    Raises:
        UsageError: It is empty, or a line is.
    """
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if not any(lines):
        raise UsageError(f"{name} is empty; it must hold one label a line, in the order of the model's output.")
    if "" in lines:
        raise UsageError(f"Line {lines.index('') + 1} of {name} is empty; every line names a class.")
    # A line is the name, or an identifier (a WordNet id), a tab and the name.
    return tuple(line.rpartition("\t")[2].strip() or line for line in lines)


@dataclass(frozen=True)
class Described:
    """A file with its task.

    Attributes:
        task: What it does.
        normalise: What is done to pixels first.
        adapter: How its tensors become the task's ports.
        assumed: What was not stated.
    """

    task: Classify
    normalise: Normalise | None
    adapter: Adapter
    assumed: tuple[str, ...]


def describe(opened: Opened, stated: Statement) -> Described:
    """A classifier of pictures from what is stated about an opened file, which is run to see that it is so.

    Raises:
        UsageError: The file is not what was stated, or more must be stated; what was found is told.
    """
    assumed: list[str] = []
    held = _input(opened, stated)
    output = _output(opened, stated)
    layouts = _layouts(held, stated)
    tried: list[tuple[Image, Normalise | None, Adapter, np.ndarray]] = []
    why = ""
    for layout in layouts:
        image, normalise, said = _picture(opened, held, layout, stated)
        adapter = Adapter(
            (Seam(image.tensor.name, held.name, held.dtype, layout, held.scale, held.zero_point),),
            (Seam("scores", output.name, output.dtype, "nhwc", output.scale, output.zero_point),),
            opened.part,
        )
        try:
            tried.append((image, normalise, *_run(opened, adapter, image, normalise, held)))
        except UsageError as error:
            why = str(error)
            continue
        assumed += said
    if not tried:
        raise UsageError(why)
    if len(tried) > 1:
        raise UsageError(
            f"The input {held} runs with channels last and with channels before height and width.\n"
            f"State which: --layout {' or '.join(LAYOUTS)}."
        )
    image, normalise, adapter, values = tried[0]
    units = values.shape[-1]
    labels, single = _labels(stated, units, assumed)
    ends = output_of(ends_of(values, output.scale), stated.ends, units, assumed)
    task = Classify(image, labels, output=ends, background=stated.background, single=single)
    # The name of the port says which of the two it is.
    seams = (replace(adapter.outputs[0], port=task.parts["network"].outputs[0].name),)
    return Described(task, normalise, replace(adapter, outputs=seams), tuple(assumed))


def _named(several: tuple[Held, ...], name: str, what: str) -> Held:
    for each in several:
        if each.name == name:
            return each
    names = [each.name for each in several]
    raise UsageError(f"The file has no {what} {name!r}; it has {', '.join(names)}.{near(name, names)}")


def _input(opened: Opened, stated: Statement) -> Held:
    if stated.input is not None:
        _named(opened.inputs, stated.input, "input")
    if len(opened.inputs) != 1:
        found = "; ".join(map(str, opened.inputs)) or "nothing"
        raise UsageError(
            f"A classifier of pictures takes one input; this takes {len(opened.inputs)}: {found}.\n"
            "Export the model again with the picture as its only input."
        )
    held = opened.inputs[0]
    if held.dtype not in ("float32", "float16", "float64", "uint8", "int8", "int16", "int32", "int64"):
        raise UsageError(f"The input {held} takes no pixels: numbers are expected. Name another --signature, if any.")
    if held.shape is not None and len(held.shape) != 4:
        raise UsageError(
            f"The input {held} takes no pictures: four axes are expected, [batch, height, width, channels]."
        )
    if held.shape is not None and held.shape[0] not in (None, 1):
        raise UsageError(f"The input {held} takes {held.shape[0]} pictures at a time; any number, or one, is expected.")
    return held


def _output(opened: Opened, stated: Statement) -> Held:
    if stated.output is not None:
        named = _named(opened.outputs, stated.output, "output")
        if opened.model is not None and len(opened.outputs) > 1:
            raise UsageError(
                f"A Keras file is taken as it is, and this has {len(opened.outputs)} outputs.\n"
                "Save the part that classifies: keras.Model(model.inputs, model.outputs[0])."
            )
        return named
    if len(opened.outputs) == 1:
        only = opened.outputs[0]
        if opened.model is not None and only.shape is not None and len(only.shape) != 2:
            raise UsageError(f"The output {only} is no row of scores: add a Flatten, so that it is [batch, classes].")
        return only
    found = "; ".join(map(str, opened.outputs)) or "nothing"
    raise UsageError(f"The file has {len(opened.outputs)} outputs: {found}.\nState which: --output NAME.")


def _layouts(held: Held, stated: Statement) -> tuple[str, ...]:
    """Layouts that an input can have."""
    if held.shape is None:
        return (stated.layout,) if stated.layout else LAYOUTS
    _, second, _, last = held.shape
    possible = tuple(layout for layout, side in (("nhwc", last), ("nchw", second)) if side in (None, 1, 3))
    if stated.layout is not None:
        if stated.layout not in possible:
            raise UsageError(f"The input {held} is not {stated.layout}: pictures have 1 channel (grey) or 3.")
        return (stated.layout,)
    # A side that is known to be that of channels says more than one that can be any.
    sure = tuple(layout for layout, side in (("nhwc", last), ("nchw", second)) if side in (1, 3))
    if not possible:
        raise UsageError(f"The input {held} takes no pictures: 1 channel (grey) or 3 are expected, first or last.")
    return sure or possible


def _picture(opened: Opened, held: Held, layout: str, stated: Statement) -> tuple[Image, Normalise | None, list[str]]:
    """How a picture becomes the input, and what was assumed."""
    assumed: list[str] = []
    shape = held.shape or (None,) * 4
    tall, wide, depth = shape[1:] if layout == "nhwc" else (shape[2], shape[3], shape[1])
    size = stated.size or (None, None)
    for name, found, wanted in (("high", tall, size[0]), ("wide", wide, size[1])):
        if found is not None and wanted is not None and found != wanted:
            raise UsageError(
                f"The graph takes pictures {found} pixels {name}; size {size[0]}x{size[1]} was stated ({held}).\n"
                f"Leave --size out, or export the model again for that size."
            )
    height, width = tall or size[0], wide or size[1]
    if height is None or width is None:
        raise UsageError(f"The input {held} takes pictures of any size: state the one it was trained at, --size 224.")
    normalise, said = _normalise(opened, stated)
    assumed += said
    gray = "gray" in (stated.channels, normalise.channels if normalise is not None else None)
    channels = depth or (1 if gray else 3)
    if depth == 3 and gray or depth == 1 and stated.channels in ("rgb", "bgr"):
        raise UsageError(f"The input {held} has {depth} channels; {stated.channels or 'gray'} were stated.")
    if channels == 1 and normalise is not None:
        if len(normalise.mean) > 1 or len(normalise.std) > 1:
            raise UsageError(f"The input {held} is grey; a mean and a std for each of three channels were stated.")
        normalise = replace(normalise, channels="gray")
    if stated.resize is None:
        assumed.append(f"pictures stretched to {height}x{width}")
    _check_span(held, normalise)
    if opened.model is not None and layout == "nchw":
        raise UsageError(
            f"The input {held} has channels before height and width; of Keras models, channels last are expected."
        )
    image = Image(height, width, channels, stated.resize, stated.interpolation, exact=stated.exact_pixels)
    return image, normalise, assumed


def _normalise(opened: Opened, stated: Statement) -> tuple[Normalise | None, list[str]]:
    assumed: list[str] = []
    given = stated.normalise
    if given is None and opened.model is not None:
        chosen = describing.normalise_of(describing.recognised(opened.model)[0], None, assumed)
    elif given is None:
        chosen = None
        assumed.append("pixels 0..255 as they are")
    else:
        chosen = describing.MODES[given] if isinstance(given, str) else given
    if stated.channels in ("rgb", "bgr"):
        if given == "caffe" and stated.channels == "rgb":
            raise UsageError("caffe is BGR with Caffe's means; for RGB state --scale, --mean and --std.")
        if chosen is not None or stated.channels == "bgr":
            chosen = replace(chosen or Normalise(), channels=stated.channels)
    return chosen, assumed


def _check_span(held: Held, normalise: Normalise | None) -> None:
    """Whether normalised pixels fit into an input of whole numbers."""
    if held.span is None:
        return
    low, high = held.span
    ends = np.stack([(normalise or Normalise())(np.full((1, 3), value, np.float32)) for value in (0.0, 255.0)])
    first, last = float(ends.min()), float(ends.max())
    shared = min(high, last) - max(low, first)
    if shared < 0.5 * (last - first) or high - low > 8 * (last - first):
        if not held.scale and high > 255:
            return  # Wide whole numbers hold any pixels.
        raise UsageError(
            f"The input holds numbers from {low:.4g} to {high:.4g} ({held});\n"
            f"pixels as stated are {first:.4g} to {last:.4g}. State what the network was trained on:\n"
            "--preprocess tf (-1 to 1), torch, caffe or none (0 to 255), or --scale, --mean and --std."
        )


def _run(
    opened: Opened, adapter: Adapter, image: Image, normalise: Normalise | None, held: Held
) -> tuple[Adapter, np.ndarray]:
    """The adapter with what was seen to hold of it, and what the network answers to pictures, [rows, units].

    Raises:
        UsageError: It does not run, or answers no row of numbers a picture.
    """
    from kerazoo.ops import numpy as ops

    pixels = image.prepare(ops, [scene(), scene(80, 60), scene(200, 200)])
    pixels[1] = 255 - pixels[1]
    signature = Signature((image.tensor,), (Port("scores", "float32", (None, None)),))
    row_by_row = held.shape is not None and held.shape[0] == 1

    def asked(rows: np.ndarray) -> np.ndarray:
        network = _Scores(opened.network, adapter.outputs[0].tensor)
        one = Adapted(network, replace(adapter, row_by_row=False), signature, normalise)
        return np.asarray(one({image.tensor.name: rows})["scores"])

    try:
        rows = [asked(pixels[index : index + 1]) for index in range(len(pixels))]
    except UsageError:
        raise
    except Exception as error:  # Engines raise what they like.
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(
            f"The input {held} cannot be asked about a picture of {image.height}x{image.width}: {why[:300]}\n"
            "Is --size the one that it was made for?"
        ) from None
    values = np.concatenate(rows)
    if not np.isfinite(values).all():
        raise UsageError(f"{adapter.outputs[0].tensor!r} answers NaN or infinity to a picture; are these its weights?")
    if not row_by_row:
        try:
            row_by_row = asked(pixels).shape != values.shape
        except Exception:  # Some files say that they take any batch, and take one row.
            row_by_row = True
    return replace(adapter, row_by_row=row_by_row and opened.engine != formats.LITERT.engine), values


@dataclass(frozen=True)
class _Scores:
    """A network's one output as a row of numbers a picture, however many there are."""

    inner: Any
    output: str

    @property
    def ops(self) -> Any:
        return self.inner.ops

    def part(self, name: str) -> _Scores:
        return self

    def __call__(self, inputs: Any) -> Any:
        rows = len(next(iter(inputs.values())))
        value = np.asarray(self.inner(inputs)[self.output])
        # Some files answer one picture without a batch axis.
        inside = value.shape[1:] if value.ndim and value.shape[0] == rows else value.shape
        if sum(side != 1 for side in inside) > 1:
            raise UsageError(
                f"The output {self.output!r} answers {list(value.shape)} to {rows} picture: "
                "a score a class is expected, [batch, classes].\n"
                "Is there another output? --output NAME"
            )
        return {self.output: value.reshape(rows, -1)}


def _labels(stated: Statement, units: int, assumed: list[str]) -> tuple[tuple[str, ...], bool]:
    """The labels, and whether the one output is the second of two classes."""
    background = stated.background is not None
    single = units == 1 and not background
    count = 2 if single else units - background
    labels = stated.labels
    if labels is None:
        assumed.append(f"labels class_0 to class_{count - 1}")
        return tuple(f"class_{index}" for index in range(count)), single
    if len(labels) != count:
        hint = f"{count} are expected"
        if not background and len(labels) == units - 1:
            hint = "if one unit is for none of the classes, state --background first or --background last"
        elif background and len(labels) == units:
            hint = "leave --background out: every unit has a label"
        raise UsageError(f"The output has {units} units and there are {len(labels)} labels; {hint}.")
    return labels, single
