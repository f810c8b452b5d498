"""LiteRT files, opened by the LiteRT interpreter and asked from request to answer."""

import pytest

from kerazoo import formats
from kerazoo.engines import litert
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from tests.conformance.models import asked, built, calls, converted, converting


@converting
def test_says_what_keras_says(name, shared):
    made = converted(name, shared)
    network, card = litert.open_network(made.path("litert"))
    assert card.tasks == built(name).tasks
    assert card.model == name
    verify.check(card.tasks, golden_.load(made.folder / "golden.npz"), network, formats.LITERT, name)
    golden_.from_card(card.golden)


@converting
def test_ports_keep_their_names(name, shared):
    network, _ = litert.open_network(converted(name, shared).path("litert"))
    for part, signature in built(name).parts.items():
        call = next(call for call in calls(name) if call.part == part)
        assert set(network.part(part)(call.inputs)) == {port.name for port in signature.outputs}


@converting
def test_batches(name, shared):
    made = built(name)
    if not made.task.batched:
        pytest.skip("one request is one item")
    network, _ = litert.open_network(converted(name, shared).path("litert"))
    from kerazoo.engines import keras as keras_engine

    golden = asked(made, keras_engine.network(made), 3)
    verify.check({made.task.kind: made.task}, {made.task.kind: golden}, network, formats.LITERT, name)
