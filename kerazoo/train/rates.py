"""Learning rates over time that Keras does not have, and the optimiser whose momentum goes along.

Usable in any Keras script: `model.compile(CycledSGD(OneCycle(0.1).rate(steps, epochs)), ...)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class Lines(keras.optimizers.schedules.LearningRateSchedule):
    """Straight lines between points; before the first and after the last it stays.

    Args:
        places: Steps, ascending.
        values: The rate at each.
        momenta: The same of a momentum, for `CycledSGD`.
    """

    def __init__(self, places: Sequence[float], values: Sequence[float], momenta: Lines | None = None) -> None:
        super().__init__()
        self.places, self.values = [float(place) for place in places], [float(value) for value in values]
        self.momenta = momenta

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        step = ops.cast(step, "float32")
        value = ops.convert_to_tensor(self.values[0], "float32")
        for index in range(1, len(self.places)):
            before, after = self.places[index - 1 : index + 1]
            share = ops.clip((step - before) / max(after - before, 1e-9), 0.0, 1.0)
            value += share * (self.values[index] - self.values[index - 1])
        return value

    def get_config(self) -> dict[str, Any]:
        momenta = keras.saving.serialize_keras_object(self.momenta) if self.momenta else None
        return {"places": self.places, "values": self.values, "momenta": momenta}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lines:
        momenta = config["momenta"] and keras.saving.deserialize_keras_object(config["momenta"])
        return cls(config["places"], config["values"], momenta)


@keras.saving.register_keras_serializable(package="kerazoo")
class Triangles(keras.optimizers.schedules.LearningRateSchedule):
    """From `low` to `high` and back in `2 * half` steps, again and again; see `kerazoo.train.schedules.Triangular`."""

    def __init__(self, low: float, high: float, half: int, fall: float = 1.0) -> None:
        super().__init__()
        self.low, self.high, self.half, self.fall = low, high, half, fall

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        # float32 counts steps exactly up to 16 million.
        step = ops.cast(step, "float32")
        cycle = ops.floor(step / (2 * self.half))
        height = 1 - ops.abs(step / self.half - 2 * cycle - 1)
        return self.low + (self.high - self.low) * height * self.fall**cycle

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "half": self.half, "fall": self.fall}


@keras.saving.register_keras_serializable(package="kerazoo")
class Roots(keras.optimizers.schedules.LearningRateSchedule):
    """Straight up to `peak` in `up` steps, then as one over the root; see `kerazoo.train.schedules.InverseRoot`."""

    def __init__(self, peak: float, up: int) -> None:
        super().__init__()
        self.peak, self.up = peak, up

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        step = ops.cast(step, "float32") + 1
        return self.peak * ops.minimum(step / self.up, ops.sqrt(self.up / step))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "up": self.up}


@keras.saving.register_keras_serializable(package="kerazoo")
class CycledSGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` whose momentum is a schedule.

    Args:
        learning_rate: A schedule; its `momenta` are taken where none are given.
        momenta: From the step to the momentum.
    """

    def __init__(self, learning_rate: Any, momenta: Any = None, nesterov: bool = False, **options: Any) -> None:
        # Not 0, so that Keras makes the variables of a momentum.
        options.pop("momentum", None)
        super().__init__(learning_rate, momentum=0.9, nesterov=nesterov, **options)
        self.momenta = momenta if momenta is not None else learning_rate.momenta

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        ops = keras.ops
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        momentum = ops.cast(self.momenta(self.iterations), variable.dtype)
        moving = self.momentums[self._get_variable_index(variable)]
        self.assign(moving, moving * momentum - gradient * rate)
        self.assign_add(variable, moving * momentum - gradient * rate if self.nesterov else moving)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momenta": keras.saving.serialize_keras_object(self.momenta)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CycledSGD:
        config = {**config, "momenta": keras.saving.deserialize_keras_object(config["momenta"], custom_objects)}
        return super().from_config(config, custom_objects)
