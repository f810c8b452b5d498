"""More than one device for one training."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from kerazoo.errors import UsageError
from kerazoo.lazy import keras


@contextlib.contextmanager
def sharing(count: int) -> Iterator[None]:
    """Within it, a state that is made or loaded lies on so many devices, and a step shares its batch among them.

    It is `tf.distribute.MirroredStrategy`: each device holds all variables and gets an equal share of each batch, and
    their gradients are added up, so that the loss falls as it does on one device with the whole batch. What looks at a
    batch as a whole, such as batch normalisation, sees its device's share alone.

    Args:
        count: 1 for no sharing; GPUs where there are so many, else the processors that TensorFlow is set up to see.

    Raises:
        UsageError: There are fewer devices, or Keras' backend is another one.
    """
    if count == 1:
        yield
        return
    if keras.backend.backend() != "tensorflow":
        raise UsageError(f"devices={count} is for Keras' TensorFlow backend; this is {keras.backend.backend()}.")
    import tensorflow as tf

    kinds = {kind: tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU")}
    found = next((each for each in kinds.values() if len(each) >= count), None)
    if found is None:
        seen = ", ".join(f"{len(each)} {kind}" for kind, each in kinds.items())
        raise UsageError(f"{count} devices were asked for; TensorFlow sees {seen}.\nAsk for fewer with --devices.")
    with _strategy(tuple(device.name for device in found[:count])).scope():
        yield


@functools.cache
def _strategy(names: tuple[str, ...]) -> Any:
    """One for a process: TensorFlow numbers the reductions of a second one as those of the first, and mixes them up."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names))
