"""Federated averaging over Flower: real processes, of which one is killed, and messages that are no answers.

Skipped where Flower is not installed: it wants older packages than the other tests have, and an environment of its own.

    pip install '.[flower]' pytest hypothesis && python -m pytest -o addopts= tests/train/test_flower.py
"""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'kerazoo[flower]', in an environment apart")

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from kerazoo import own
from kerazoo.errors import UsageError
from kerazoo.train.federated import flower
from kerazoo.train.federated.across import Asked
from kerazoo.train.federated.step import Answer

# Messages can be made within a run alone.
TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1

HERE = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent

# --- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"change": ConfigRecord({"parts": [b"ab"]}), "counted": MetricRecord({"samples": 3, "loss": 0.5})},
            Answer(3, 0.5, [b"ab"]),
        ),
        ({}, Answer(None, None, None)),
        ({"change": ArrayRecord([np.ones(3)]), "counted": ConfigRecord({"samples": 3})}, Answer(None, None, None)),
        ({"change": ConfigRecord({"parts": "hello"}), "counted": MetricRecord({})}, Answer(None, None, "hello")),
    ],
)  # fmt: skip
def test_what_lacks_the_form_of_an_answer_is_left_for_the_round_to_refuse(content: Any, expected: Any) -> None:
    assert flower.answer_of(RecordDict(content)) == expected


class Grid:
    """One client answers, one says why it cannot, one does not answer; messages go through their bytes."""

    def get_node_ids(self) -> list[int]:
        return [11, 22, 33]

    def send_and_receive(self, messages: list[Message], timeout: float | None) -> list[Message]:
        replies = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"of {message.metadata.dst_node_id}"
            if message.metadata.dst_node_id == 11:
                asked = message.content["asked"]
                content = {
                    "change": ConfigRecord({"parts": [message.content["weights"].to_numpy_ndarrays()[0].tobytes()]}),
                    "counted": MetricRecord({"samples": int(asked["seed"]), "loss": float(len(asked["classes"]))}),
                }
                replies.append(Message(RecordDict(content), reply_to=message))
            elif message.metadata.dst_node_id == 22:
                replies.append(Message(Error(flower.REFUSED, "This client has no data."), reply_to=message))
        return replies


def test_questions_reach_clients_and_answers_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    link: Any = flower.Flower(Grid(), ("cat", "dog"))  # type: ignore[arg-type]
    weights = [np.arange(3, dtype=np.float32)]
    found = link.ask({client: Asked(weights, client + 1, 0.1) for client in link.clients()})
    assert found == {11: Answer(12, 2.0, [weights[0].tobytes()])}
    assert "22: This client has no data." in capsys.readouterr().err


def test_a_client_says_why_it_cannot_learn(capsys: pytest.CaptureFixture[str]) -> None:
    asked = RecordDict({"asked": ConfigRecord({"seed": 1, "rate": 0.1}), "weights": ArrayRecord([np.ones(3)])})
    message = Message(asked, 11, "train")
    context: Any = SimpleNamespace(run_config={}, node_config={})
    reply = flower.learn(message, context)
    assert reply.has_error() and "no data" in str(reply.error.reason)
    context = SimpleNamespace(run_config={}, node_config={"data": "/nowhere.npz"})
    assert "/nowhere.npz is no such file" in str(flower.learn(message, context).error.reason)
    assert "nowhere" in capsys.readouterr().err


def test_settings_of_a_run_that_are_not_known_are_named() -> None:
    with pytest.raises(UsageError, match="'modle'.*model"):
        flower.Run.of({"modle": "mlp"})
    with pytest.raises(UsageError, match="for simulations"):
        _ = flower.Run.of({"federated": "split=shards"}).plan
    assert flower.Run.of({"settings": "rate=0.05 batch=3"}).changes == {"rate": "0.05", "batch": "3"}


# --- machines -----------------------------------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a program of Flower in a session of its own; all are ended in the end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: Any) -> subprocess.Popen[bytes]:
        command = [str(PROGRAMS / words[0]), *map(str, words[1:])]
        with (tmp_path / f"{len(running)}.log").open("wb") as log:
            running.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment(tmp_path), start_new_session=True)
            )
        return running[-1]

    yield start
    for each in running:
        end(each)


def end(process: subprocess.Popen[bytes]) -> None:
    """Of it and what it started, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(HERE),
    }


def ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


def until(rounds: int, out: Path, seconds: float = 900) -> list[dict[str, str]]:
    """The rows of the log, once there are so many."""
    begun, rows = time.monotonic(), []
    while len(rows) < rounds:
        assert time.monotonic() - begun < seconds, f"{len(rows)} of {rounds} rounds were done"
        time.sleep(1)
        if (out / "log.csv").exists():
            rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    return rows


@pytest.mark.slow
def test_two_machines_of_which_one_is_killed(tmp_path: Path, started: Any) -> None:
    """One superlink, two supernodes, three rounds: no round is lost, and the model answers."""
    rng, out = np.random.default_rng(0), tmp_path / "out"
    for name, count in (("one", 60), ("two", 80), ("held", 40)):
        labels = rng.integers(0, 2, count)
        pictures = rng.integers(0, 60, (count, 28, 28), np.uint8)
        pictures[labels == 0, :, :14] += 180
        pictures[labels == 1, :, 14:] += 180
        np.savez(tmp_path / f"{name}.npz", x=pictures, y=labels)
    link, *nodes = ports(3)
    address = f"127.0.0.1:{link}"
    (tmp_path / "flwr").mkdir()
    (tmp_path / "flwr" / "config.toml").write_text(f'[superlink.here]\naddress = "{address}"\ninsecure = true\n')
    (tmp_path / "run.toml").write_text(
        f'data = "{tmp_path}/held.npz"\nout = "{out}"\nrounds = 3\nfederated = "clients=2,fraction=1,update=bits:8"\n'
    )
    started("flower-superlink", "--insecure", "--disable-runtime-dependency-installation", "--port", link)
    machines = [
        started(
            "flower-supernode", "--insecure", "--superlink", address, "--port", port,
            "--node-config", f'data="{tmp_path}/{name}.npz"',
        )
        for name, port in zip(("one", "two"), nodes, strict=True)
    ]  # fmt: skip
    with contextlib.closing(socket.socket()) as probe:
        while probe.connect_ex(("127.0.0.1", link)):
            time.sleep(1)
    run = [PROGRAMS / "flwr", "run", str(flower.APP), "here", "--run-config", str(tmp_path / "run.toml")]
    subprocess.run(run, env=environment(tmp_path), check=True, timeout=300)
    until(1, out)
    time.sleep(3)  # Both are in the second round.
    end(machines[1])
    rows = until(3, out)
    assert [float(row["lost"]) for row in rows][0] == 0 and sum(float(row["lost"]) for row in rows) == 1
    assert float(rows[0]["sent_mb"]) == pytest.approx(2 * float(rows[-1]["sent_mb"]))
    assert float(rows[-1]["val_accuracy"]) > 0.9
    while not (out / "model.keras").exists():
        time.sleep(1)
    assert own.find(out / "model.keras").build().task.kind == "classify"
