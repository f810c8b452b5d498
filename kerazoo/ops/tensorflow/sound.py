"""Sounds in a graph: 16-bit PCM WAV, and the short-time Fourier transform."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kerazoo.ops.numpy.sound import CHANNELS, hann
from kerazoo.ops.tensorflow.flow import check


def decode_audio(data: Any, channels: int) -> tuple[Any, Any]:
    samples, rate = tf.audio.decode_wav(data)
    if channels == 1:
        return tf.reduce_mean(samples, axis=1, keepdims=True), rate
    frames, there = tf.shape(samples)[0], tf.shape(samples)[1]
    check((there == channels) | (there == 1), CHANNELS.format(channels))
    return tf.broadcast_to(samples, (frames, channels)), rate


def encode_wav(samples: Any, rate: int) -> Any:
    levels = tf.clip_by_value(tf.round(samples * 32768.0), -32768.0, 32767.0)
    return tf.audio.encode_wav(levels / 32768.0, rate)


def stft(signal: Any, frame: int, hop: int) -> Any:
    count, around = tf.shape(signal)[-1], frame // 2
    behind = around + -count % hop
    padded = tf.pad(signal, [(0, 0)] * (len(signal.shape) - 1) + [(around, behind)])
    window = hann(frame)
    return tf.signal.rfft(tf.signal.frame(padded, frame, hop) * window) / tf.cast(window.sum(), tf.complex64)


def istft(spectrum: Any, frame: int, hop: int) -> Any:
    window = hann(frame)
    segments = tf.signal.irfft(spectrum, [frame]) * (window * window.sum())
    total = tf.signal.overlap_and_add(segments, hop)
    squared = tf.broadcast_to(tf.constant(window**2), (tf.shape(segments)[-2], frame))
    weight = tf.signal.overlap_and_add(squared, hop)
    around, behind = frame // 2, tf.shape(total)[-1] - frame // 2
    return (total / tf.where(weight > 1e-10, weight, 1.0))[..., around:behind]
