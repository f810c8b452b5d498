"""The array functions of a task on TensorFlow, safe in a graph: these are baked into a SavedModel.

Each function has its twin of the same name in `kerazoo.ops.numpy`, which documents it; a test holds one against the
other. What the graph cannot do, the host does before it asks: EXIF rotation, transparency and rare formats
(`kerazoo.codecs.image.plain`).
"""

from kerazoo.ops.tensorflow.arrays import (
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
from kerazoo.ops.tensorflow.flow import check, map_items, map_range, while_loop
from kerazoo.ops.tensorflow.noise import normal, uniform
from kerazoo.ops.tensorflow.pictures import crop, decode_image, decode_picture, encode_png, resize, size, whole
from kerazoo.ops.tensorflow.sound import decode_audio, encode_wav, istft, stft
from kerazoo.ops.tensorflow.text import code_points, join, strings, word_pieces
