"""Promises 10: batching with TF Serving's parameters and words; and the adaptive one that runs without them."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.serve import config
from kerazoo.serve.models import batching
from kerazoo.serve.models.adaptive import Joiner, Size
from kerazoo.serve.models.batching import Parameters, batched
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.wire.status import Status, invalid


class Model:
    """Doubles `x`, notes what it was given, and may be held at a gate."""

    def __init__(self, error=None):
        self.batches, self.error = [], error
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)
        self.gate.set()

    def run(self, signature, inputs, outputs):
        self.entered.release()
        self.gate.wait(10)
        self.batches.append(inputs["x"])
        if self.error is not None:
            raise self.error
        return {name: inputs["x"] * 2 for name in outputs}

    def served(self, parameters):
        return batched(Servable({}, self.run, lambda: None, "fake"), parameters)


def together(servable, arrays, first=0):
    """Asks with every array at once; results in order. The first ones are let in before the others."""
    results = [None] * len(arrays)

    def ask(index):
        try:
            results[index] = servable.run("s", {"x": arrays[index]}, ["y"])["y"]
        except Status as error:
            results[index] = error

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(arrays))]
    for index, thread in enumerate(threads):
        thread.start()
        time.sleep(0.05 if index < first else 0)
    return threads, results


def ones(rows, *shape, value=1.0):
    return np.full((rows, *shape), value, np.float32)


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8), sized=st.booleans())
def test_10_2_everyone_gets_their_own_rows(sizes, sized):
    model = Model()
    parameters = Parameters(most=8, micros=2000, queued=100, threads=2, sizes=(4, 8) if sized else ())
    servable = model.served(parameters)
    arrays = [ones(size, 2, value=index) for index, size in enumerate(sizes)]
    threads, results = together(servable, arrays)
    for thread in threads:
        thread.join()
    for array, result in zip(arrays, results, strict=True):
        np.testing.assert_array_equal(result, array * 2)
    assert all(len(batch) <= 8 for batch in model.batches)
    if sized:
        assert all(len(batch) in (0, 4, 8) for batch in model.batches)
    servable.close()


def test_10_1_requests_that_wait_run_together():
    model = Model()
    model.gate.clear()
    servable = model.served(Parameters(most=8, threads=1, queued=100))
    threads, results = together(servable, [ones(1, value=i) for i in range(5)], first=1)
    model.entered.acquire(timeout=5)
    time.sleep(0.1)
    model.gate.set()
    for thread in threads:
        thread.join()
    assert [len(batch) for batch in model.batches] == [1, 4]
    assert [result.tolist() for result in results] == [[0.0], [2.0], [4.0], [6.0], [8.0]]


def test_10_3_nobody_waits_longer_than_the_timeout():
    servable = Model().served(Parameters(most=8, micros=1_000_000, threads=1))
    start = time.perf_counter()
    servable.run("s", {"x": ones(1)}, ["y"])
    assert 0.99 < time.perf_counter() - start < 10
    start = time.perf_counter()
    servable.run("s", {"x": ones(8)}, ["y"])
    assert time.perf_counter() - start < 0.9


def test_10_4_too_large():
    servable = Model().served(Parameters(most=4))
    with pytest.raises(Status, match="INVALID_ARGUMENT: Task size 5 is larger than maximum input batch size 4"):
        servable.run("s", {"x": ones(5)}, ["y"])


def test_10_1_large_requests_are_split():
    model = Model()
    servable = model.served(Parameters(most=100, split=True, execution=4, queued=100))
    array = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(servable.run("s", {"x": array}, ["y"])["y"], array * 2)
    assert sorted(len(batch) for batch in model.batches) == [2, 4, 4]


def test_10_4_a_full_queue():
    model = Model()
    model.gate.clear()
    servable = model.served(Parameters(most=1, threads=1, queued=2))
    threads, results = together(servable, [ones(1)] * 5, first=5)
    model.gate.set()
    for thread in threads:
        thread.join()
    refused = [result for result in results if isinstance(result, Status)]
    assert len(refused) == 2
    assert refused[0].code == "UNAVAILABLE"
    assert refused[0].message.startswith("The batch scheduling queue to which this task was submitted is full")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
        ({"x": ones(1), "z": ones(2)}, "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_10_5_inputs_that_cannot_be_batched(inputs, message):
    with pytest.raises(Status) as caught:
        Model().served(Parameters()).run("s", inputs, ["y"])
    assert (caught.value.code, caught.value.message) == ("INVALID_ARGUMENT", message)


def test_10_5_10_7_unequal_shapes():
    for pad in (False, True):
        model = Model()
        model.gate.clear()
        servable = model.served(Parameters(threads=1, pad=pad, micros=100_000, queued=100))
        threads, results = together(servable, [ones(1, 2, value=7), ones(1, 3, value=9)])
        model.gate.set()
        for thread in threads:
            thread.join()
        if pad:
            assert model.batches[0].tolist() == [[7.0, 7.0, 7.0], [9.0, 9.0, 9.0]]
            assert sorted(result.shape for result in results) == [(1, 3), (1, 3)]
        else:
            assert {result.code for result in results} == {"FAILED_PRECONDITION"}
            assert "Tensors with name 'x' from different tasks have different shapes" in results[0].message


def test_10_5_an_output_without_rows():
    servable = batched(Servable({}, lambda *_: {"y": np.float32(1)}, lambda: None, "fake"), Parameters(most=4))
    with pytest.raises(Status, match="FAILED_PRECONDITION"):
        servable.run("s", {"x": ones(2)}, ["y"])


def test_10_6_sizes():
    text = "max_batch_size { value: 8 } allowed_batch_sizes: 2 allowed_batch_sizes: 4"
    with pytest.raises(Status) as caught:
        batching.of_message(config.parse(text, "BatchingParameters", "file"))
    assert caught.value.message == (
        "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8"
    )


def test_10_1_the_suites_file():
    text = """
        max_batch_size { value: 128 }
        batch_timeout_micros { value: 0 }
        max_enqueued_batches { value: 1000000 }
        num_batch_threads { value: 8 }
        thread_pool_name { value: "x" }
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 32 }
        allowed_batch_sizes: 2, allowed_batch_sizes: 32
        pad_variable_length_inputs: true
    """
    made = batching.of_message(config.parse(text, "BatchingParameters", "file"))
    assert made == Parameters(128, 0, 1_000_000, 8, (2, 32), True, True, 32)


def test_errors_reach_everyone_and_signatures_do_not_mix():
    model = Model(invalid("no"))
    threads, results = together(model.served(Parameters(micros=50_000)), [ones(1)] * 3)
    for thread in threads:
        thread.join()
    assert [str(result) for result in results] == ["INVALID_ARGUMENT: no"] * 3


# --- adaptive -----------------------------------------------------------------------------------------------------


def crowd(joiner, clients, requests, arrays=lambda client, turn: ones(1, value=client * 1000 + turn)):
    """Many clients, each with one request after the other; their wrong answers."""
    wrong = []

    def ask(client):
        for turn in range(requests):
            array = arrays(client, turn)
            found = joiner({"x": array})["y"]
            if not np.array_equal(found, array * 2):
                wrong.append((client, turn))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


@pytest.mark.parametrize(("fixed", "a_row", "expected"), [(4.0, 0.0, 64), (3.0, 1.0, 4), (1.0, 1.0, 1), (0.0, 2.0, 1)])
def test_batches_grow_as_long_as_a_row_gets_cheaper(fixed, a_row, expected):
    """Milliseconds of a batch: so many, whatever its size, and so many more a row."""
    size, limits = Size(), []
    for _ in range(1000):
        rows = size.next(crowded=True)
        size.learn(rows, fixed + a_row * rows)
        limits.append(size.limit)
    assert set(limits[500:]) == {expected}


def test_a_machine_that_is_now_fast_and_now_slow_does_not_make_batches():
    """Rows that cost the same, on a machine that takes half as long again every other while."""
    rng, size, limits = np.random.default_rng(0), Size(), []
    for turn in range(5000):
        rows = size.next(crowded=True)
        slow = 1.5 if turn // 300 % 2 else 1.0
        size.learn(rows, rows * slow * rng.lognormal(0, 0.1))
        limits.append(size.limit)
    assert np.mean(np.array(limits) == 1) > 0.9


def test_batches_that_are_no_longer_cheaper_become_small_again():
    size = Size()
    for turn in range(4000):
        rows = size.next(crowded=True)
        size.learn(rows, 4.0 if turn < 1000 else float(rows))
        if turn == 999:
            assert size.limit == 64
    assert size.limit == 1


def test_where_nobody_waits_nothing_is_tried():
    size = Size()
    for _ in range(200):
        assert size.next(crowded=False) == 1
        size.learn(1, 1.0)
    assert not size.tried


def test_an_engine_that_takes_one_row_gets_one():
    size = Size(most=1)
    for _ in range(200):
        assert size.next(crowded=True) == 1
        size.learn(1, 1.0)


def test_a_crowd_is_answered_in_batches():
    sizes = []

    def answer(inputs):
        time.sleep(0.004)
        return {"y": inputs["x"] * 2}

    joiner = Joiner(answer, 1, sizes.append)
    assert crowd(joiner, 8, 100) == []
    assert sum(sizes) == 8 * 100
    assert len(sizes) < 8 * 100 / 2


def test_no_more_run_at_once_than_there_are_slots():
    running, most = [0], [0]
    lock = threading.Lock()

    def answer(inputs):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.001)
        with lock:
            running[0] -= 1
        return {"y": inputs["x"] * 2}

    joiner = Joiner(answer, 2)
    assert crowd(joiner, 8, 30) == []
    assert most[0] == 2
    assert (joiner.running, len(joiner.waiting)) == (0, 0)


def test_those_who_wait_when_it_is_closed_are_answered():
    started, go = threading.Event(), threading.Event()

    def answer(inputs):
        started.set()
        go.wait(5)
        return {"y": inputs["x"] * 2}

    joiner = Joiner(answer, 1)
    wrong = []
    clients = threading.Thread(target=lambda: wrong.extend(crowd(joiner, 4, 1)))
    clients.start()
    started.wait(5)
    joiner.close()
    go.set()
    clients.join(5)
    assert not clients.is_alive()
    assert wrong == []
    assert joiner.running == 0


def test_a_bad_row_costs_only_itself():
    def answer(inputs):
        time.sleep(0.001)
        if np.isnan(inputs["x"]).any():
            raise invalid("a bad row")
        return {"y": inputs["x"] * 2}

    joiner = Joiner(answer, 1, size=Size(limit=8))
    good, bad = [], []

    def ask(client):
        for _ in range(20):
            value = np.nan if client == 0 else 1.0
            try:
                good.append(joiner({"x": ones(1, value=value)})["y"].tolist())
            except Status as error:
                bad.append(str(error))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad == ["INVALID_ARGUMENT: a bad row"] * 20
    assert good == [[2.0]] * 100


def test_rows_of_another_shape_are_not_joined():
    joiner = Joiner(lambda inputs: {"y": inputs["x"] * 2}, 1, size=Size(limit=8))
    assert crowd(joiner, 6, 50, lambda client, turn: ones(1 + turn % 3, 1 + client % 2, value=client)) == []


def test_a_bad_row_fails_alone():
    """Nor does anybody read of it in an error of theirs."""
    model = Model()
    plain = model.run

    def run(signature, inputs, outputs):
        if (inputs["x"] < 0).any():
            plain(signature, inputs, outputs)
            raise invalid(f"cannot read {inputs['x'].min()}")
        return plain(signature, inputs, outputs)

    servable = batched(Servable({}, run, lambda: None, "fake"), Parameters(most=100, micros=0, threads=1))
    model.gate.clear()
    values = [1.0, 2.0, -3.0, 4.0, -5.0, 6.0]
    threads, results = together(servable, [ones(1, value=value) for value in values], first=1)
    time.sleep(0.2)
    model.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(model.batches[1]) == 5
    for value, result in zip(values, results, strict=True):
        if value < 0:
            assert result.message == f"cannot read {value}"
        else:
            assert result.tolist() == [2 * value]
    servable.close()
