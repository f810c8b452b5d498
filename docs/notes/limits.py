"""Operations against accuracy: what a point more has cost among the classifiers of this package.

    python docs/notes/limits.py

Multiply-adds are counted from the built networks; accuracies are those of the manifest (top-1 on ImageNet, published).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def measured() -> list[tuple[str, float, float]]:
    """Of each classifier of ImageNet with a figure: its name, million multiply-adds a picture, and error in percent."""
    import keras

    from kerazoo import manifest, registry

    rows = []
    for name, (family, variant) in registry.variants().items():
        entries = [entry for entry in manifest.entries_of(name) if entry.name == f"{name}:imagenet"]
        values = [figure["value"] for entry in entries for figure in entry.published if figure["metric"] == "top-1"]
        if values:
            keras.backend.clear_session()
            model = family.build(variant.config)
            rows.append((name, multiply_adds(model) / 1e6, 100 - values[0]))
    return sorted(rows, key=lambda row: row[1])


def multiply_adds(model: Any) -> int:
    """Of one picture: each kernel at each place of what its layer gives."""
    from kerazoo.train.calls import calls

    return sum(
        math.prod(call.outputs[0].shape[1:-1]) * math.prod(weight.shape)
        for call in calls(model)
        for weight in call.layer.weights
        if len(weight.shape) > 1
    )


def fitted(rows: list[tuple[str, float, float]]) -> tuple[float, float]:
    """The power and the factor of `error = factor * operations ** power`, by least squares of the logarithms."""
    operations, errors = (np.log([row[column] for row in rows]) for column in (1, 2))
    power, shift = np.polyfit(operations, errors, 1)
    return float(power), float(np.exp(shift))


def main() -> None:
    rows = measured()
    power, factor = fitted(rows)
    print("| network | million multiply-adds | error | the fit's |\n|---|---|---|---|")
    for name, operations, error in rows:
        print(f"| `{name}` | {operations:,.0f} | {error:.1f} % | {factor * operations**power:.1f} % |")
    print(
        f"\nerror = {factor:.1f} * operations ^ {power:.3f}; half the error is {2 ** (-1 / power):,.0f} times the work"
    )


if __name__ == "__main__":
    main()
