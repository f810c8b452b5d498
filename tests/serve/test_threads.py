import threading
import time

import pytest

from kerazoo.serve.threads import Elastic


@pytest.fixture
def pool():
    made = Elastic(6, "test")
    made.least = 2
    yield made
    made.shutdown(cancel_futures=True)


def test_one_after_the_other_is_done_by_one_thread(pool):
    names = {pool.submit(lambda: threading.current_thread().name).result() for _ in range(200)}
    assert len(names) == 1
    assert pool.threads == 1


def test_results_and_errors_come_back(pool):
    assert [future.result() for future in [pool.submit(pow, 2, n) for n in range(50)]] == [2**n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()
    assert pool.submit(lambda: "goes on").result() == "goes on"


def test_slow_requests_do_not_keep_others_waiting(pool):
    gate = threading.Event()
    slow = [pool.submit(gate.wait, 10) for _ in range(4)]
    assert pool.submit(lambda: "quick").result(timeout=2) == "quick"
    assert 5 <= pool.threads <= 6
    gate.set()
    assert all(future.result() for future in slow)


def test_there_are_never_more_than_allowed(pool):
    gate = threading.Event()
    futures = [pool.submit(gate.wait, 10) for _ in range(20)]
    end = time.monotonic() + 10
    while pool.threads < 6 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert pool.threads == 6
    gate.set()
    assert all(future.result() for future in futures)


def test_what_was_not_begun_can_be_cancelled():
    pool = Elastic(1, "test")
    gate = threading.Event()
    first, second = pool.submit(gate.wait, 10), pool.submit(lambda: "never")
    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert first.result()
    assert second.cancelled()
    with pytest.raises(RuntimeError):
        pool.submit(print)
