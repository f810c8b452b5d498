"""The `savedmodel` engine: a bundle's `serving_default`, where the whole answer is baked in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import seal
from kerazoo.contract import Network, Tensors
from kerazoo.engines import safety
from kerazoo.engines.adapter import adapted
from kerazoo.engines.card import FOLDER, Card, of_folder
from kerazoo.engines.quiet import import_tensorflow
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops


@dataclass(frozen=True)
class SavedModelNetwork:
    """The tensor signatures of a bundle by part name, on NumPy arrays; or traced with TensorFlow's ops."""

    loaded: Any
    here: str = "network"
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        signatures = self.loaded.signatures
        if self.here not in signatures:
            raise UsageError(f"The SavedModel has the signatures {', '.join(sorted(signatures))}; not {self.here!r}.")
        if self.ops is not ops:
            return signatures[self.here](**inputs)  # On its way into another SavedModel.
        import tensorflow as tf

        try:
            outputs = signatures[self.here](**{name: tf.constant(_plain(value)) for name, value in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            # A check within the graph: its message stands between the brackets.
            said = re.search(r"assertion failed: \[(.*?)\]", str(error))
            raise InputError(said.group(1) if said else str(error).splitlines()[0]) from None
        return {name: output.numpy() for name, output in outputs.items()}

    def part(self, name: str) -> SavedModelNetwork:
        return SavedModelNetwork(self.loaded, name, self.ops)


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    return array.tolist() if array.dtype == object else array


def parsed(path: Path) -> Any:
    """The `SavedModel` message of a folder, which is not run by this.

    Raises:
        UsageError: There is none.
    """
    import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        return saved_model_pb2.SavedModel.FromString((path / safety.FILE).read_bytes())
    except (OSError, DecodeError) as error:
        why = getattr(error, "strerror", None) or "it is damaged"
        raise UsageError(f"{path} cannot be opened as a SavedModel: {safety.FILE}: {why}") from None


def open_saved_model(path: Path, trust: bool = False) -> Any:
    """The loaded SavedModel, with its `signatures`.

    Args:
        path: A version folder.
        trust: Whether its graph may reach files, the network and other code; this machine remembers that.

    Raises:
        UsageError: The folder is not a SavedModel, or its graph reaches for more than tensors and is not trusted.
    """
    if trust:
        safety.trust(path)
    safety.check_saved_model(path, parsed(path))
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(path))
    except Exception as error:  # The loader raises whatever its readers of protobuf and checkpoints raise.
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"{path} cannot be opened as a SavedModel: {why[:300]}") from None


def open_network(path: Path, threads: int | None = None) -> tuple[Network, Card]:
    """Opens a SavedModel that carries a card; a bundle's part `serving_default` is the whole answer.

    Args:
        path: A version folder.
        threads: TensorFlow's own, of the whole process; they are not chosen here.

    Raises:
        UsageError: The folder is not a SavedModel, or has no card.
    """
    card = of_folder(path)
    seal.check_folder(path, FOLDER)
    network = SavedModelNetwork(open_saved_model(path))
    return adapted(network, card.adapter, card.parts, card.normalise), card
