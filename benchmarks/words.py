"""What texts cost beside the bare runtime, in 8 bits and without a cache, as ratios measured in one run.

    python -m benchmarks.words sentences.txt --out benchmarks/results/words.json
    python -m benchmarks.words sentences.txt --only cache

1. embed: sentences a second through `Predictor.stream` against a bare loop of Hugging Face's `tokenizers`, onnxruntime
   as it is by default over the same graph, and the scaling to length 1 (at least 0.95). Both read the same 1,000
   sentences, one at a time, in alternating stretches.
2. cold: wall time of a whole process, `kerazoo predict` over a prepared artefact against a script that builds the same
   network in Keras, loads its weights and answers the same text (at most 0.15).
3. dynamic: sentences a second with matrices in 8 bits and ranges found as it runs against floats, both over onnxruntime
   in alternating stretches (at least 1.5), and the mean cosine of their vectors (at least 0.99).
4. cache: 40 tokens written by a translator's decoder that keeps the keys and values of what it wrote, against the same
   decoder that reads all of it anew for each token (at least 3), for one sentence and for eight side by side. For one,
   a step has hardly anything to do but read the weights, with the cache and without.
5. plain: sentences a second over the simplified graph of an artefact against the one that tf2onnx writes.

Only the ratios mean something: each pair ran on the same machine in the same minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import kerazoo
from benchmarks import record
from benchmarks.cold import medians
from kerazoo import registry

MODEL = "minilm_l6:all"
STRETCHES = 20

TRANSLATOR, TOKENS = "transformer_small:multi30k-de-en", 40

KERAS_SCRIPT = """
import numpy as np
from kerazoo import registry
from kerazoo.ops import numpy as ops
built = registry.build({model!r})
text = np.array([{text!r}.encode()], object)
vector = np.asarray(built.keras(built.task.input.prepare(ops, text))["embedding"])[0]
print(vector[:6] / np.linalg.norm(vector))
"""


def bare_loop(predictor: kerazoo.Predictor, folder: Path, lean: bool = True) -> Callable[[str], Any]:
    """The shortest code that gives the same vector with the same runtime; `lean` as of `session`."""
    from tokenizers import BertWordPieceTokenizer

    codec: Any = predictor.task.input  # type: ignore[attr-defined]
    words = folder / "vocabulary.txt"
    words.write_bytes(codec.words.dumps())
    tokenizer = BertWordPieceTokenizer(str(words), lowercase=codec.lower)
    tokenizer.enable_truncation(codec.length)
    run = session(MODEL, "network", "embedding", lean=lean).run

    def answer(text: str) -> Any:
        tokens = np.array([tokenizer.encode(text).ids], np.int32)
        vector = run(["embedding"], {"tokens": tokens})[0][0]
        return vector / np.linalg.norm(vector)

    return answer


def session(name: str, part: str, output: str, free: str = "", lean: bool = True) -> Any:
    """A part of a network on onnxruntime, with the options that it has by default.

    Args:
        output: The only one that is kept.
        free: An input of which there may be any number side by side; in an artefact a decoder reads one token.
        lean: Whether it is simplified as exports are, or as tf2onnx wrote it.
    """
    import onnxruntime
    import tensorflow as tf
    import tf2onnx

    from kerazoo.engines import keras as keras_engine
    from kerazoo.export.simplify import simplify
    from kerazoo.ops import tensorflow as ops

    built = registry.build(name)
    network, ports = keras_engine.network(built, ops).part(part), built.task.parts[part].inputs
    given = [tf.TensorSpec((None, None) if each.name == free else each.shape, each.dtype, each.name) for each in ports]
    inputs = [port.name for port in ports]

    @tf.function(input_signature=given)
    def run(*tensors: Any) -> Any:
        return {output: tf.identity(network(dict(zip(inputs, tensors, strict=True)))[output])}

    proto, _ = tf2onnx.convert.from_function(run, given, opset=18)
    if lean:
        simplify(proto)
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def rates(sides: Mapping[str, Callable[[list[str]], Any]], sentences: list[str]) -> dict[str, float]:
    """Sentences a second of two that take turns, and `ratio`: the first's rate by the second's, median over stretches.

    A stretch in which the machine did something else counts as one, however long it lasted.
    """
    spent: dict[str, list[float]] = {name: [] for name in sides}
    size = len(sentences) // STRETCHES
    for stretch in range(STRETCHES):
        part = sentences[stretch * size : (stretch + 1) * size]
        for name in sides if stretch % 2 else reversed(sides):
            start = time.perf_counter()
            sides[name](part)
            spent[name].append(time.perf_counter() - start)
    first, second = (np.array(each) for each in spent.values())
    return {name: size / float(np.median(each)) for name, each in spent.items()} | {
        "ratio": float(np.median(second / first))
    }


def streamed(predictor: kerazoo.Predictor) -> Callable[[list[str]], Any]:
    return lambda part: [prediction.result for prediction in predictor.stream(part)]


def embed(predictor: kerazoo.Predictor, bare: Callable[[str], Any], sentences: list[str]) -> dict[str, float]:
    """Sentences a second of both, and how far their vectors lie apart."""
    apart = max(float(np.abs(predictor(text).vector - bare(text)).max()) for text in sentences[:50])  # type: ignore[attr-defined]
    found = rates({"kerazoo": streamed(predictor), "bare": lambda part: [bare(text) for text in part]}, sentences)
    return {**found, "apart": apart}


def quantised(predictor: kerazoo.Predictor, file: Path, sentences: list[str], folder: Path) -> dict[str, float]:
    """Sentences a second in 8 bits and in floats, and the mean cosine of the vectors."""
    (made,) = kerazoo.export(MODEL, "onnx", folder, precision="dynamic", calibrate=file, say=_say)
    small = kerazoo.load(str(made.path))
    vectors = [[model(text).vector for text in sentences[:200]] for model in (predictor, small)]  # type: ignore[attr-defined]
    cosine = float(np.mean(np.sum(np.multiply(*vectors), -1)))
    found = rates({"dynamic": streamed(small), "float": streamed(predictor)}, sentences)
    return {**found, "cosine": cosine}


def plain(predictor: kerazoo.Predictor, sentences: list[str], folder: Path) -> dict[str, float]:
    """Sentences a second over the simplified graph and over what tf2onnx writes, both in a bare loop."""
    both = {"simplified": bare_loop(predictor, folder), "plain": bare_loop(predictor, folder, lean=False)}
    sides = {name: lambda part, answer=answer: [answer(text) for text in part] for name, answer in both.items()}
    return rates(sides, sentences)


def cache(rows: int, decoder: Any, rounds: int = 15) -> dict[str, float]:
    """Median milliseconds of writing the same tokens with the cache and without it."""
    predictor = kerazoo.load(TRANSLATOR, "onnx", say=_say)
    task: Any = predictor.task
    network: Any = predictor.network
    rng = np.random.default_rng(0)
    source, written = rng.integers(4, len(task.target), (2, rows, TOKENS)).astype(np.int32)
    read = np.zeros((rows, task.source.length), np.int32)
    read[:, :TOKENS] = source
    step, begun = task.begun(network, read)
    empty = {port.name: begun[port.name] for port in task.blank}
    summary = network.part("encoder")({task.source.tensor.name: read})
    context = {port.name: summary[port.name] for port in task.context}
    last: dict[str, Any] = {}

    def cached() -> None:
        state = begun
        for place in range(TOKENS):
            last["cached"], state = step(written[:, place], state)

    def anew() -> None:
        for place in range(TOKENS):
            given = {"token": written[:, : place + 1], **empty, **context}
            last["anew"] = decoder.run(["logits"], given)[0][:, -1]

    sides: dict[str, Callable[[], None]] = {"cached": cached, "anew": anew}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if turn:  # The first warms up.
                times[name].append(1e3 * (time.perf_counter() - start))
    np.testing.assert_allclose(last["cached"], last["anew"], atol=1e-3)
    found = {name: float(np.median(each)) for name, each in times.items()}
    return {**found, "ratio": found["anew"] / found["cached"]}


def cold(text: str, rounds: int) -> dict[str, float]:
    """Median seconds of both processes, alternating."""
    commands = {
        "kerazoo": [sys.executable, "-m", "kerazoo", "predict", text, "-m", MODEL],
        "keras": [sys.executable, "-c", KERAS_SCRIPT.format(model=MODEL, text=text)],
    }
    spent = medians(commands, rounds)
    return {**spent, "ratio": spent["kerazoo"] / spent["keras"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path, help="a text file, one sentence a line")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5, help="of the cold start")
    parser.add_argument("--only", choices=("embed", "cold", "dynamic", "cache", "plain"), action="append")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()

    lines = [line.strip() for line in arguments.sentences.read_text(encoding="utf-8").splitlines()]
    sentences = [line for line in lines if line][: arguments.count]
    wanted = arguments.only or ("embed", "cold", "dynamic", "cache", "plain")
    registry.find(MODEL).fetch()
    predictor = kerazoo.load(MODEL, "onnx", say=_say)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if "embed" in wanted:
            figures["embed"] = embed(predictor, bare_loop(predictor, Path(folder)), sentences)
            print(f"embed  {figures['embed']['ratio']:.3f}  (at least 0.95)", flush=True)
        if "cold" in wanted:
            figures["cold"] = cold(sentences[0], arguments.rounds)
            print(f"cold   {figures['cold']['ratio']:.3f}  (at most 0.15)", flush=True)
        if "dynamic" in wanted:
            figures["dynamic"] = quantised(predictor, arguments.sentences, sentences, Path(folder))
            print(
                f"dynamic {figures['dynamic']['ratio']:.3f}  (at least 1.5), "
                f"cosine {figures['dynamic']['cosine']:.4f}  (at least 0.99)", flush=True,
            )  # fmt: skip
        if "cache" in wanted:
            decoder = session(TRANSLATOR, "decoder", "logits", free="token")
            figures["cache"] = {f"{rows} rows": cache(rows, decoder) for rows in (1, 8)}
            shown = ", ".join(f"{name} {each['ratio']:.3f}" for name, each in figures["cache"].items())
            print(f"cache  {shown}  (at least 3)", flush=True)
        if "plain" in wanted:
            figures["plain"] = plain(predictor, sentences, Path(folder))
            print(f"plain  {figures['plain']['ratio']:.3f}")
    if arguments.out:
        record.keep(arguments.out, {"model": MODEL, "sentences": len(sentences), **figures, **record.origin("words")})


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
