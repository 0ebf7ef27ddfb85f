"""A service takes its steps in a thread of its own, whatever happens in one."""

import threading
from collections.abc import Iterator

import pytest

from django_jobs.worker import service
from django_jobs.worker.service import Service

LONG = 3600.0


class Counting(Service):
    """Tells each step; `raises` in the first ones."""

    name = "counting"

    def __init__(self, rest: float, raises: int = 0) -> None:
        super().__init__()
        self.rest, self.raises, self.steps = rest, raises, threading.Semaphore(0)
        self.taken = 0
        self.told: list[tuple[str, int]] = []

    def prepare(self) -> None:
        self.told.append(("prepare", threading.get_ident()))

    def finish(self) -> None:
        self.told.append(("finish", threading.get_ident()))

    def step(self) -> float:
        self.taken += 1
        self.steps.release()
        if self.taken <= self.raises:
            raise ValueError(f"Step {self.taken} stumbles.")
        return self.rest

    def await_step(self) -> None:
        assert self.steps.acquire(timeout=20)


@pytest.fixture
def started() -> Iterator[list[Service]]:
    services: list[Service] = []
    yield services
    for each in services:
        each.stop()
        assert each.join(20)


def test_a_rest_ends_when_it_is_woken(started: list[Service]):
    each = Counting(rest=LONG)
    started.append(each)
    each.start()
    for _ in range(3):
        each.await_step()
        each.wake()
    each.await_step()


def test_a_step_that_raises_is_logged_and_taken_again(
    started: list[Service], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "SHORTEST_PENALTY", 0.001)
    each = Counting(rest=LONG, raises=2)
    started.append(each)
    each.start()
    for _ in range(3):
        each.await_step()
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == [
        "Step 1 stumbles.",
        "Step 2 stumbles.",
    ]
    assert all("The counting of this worker stumbled" in record.getMessage() for record in caplog.records)


def test_a_stop_ends_a_rest_and_the_thread_prepares_and_finishes_once():
    each = Counting(rest=LONG)
    each.start()
    each.await_step()
    each.stop()
    assert each.join(20)
    assert each.taken == 1
    assert [what for what, _ in each.told] == ["prepare", "finish"]
    assert {thread for _, thread in each.told} != {threading.get_ident()}


def test_a_join_tells_whether_the_end_has_come(started: list[Service]):
    each = Counting(rest=LONG)
    started.append(each)
    each.start()
    each.await_step()
    assert not each.join(0)
    each.stop()
    assert each.join(20)
