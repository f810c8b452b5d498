"""What pruning came to, in the words of "What is the State of Neural Network Pruning?", arXiv:2003.03033.

Compression ratio is parameters before by parameters after that are not zero, all parameters counted; theoretical
speed-up is multiply-adds before by those of the weights that are left (section 3 and appendix A).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kerazoo.prune.graph import kernels


def counts(before: Any, after: Any, keep: Iterable[str] = ()) -> dict[str, Any]:
    """Parameters and multiply-adds of two Keras models, and their ratios."""
    whole, left = kernels(before), kernels(after)
    prunable = kernels(after, keep)
    multiply_adds = sum(kernel.multiply_adds for kernel in whole)
    effective = sum(kernel.multiply_adds * _nonzero(kernel.variable) / kernel.size for kernel in left)
    params, nonzero = before.count_params(), sum(_nonzero(variable) for variable in after.weights)
    return {
        "parameters": {"before": params, "after": after.count_params(), "not zero": nonzero},
        "multiply-adds": {
            "before": multiply_adds,
            "after": sum(kernel.multiply_adds for kernel in left),
            "of weights that are not zero": round(effective),
        },
        "sparsity": round(1 - sum(_nonzero(each.variable) for each in prunable) / sum(each.size for each in prunable), 6),
        "compression ratio": round(params / nonzero, 4),
        "theoretical speed-up": round(multiply_adds / effective, 4),
    }


def _nonzero(variable: Any) -> int:
    return int(np.count_nonzero(variable.numpy()))
