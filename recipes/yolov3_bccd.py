"""Trains `mobilenetv2_yolov3_nano:bccd`: blood cells, from the network's COCO weights.

    python recipes/yolov3_bccd.py bccd.tar out/
    kerazoo evaluate mobilenetv2_yolov3_nano:bccd bccd.tar

The archive holds BCCD as VOC has it: 205 pictures of 640x480 pixels to learn from, and 87 to measure on, by its own
lists. About ten minutes on one core.
The same command goes on from the state that is there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import kerazoo
from kerazoo import own
from kerazoo.train import fit, product
from kerazoo.train.jobs import Job

BEGIN, NAME = "mobilenetv2_yolov3_nano:coco", "mobilenetv2_yolov3_nano_bccd.npz"
SETTINGS = {"size": 256, "batch": 4, "epochs": 30}

EVERY = 3
"""Epochs from one measurement to the next."""


def seldom(job: Job) -> Job:
    return replace(job, recipe=replace(job.recipe, every=EVERY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="bccd.tar")
    parser.add_argument("out", type=Path, help="a folder for the states, the logs and the weights")
    given = parser.parse_args()
    resume = (given.out / "last.npz").exists()
    done = fit.train(BEGIN, given.data, given.out, settings=SETTINGS, resume=resume, change=seldom, say=_say)
    built = own.find(str(done.path)).build()
    # Of the numbers as they are stored.
    with np.load(product.half(built.keras, given.out / NAME)) as stored:
        for variable in built.keras.weights:
            variable.assign(stored[variable.path])
    half = kerazoo.save(built.keras, given.out / "half.keras", task=built.task, normalise=built.normalise)
    figures = kerazoo.evaluate(half, given.data, engine="keras").figures
    for name, value in figures.items():
        print(f"{name} {value:.4f}")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
