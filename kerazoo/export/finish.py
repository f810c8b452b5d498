"""The last step of writing an artefact: its card, its labels and its metadata go in, and it is sealed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from kerazoo import formats, seal
from kerazoo.engines import card as card_
from kerazoo.engines.card import KEY, Card
from kerazoo.export import metadata


def onnx(path: Path, card: Card) -> None:
    """An .onnx file, or every file of a folder of parts."""
    import onnx as onnx_

    for file in sorted(path.glob("*.onnx")) if path.is_dir() else (path,):
        proto = onnx_.load(str(file))
        del proto.metadata_props[:]
        labels = getattr(card.task, "labels", None)
        told = {KEY: card.dumps(), **{f"{KEY}/{name}": data.decode() for name, data in card.files().items()}}
        if labels:
            told["labels"] = "\n".join(labels)
        for key, value in told.items():
            entry = proto.metadata_props.add()
            entry.key, entry.value = key, value
        proto.producer_name, proto.producer_version = "kerazoo", card.versions.get("kerazoo", "")
        file.write_bytes(proto.SerializeToString())
        seal.seal_onnx(file)


def litert(path: Path, card: Card) -> None:
    """A .tflite file: the metadata in its flatbuffer, card and labels behind it as associated files."""
    labels = getattr(card.task, "labels", None) or ()
    signatures = [each for name, each in card.parts.items() if card.part in (None, name)]
    made = metadata.build(card.model, card.task.kind, card.versions.get("kerazoo", ""), signatures, labels)
    path.write_bytes(metadata.into(path.read_bytes(), made))
    card_.into_archive(path, card)
    if labels:
        with zipfile.ZipFile(path, "a") as associated:
            associated.writestr(metadata.LABELS, "\n".join(labels) + "\n")
    seal.seal_zip(path)


FINISHERS: Mapping[str, Callable[[Path, Card], None]] = {formats.ONNX.engine: onnx, formats.LITERT.engine: litert}
"""By engine; a bundle gets its card where it is written."""
