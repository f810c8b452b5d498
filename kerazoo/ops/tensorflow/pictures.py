"""Pictures: decoding, resizing and encoding in a graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def decode_image(data: Any, channels: int) -> Any:
    # The accurate inverse DCT is what Pillow uses; TensorFlow's default differs by up to four grey levels.
    rgb = tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    rgb = tf.ensure_shape(rgb, (None, None, 3))
    if channels == 3:
        return rgb
    # ITU-R 601 luma in 16-bit fixed point, rounded as Pillow rounds it.
    wide = tf.cast(rgb, tf.int32)
    luma = (wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 0x8000) // 65536
    return tf.cast(luma, tf.uint8)[..., None]


def decode_picture(data: Any, channels: int, enough: Any = None) -> Any:
    # All of it: decode_jpeg can halve a picture, but not by a number that the picture itself decides.
    return decode_image(data, channels)


def crop(pixels: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    return pixels[top : top + height, left : left + width]


def encode_png(pixels: Any) -> Any:
    return tf.io.encode_png(pixels, compression=4)


def resize(pixels: Any, height: Any, width: Any, interpolation: str, part: tuple[Any, ...] | None = None) -> Any:
    # Pillow's bicubic has a = -0.5 (Keys); so has TensorFlow's when it antialiases.
    resized = tf.image.resize(pixels, (height, width), method=interpolation, antialias=True)
    levels = tf.clip_by_value(tf.round(resized), 0.0, 255.0)
    return levels if part is None else crop(levels, *part)


def size(pixels: Any) -> tuple[Any, Any]:
    shape = tf.shape(pixels)
    return shape[0], shape[1]


def whole(array: Any) -> Any:
    return tf.cast(tf.clip_by_value(tf.round(array), 0.0, 255.0), tf.uint8)
