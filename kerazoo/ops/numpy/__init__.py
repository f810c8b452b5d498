"""The array functions of a task on NumPy and Pillow: no TensorFlow in the process.

Each function has its twin of the same name in `kerazoo.ops.tensorflow`; a test holds one against the other.
"""

from kerazoo.ops.numpy.arrays import (
    abs,
    any,
    arange,
    argmax,
    bincount,
    cast,
    concat,
    cumsum,
    exp,
    full,
    gather,
    gather_batched,
    length,
    log_softmax,
    matmul,
    maximum,
    minimum,
    most,
    pad,
    reshape,
    round,
    searchsorted,
    segment_min,
    segment_sum,
    sigmoid,
    softmax,
    sqrt,
    stack,
    sum,
    top_k,
    transpose,
    unique,
    where,
)
from kerazoo.ops.numpy.flow import check, map_items, map_range, while_loop
from kerazoo.ops.numpy.noise import normal, uniform
from kerazoo.ops.numpy.pictures import (
    crop,
    decode_image,
    decode_picture,
    encode_png,
    resize,
    size,
    whole,
)
from kerazoo.ops.numpy.sound import decode_audio, encode_wav, istft, open_sound, stft
from kerazoo.ops.numpy.text import code_points, join, strings, word_pieces
