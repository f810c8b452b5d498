"""Clients on other machines, over Flower: `pip install 'kerazoo[flower]'`, best in an environment of its own.

    flwr run "$(python -m kerazoo.train.federated.flower)" NAME --run-config run.toml

It prints the folder of the Flower app, whose settings `run.toml` sets: see `Run` and docs/federated.md.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import KerazooError, UsageError
from kerazoo.packages import missing
from kerazoo.train import fit
from kerazoo.train import state as state_
from kerazoo.train.federated import RECIPE, Plan, averaging, read
from kerazoo.train.federated.across import Asked, answered, at, fitting
from kerazoo.train.federated.step import Answer

try:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
except ImportError as error:
    raise missing(error) from None

APP = Path(__file__).parent / "app"

WEIGHTS, ASKED, CHANGE, COUNTED = "weights", "asked", "change", "counted"
"""Records of a message to a client, and of its answer."""

REFUSED = 64
"""Code of an answer that says why a client cannot learn."""


@dataclass(frozen=True)
class Run:
    """What is learnt.

    Attributes:
        model: As `kerazoo.train` takes it; on every machine the same.
        data: On the server's machine: what it measures on. It has all classes.
        out: On the server's machine: the folder of the training.
        federated: Words of a `kerazoo.train.federated.Plan`; `clients` must be there before the first round.
        rounds: How many.
        settings: Changes of the recipe: `rate=0.05 schedule=constant`.
        seed: Of weights, of who is drawn, and of the clients' order.
        resume: Go on from the state in `out`.
        timeout: Seconds that a round waits for an answer; 0 as long as the client is there.
    """

    model: str = "mlp"
    data: str = ""
    out: str = ""
    federated: str = "clients=2,fraction=1,epochs=1,batch=10"
    rounds: int = 10
    settings: str = ""
    seed: int = 0
    resume: bool = False
    timeout: float = 0.0

    @staticmethod
    def of(config: Mapping[str, Any]) -> Run:
        """Of a run's config; what is missing is as by default.

        Raises:
            UsageError: There is no such setting.
        """
        known = {each.name for each in dataclasses.fields(Run)}
        for name in config.keys() - known:
            raise UsageError(f"The run's config has {name!r}; there are {', '.join(sorted(known))}.")
        return Run(**config)

    @property
    def plan(self) -> Plan:
        return fitting(read(self.federated))

    @property
    def changes(self) -> dict[str, str]:
        """Of the recipe's settings."""
        pairs = (word.partition("=") for word in self.settings.split())
        return {key: value for key, _, value in pairs}


# --- the server ---

server = ServerApp()


@server.main()
def serve(grid: Grid, context: Context) -> None:
    """Trains over whoever is connected; the folder is that of `kerazoo train`."""
    run = Run.of(context.run_config)
    plan = run.plan
    for name in ("data", "out"):
        if not getattr(run, name):
            raise UsageError(f"Name {name} in the run's config: a place on the server's machine.")
    while len(list(grid.get_node_ids())) < plan.clients:
        _say(f"Waiting until {plan.clients} clients are there.")
        time.sleep(PATIENCE)

    def change(job: Any) -> Any:
        labels = getattr(next(iter(job.tasks.values())), "labels", None)
        return at(plan, Flower(grid, labels, run.timeout or None), _say)(job)

    done = fit.train(
        run.model, run.data, run.out, recipe=RECIPE, epochs=run.rounds, settings=run.changes, seed=run.seed,
        validation=run.data, resume=run.resume, change=change, say=_say,
    )  # fmt: skip
    _say(f"{done.path}\t" + ", ".join(f"{name} {value:.4f}" for name, value in done.figures.items()))


@dataclass(frozen=True)
class Flower:
    """A `kerazoo.train.federated.across.Link`.

    Attributes:
        grid: Of the server's app.
        classes: Names that clients number theirs by; `None` where the model has none.
        timeout: Seconds that an answer may take; `None` for as long as its client is there.
    """

    grid: Grid
    classes: Sequence[str] | None
    timeout: float | None = None

    def clients(self) -> list[int]:
        while not (there := list(self.grid.get_node_ids())):
            _say("Waiting for a client.")
            time.sleep(PATIENCE)
        return there

    def ask(self, asked: Mapping[int, Asked]) -> dict[int, Answer]:
        messages = {client: self._message(client, each) for client, each in asked.items()}
        replies = self.grid.send_and_receive(list(messages.values()), timeout=self.timeout)
        # Of one that is gone, another answers in its place: whom an answer is of, its question says.
        clients = {message.metadata.message_id: client for client, message in messages.items()}
        found = {}
        for reply in replies:
            client = clients[reply.metadata.reply_to_message_id]
            if reply.has_error():
                _say(f"{client}: {reply.error.reason}")
            else:
                found[client] = answer_of(reply.content)
        return found

    def _message(self, client: int, asked: Asked) -> Message:
        told: dict[str, Any] = {"seed": asked.seed, "rate": asked.rate}
        if self.classes is not None:
            told["classes"] = list(self.classes)
        content = {WEIGHTS: ArrayRecord(list(asked.weights)), ASKED: ConfigRecord(told)}
        return Message(RecordDict(content), client, "train")


PATIENCE = 3.0
"""Seconds from one look for clients to the next."""


def answer_of(content: RecordDict) -> Answer:
    """What a client sent, as far as it has the form of an answer; what is missing is `None`, and refused later."""
    change, counted = content.get(CHANGE), content.get(COUNTED)
    numbers: Mapping[str, Any] = counted if isinstance(counted, MetricRecord) else {}
    parts = change.get("parts") if isinstance(change, ConfigRecord) else None
    return Answer(numbers.get("samples"), numbers.get("loss"), parts)


# --- a client ---

client = ClientApp()


@client.train()
def learn(message: Message, context: Context) -> Message:
    """Learns from the data that the node's config names, `data`, from the weights that the message brings."""
    try:
        answer = _learnt(message, context)
    except KerazooError as error:
        _say(str(error))
        return Message(Error(REFUSED, str(error)), reply_to=message)
    content = {
        CHANGE: ConfigRecord({"parts": answer.message}),
        COUNTED: MetricRecord({"samples": answer.samples, "loss": answer.loss}),
    }
    return Message(RecordDict(content), reply_to=message)


def _learnt(message: Message, context: Context) -> Answer:
    run, told = Run.of(context.run_config), message.content[ASKED]
    data: Any = context.node_config.get("data")
    if not data:
        raise UsageError("""This client has no data; start it with --node-config 'data="/a/path"'.""")
    job = fit.job(
        run.model, data, recipe=RECIPE, settings=run.changes, seed=run.seed, validation=0,
        classes=told.get("classes"), say=_say,
    )  # fmt: skip
    step = averaging(run.plan, job.recipe)
    own = job.recipe.data.batch(np.arange(len(job.recipe.data)), np.random.default_rng(told["seed"]))
    asked = Asked(message.content[WEIGHTS].to_numpy_ndarrays(), told["seed"], told["rate"])
    return answered(step, state_.begin(job.recipe), own, asked)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(APP)
