"""What texts cost beside the bare runtime, as two ratios measured in one run.

    python -m benchmarks.words sentences.txt --out benchmarks/results/words.json

1. embed: sentences a second through `Predictor.stream` against a bare loop of Hugging Face's `tokenizers`, onnxruntime
   over the same file, and the scaling to length 1 (at least 0.95). Both read the same 1,000 sentences, one at a time,
   in alternating stretches.
2. cold: wall time of a whole process, `kerazoo predict` over a prepared artefact against a script that builds the same
   network in Keras, loads its weights and answers the same text (at most 0.15).

Only the ratios mean something: each pair ran on the same machine in the same minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kerazoo
from benchmarks import record
from benchmarks.cold import medians
from kerazoo import registry

MODEL = "minilm_l6:all"
STRETCHES = 10

KERAS_SCRIPT = """
import numpy as np
from kerazoo import registry
from kerazoo.ops import numpy as ops
built = registry.build({model!r})
text = np.array([{text!r}.encode()], object)
vector = np.asarray(built.keras(built.task.input.prepare(ops, text))["embedding"])[0]
print(vector[:6] / np.linalg.norm(vector))
"""


def bare_loop(predictor: kerazoo.Predictor, folder: Path) -> Callable[[str], Any]:
    """The shortest code that gives the same vector with the same runtime."""
    from tokenizers import BertWordPieceTokenizer

    network: Any = predictor.network
    codec: Any = predictor.task.input  # type: ignore[attr-defined]
    words = folder / "vocabulary.txt"
    words.write_bytes(codec.words.dumps())
    tokenizer = BertWordPieceTokenizer(str(words), lowercase=codec.lower)
    tokenizer.enable_truncation(codec.length)
    run = network.sessions["network"].run

    def answer(text: str) -> Any:
        tokens = np.array([tokenizer.encode(text).ids], np.int32)
        vector = run(["embedding"], {"tokens": tokens})[0][0]
        return vector / np.linalg.norm(vector)

    return answer


def embed(predictor: kerazoo.Predictor, bare: Callable[[str], Any], sentences: list[str]) -> dict[str, float]:
    """Sentences a second of both, and how far their vectors lie apart."""
    apart = max(float(np.abs(predictor(text).vector - bare(text)).max()) for text in sentences[:50])  # type: ignore[attr-defined]
    spent = {"kerazoo": 0.0, "bare": 0.0}
    size = len(sentences) // STRETCHES
    for stretch in range(STRETCHES):
        part = sentences[stretch * size : (stretch + 1) * size]
        sides = {
            "kerazoo": lambda part=part: [prediction.result for prediction in predictor.stream(part)],
            "bare": lambda part=part: [bare(text) for text in part],
        }
        for name in sides if stretch % 2 else reversed(sides):
            start = time.perf_counter()
            sides[name]()
            spent[name] += time.perf_counter() - start
    rates = {name: size * STRETCHES / seconds for name, seconds in spent.items()}
    return {**rates, "ratio": rates["kerazoo"] / rates["bare"], "apart": apart}


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
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()

    lines = [line.strip() for line in arguments.sentences.read_text(encoding="utf-8").splitlines()]
    sentences = [line for line in lines if line][: arguments.count]
    registry.find(MODEL).fetch()
    predictor = kerazoo.load(MODEL, "onnx", say=lambda line: print(line, file=sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        figures = {"embed": embed(predictor, bare_loop(predictor, Path(folder)), sentences)}
    print(f"embed  {figures['embed']['ratio']:.3f}  (at least 0.95)", flush=True)
    figures["cold"] = cold(sentences[0], arguments.rounds)
    print(f"cold   {figures['cold']['ratio']:.3f}  (at most 0.15)")
    if arguments.out:
        record.keep(arguments.out, {"model": MODEL, "sentences": len(sentences), **figures, **record.origin("words")})


if __name__ == "__main__":
    main()
