"""One artefact in a process of its own: opened, timed, asked. It reads orders from stdin, one JSON object a line.

    {"do": "open", "word": ..., "engine": ..., "threads": ...}   -> {"task": ..., "seconds": ...}
    {"do": "time", "runs": n}                                    -> {"ms": [...]}
    {"do": "rate", "seconds": s}                                 -> {"rate": items a second}
    {"do": "answer", "out": npz, "data": ..., "most": n}         -> {"truths": ..., "count": n}
    {"do": "memory"}                                             -> {"mib": peak}

What fails is answered with {"error": ...}.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Worker:
    """What was opened."""

    def __init__(self) -> None:
        self.network: Any = None
        self.predictor: Any = None
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def open(self, word: str, engine: str, threads: int | None = None) -> dict[str, Any]:
        from kerazoo import engines, loading
        from kerazoo.export import golden as golden_

        start = time.perf_counter()
        if engine == engines.KERAS:
            from kerazoo import own
            from kerazoo.engines import keras as keras_engine
            from kerazoo.engines.quiet import import_tensorflow

            import_tensorflow()
            built = own.find(word).build()
            self.network, goldens = keras_engine.network(built), golden_.goldens_of(built)
            golden = next(iter(goldens.values()))
        else:
            self.network, card = engines.open_network(engine, Path(word), threads)
            if card.golden is None:
                raise ValueError("It carries no golden request to be timed with.")
            golden = golden_.answer(card.task, self.network, golden_.from_card(card.golden).request)
        self.predictor = loading.load(word, engine, threads=threads)
        self.calls = [(call.part, call.inputs) for call in golden.calls]
        self.time(2)
        return {"seconds": time.perf_counter() - start}

    def _once(self) -> None:
        for part, inputs in self.calls:
            self.network.part(part)(inputs)

    def time(self, runs: int) -> dict[str, Any]:
        found = []
        for _ in range(runs):
            start = time.perf_counter()
            self._once()
            found.append((time.perf_counter() - start) * 1e3)
        return {"ms": found}

    def rate(self, seconds: float) -> dict[str, Any]:
        done = [0] * (os.cpu_count() or 1)
        end = time.perf_counter() + seconds

        def work(number: int) -> None:
            while time.perf_counter() < end:
                self._once()
                done[number] += 1

        start = time.perf_counter()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(done))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return {"rate": sum(done) / (time.perf_counter() - start)}

    def answer(self, out: str, data: str | None = None, most: int = 0) -> dict[str, Any]:
        from kerazoo.bench import items
        from kerazoo.predictor import request_row, stack

        task = self.predictor.task
        several, truths = items.of(task, data, most)
        responses = []
        for item in several:
            row = request_row(task, item)
            if self.predictor.plain:
                from kerazoo import codecs

                row = {port.name: codecs.of(port).plain(row[port.name]) for port in task.request}
            responses.append(self.predictor.answer(stack(task, [row])))
        items.save(responses, Path(out))
        return {"truths": truths, "count": len(responses)}

    def memory(self) -> dict[str, Any]:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"mib": most / (2**20 if sys.platform == "darwin" else 2**10)}


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Runtimes print to descriptor 1.
    worker = Worker()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(worker, order.pop("do"))(**order)
        except Exception as error:  # Engines raise what they like; it is one row of the table.
            text = str(error).strip()
            answer = {"error": text.splitlines()[0] if text else type(error).__name__}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
