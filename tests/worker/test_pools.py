"""Pools: bodies run side by side, know nothing of each other, and leave nothing open."""

import asyncio
import contextvars
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from django_jobs import job
from django_jobs.definitions.outcomes import Ended, Failed, GivenBack, Succeeded
from django_jobs.worker import thread_pool
from django_jobs.worker.board import Board
from django_jobs.worker.pools import Pools
from django_jobs.worker.slots import Holds
from tests.project.models import Effect
from tests.waiting import wait_until
from tests.worker.claims import claim
from tests.worker.clocks import MovedClock
from tests.worker.conftest import CONCURRENCY

MARK = contextvars.ContextVar("mark", default="none")


class Hall:
    """Where bodies of a test wait until they are let go, and what they leave there."""

    doors: threading.Event
    connections: list[Any]

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.doors, self.connections = threading.Event(), []


hall = Hall()


@job(name="pools.answer")
def answer(value: int) -> int:
    return value


@job(name="pools.answer_async")
async def answer_async(value: int) -> int:
    return value


@job(name="pools.stay")
def stay() -> None:
    assert hall.doors.wait(20)


@job(name="pools.stay_async")
async def stay_async() -> None:
    while not hall.doors.is_set():
        await asyncio.sleep(0.005)


@job(name="pools.mark")
def mark() -> str:
    before = MARK.get()
    MARK.set("marked")
    return before


@job(name="pools.mark_async")
async def mark_async() -> str:
    return mark()


@job(name="pools.exit")
def leave(error: str) -> None:
    raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[error]


@job(name="pools.ask")
def ask() -> None:
    Effect.objects.exists()
    hall.connections.append(connections["default"])


@job(name="pools.ask_async")
async def ask_async() -> None:
    await sync_to_async(ask)()


@job(name="pools.ask_and_stay_async")
async def ask_and_stay_async() -> None:
    await ask_async()
    await stay_async()


@job(name="pools.turns")
async def take_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@job(name="pools.depth")
async def depth() -> int:
    frame, count = sys._getframe(), 0
    while frame := frame.f_back:  # type: ignore[assignment]
        count += 1
    return count


@job(name="pools.cancel_itself")
async def cancel_itself(asks: bool) -> None:
    if asks:
        await sync_to_async(ask)()
    task = asyncio.current_task()
    assert task is not None
    # It is heard of at the next await, and the body has none.
    task.cancel()


KINDS = pytest.mark.parametrize("kind", ["def", "async def"])
ANSWER: dict[str, Any] = {"def": answer, "async def": answer_async}
STAY: dict[str, Any] = {"def": stay, "async def": stay_async}
MARK_JOB: dict[str, Any] = {"def": mark, "async def": mark_async}
ASK: dict[str, Any] = {"def": ask, "async def": ask_async}


@pytest.fixture(autouse=True)
def open_doors() -> Iterator[None]:
    hall.clear()
    yield
    hall.doors.set()


@pytest.fixture
def done() -> "queue.SimpleQueue[Ended]":
    return queue.SimpleQueue()


@pytest.fixture
def make_pools(board: Board, done: "queue.SimpleQueue[Ended]") -> Iterator[Callable[[int], Pools]]:
    made: list[Pools] = []

    def make(concurrency: int, holds: Holds | None = None) -> Pools:
        made.append(Pools(concurrency, board, done.put, holds or (lambda claim: True)))
        return made[-1]

    yield make
    hall.doors.set()
    for each in made:
        each.withdraw()
        with suppress(RuntimeError):  # where the test has stopped them itself, the loop is closed
            each.stop()
    wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("django_jobs")])


@KINDS
def test_bodies_run_and_each_outcome_is_handed_over(make_pools, done, kind: str):
    claims = [claim(ANSWER[kind], number) for number in range(20)]
    make_pools(CONCURRENCY).start(claims)
    ended = [done.get(timeout=20) for _ in claims]
    assert {each.claim.id: each.outcome for each in ended} == {
        each.id: Succeeded(str(number)) for number, each in enumerate(claims)
    }
    assert all(each.started <= each.finished for each in ended)


@KINDS
def test_as_many_bodies_run_at_once_as_there_are_slots_and_the_board_names_them(make_pools, board, done, kind: str):
    claims = [claim(STAY[kind]) for _ in range(CONCURRENCY + 2)]
    make_pools(CONCURRENCY).start(claims)
    wait_until(lambda: len(board.running()) == CONCURRENCY, what="bodies in all slots")
    assert set(board.running()) == {each.id for each in claims[:CONCURRENCY]}
    hall.doors.set()
    for _ in claims:
        done.get(timeout=20)
    assert board.running() == {}


@KINDS
def test_no_body_begins_of_a_claim_that_may_be_lost(make_pools, board, done, kind: str):
    claims = [claim(ANSWER[kind], number) for number in range(2)]
    make_pools(CONCURRENCY, lambda each: each is claims[1]).start(claims)
    assert {each.claim.id: each.outcome for each in (done.get(timeout=20) for _ in claims)} == {
        claims[0].id: GivenBack(),
        claims[1].id: Succeeded("1"),
    }
    assert board.running() == {}


def test_def_and_async_def_do_not_take_each_others_slots(make_pools, board, done):
    pools = make_pools(1)
    claims = [claim(stay), claim(stay_async)]
    pools.start(claims)
    wait_until(lambda: len(board.running()) == 2, what="one body of each kind")
    hall.doors.set()
    assert {done.get(timeout=20).claim.id for _ in claims} == {each.id for each in claims}


@KINDS
def test_what_a_body_sets_in_its_context_is_gone_with_it(make_pools, done, kind: str):
    make_pools(1).start([claim(MARK_JOB[kind]) for _ in range(3)])
    assert [done.get(timeout=20).outcome for _ in range(3)] == [Succeeded('"none"')] * 3


def test_a_body_cannot_end_its_thread(make_pools, done):
    pools = make_pools(1)
    pools.start([claim(leave, "SystemExit"), claim(leave, "KeyboardInterrupt"), claim(answer, 1)])
    failed, given_back, succeeded = (done.get(timeout=20).outcome for _ in range(3))
    assert isinstance(failed, Failed)
    assert given_back == GivenBack(begun=True)
    assert succeeded == Succeeded("1")


@KINDS
def test_what_has_not_begun_can_be_withdrawn(make_pools, board, done, kind: str):
    pools = make_pools(1)
    running, *waiting = claims = [claim(STAY[kind]) for _ in range(3)]
    pools.start(claims)
    wait_until(lambda: set(board.running()) == {running.id}, what="the first body")
    assert pools.withdraw() == waiting
    assert pools.withdraw() == []
    hall.doors.set()
    assert done.get(timeout=20).claim == running
    pools.start([claim(ANSWER[kind], 5)])
    assert done.get(timeout=20).outcome == Succeeded("5")
    assert done.empty()


@KINDS
def test_only_what_has_waited_long_behind_slow_bodies_is_stuck(make_pools, board, moved_clock: MovedClock, kind: str):
    pools = make_pools(1)
    running, waiting = claims = [claim(STAY[kind]) for _ in range(2)]
    pools.start(claims)
    wait_until(lambda: set(board.running()) == {running.id}, what="the first body")
    moved_clock.seconds += 0.9
    assert pools.withdraw_if_stuck(1.0) == []
    moved_clock.seconds += 0.2
    assert pools.withdraw_if_stuck(1.0) == [waiting]


@KINDS
def test_what_comes_after_an_idle_time_is_not_stuck(make_pools, done, moved_clock: MovedClock, kind: str):
    pools = make_pools(1)
    for number in range(20):
        moved_clock.seconds += 3600
        pools.start([claim(ANSWER[kind], number)])
        assert pools.withdraw_if_stuck(1.0) == []
        assert done.get(timeout=20).outcome == Succeeded(str(number))


def test_coroutines_that_run_can_be_cancelled_and_go_back(make_pools, board, done):
    pools = make_pools(1)
    pools.start([claim(stay_async)])
    wait_until(board.running, what="the body")
    pools.cut_off()
    assert done.get(timeout=20).outcome == GivenBack(begun=True)


@KINDS
@pytest.mark.django_db(transaction=True)
def test_connections_of_bodies_are_kept_between_jobs_and_closed_at_the_end(make_pools, done, kind: str):
    pools = make_pools(2)
    for _ in range(10):
        pools.start([claim(ASK[kind]), claim(ASK[kind])])
        for _ in range(2):
            assert done.get(timeout=20).outcome == Succeeded(None)
    assert 1 <= len({id(each.connection) for each in hall.connections}) <= 2
    assert connection not in hall.connections
    assert all(each.connection is not None for each in hall.connections)
    pools.stop()
    wait_until(lambda: all(each.connection is None for each in hall.connections), what="the end of all connections")


@pytest.mark.django_db(transaction=True)
def test_an_idle_thread_gives_its_connection_back_and_works_on(make_pools, done, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(thread_pool, "IDLE_SECONDS", 0.01)
    pools = make_pools(1)
    for _ in range(2):
        pools.start([claim(ask)])
        assert done.get(timeout=20).outcome == Succeeded(None)
        wait_until(lambda: hall.connections[-1].connection is None, what="the end of the idle connection")


@KINDS
def test_a_pool_grows_and_shrinks_while_it_runs_and_never_runs_out_of_slots(make_pools, board, done, kind: str):
    pools = make_pools(1)
    claims = [claim(STAY[kind]) for _ in range(3)]
    pools.start(claims)
    wait_until(lambda: len(board.running()) == 1, what="the first body")
    pools.resize(3)
    wait_until(lambda: len(board.running()) == 3, what="bodies in the new slots")
    for size in (1, CONCURRENCY, 1, CONCURRENCY, 2):
        pools.resize(size)
    hall.doors.set()
    assert {done.get(timeout=20).claim.id for _ in claims} == {each.id for each in claims}
    hall.clear()
    claims = [claim(STAY[kind]) for _ in range(4)]
    pools.start(claims)
    wait_until(lambda: len(board.running()) == 2, what="as many bodies as there are slots now")
    hall.doors.set()
    assert {done.get(timeout=20).claim.id for _ in claims} == {each.id for each in claims}


@KINDS
def test_a_pool_that_was_resized_before_its_first_job_has_the_new_size(make_pools, board, done, kind: str):
    pools = make_pools(3)
    pools.resize(2)
    claims = [claim(STAY[kind]) for _ in range(3)]
    pools.start(claims)
    wait_until(lambda: len(board.running()) == 2, what="two bodies")
    hall.doors.set()
    for _ in claims:
        done.get(timeout=20)


def test_thousands_that_end_in_their_first_step_keep_nobody_waiting(make_pools, done):
    patient = claim(take_turns, 5)
    claims = [patient, *(claim(answer_async, number) for number in range(5_000))]
    make_pools(2).start(claims)
    ended = [done.get(timeout=60) for _ in claims]
    place = [each.claim for each in ended].index(patient)
    assert place < 4_000
    ended.pop(place)
    # One after the other, in their order.
    assert [each.outcome for each in ended] == [Succeeded(str(number)) for number in range(5_000)]


def test_bodies_that_end_in_their_first_step_do_not_begin_inside_of_each_other(make_pools, done):
    make_pools(CONCURRENCY).start([claim(depth) for _ in range(3_000)])
    depths = [int(done.get(timeout=60).outcome.result) for _ in range(3_000)]
    assert max(depths) - min(depths) < 20


@pytest.mark.parametrize("body", [stay_async, ask_and_stay_async], ids=["on the loop", "with a thread of its own"])
@pytest.mark.django_db(transaction=True)
def test_a_body_that_is_cancelled_leaves_its_place_to_the_next(make_pools, board, done, body):
    pools = make_pools(1)
    stays, *others = claims = [claim(body), *(claim(answer_async, number) for number in range(3))]
    pools.start(claims)
    wait_until(lambda: set(board.running()) == {stays.id}, what="the first body")
    if body is ask_and_stay_async:
        wait_until(lambda: hall.connections, what="its connection")
    pools.cut_off()
    ended = [done.get(timeout=20) for _ in claims]
    assert [each.claim for each in ended] == [stays, *others]
    assert [each.outcome for each in ended] == [GivenBack(begun=True), *(Succeeded(str(n)) for n in range(3))]
    assert board.running() == {}


@pytest.mark.django_db(transaction=True)
def test_slots_of_the_loop_that_are_one_too_many_end_with_their_connections(make_pools, board, done):
    pools = make_pools(CONCURRENCY)
    pools.start([claim(ask_and_stay_async) for _ in range(CONCURRENCY)])
    wait_until(lambda: len(hall.connections) == CONCURRENCY, what="a connection in each slot")
    hall.doors.set()
    assert [done.get(timeout=20).outcome for _ in range(CONCURRENCY)] == [Succeeded(None)] * CONCURRENCY
    made = list(hall.connections)

    def closed() -> list[bool]:
        return [each.connection is None for each in made]

    assert not any(closed())
    pools.resize(1)
    wait_until(lambda: sum(closed()) == CONCURRENCY - 1, what="the end of the connections of idle slots")
    (kept,) = (each for each in made if each.connection is not None)
    for _ in range(3):
        pools.start([claim(ask_async)])
        assert done.get(timeout=20).outcome == Succeeded(None)
        assert hall.connections[-1] is kept
    # New slots have the numbers of those that ended.
    pools.resize(CONCURRENCY)
    hall.clear()
    claims = [claim(stay_async) for _ in range(CONCURRENCY + 1)]
    pools.start(claims)
    wait_until(lambda: len(board.running()) == CONCURRENCY, what="bodies in all slots")
    hall.doors.set()
    assert {done.get(timeout=20).claim.id for _ in claims} == {each.id for each in claims}


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_body_that_cancels_itself_at_its_very_end_leaves_its_place(make_pools, board, done, asks: bool):
    pools = make_pools(1)
    pools.start([claim(cancel_itself, asks), claim(answer_async, 1)])
    assert [done.get(timeout=20).outcome for _ in range(2)] == [Succeeded(None), Succeeded("1")]
    assert board.running() == {}
    thread = pools.loop._thread
    pools.stop()
    assert not thread.is_alive()


def test_a_body_that_begins_just_before_the_stop_is_cancelled_too(make_pools, done):
    pools = make_pools(1)
    pools.start([claim(answer_async, 1)])
    done.get(timeout=20)
    thread = pools.loop._thread
    pools.start([claim(stay_async)])
    pools.stop()
    assert not thread.is_alive()


@pytest.mark.parametrize("size", [1, 3])
def test_a_loop_that_is_stopped_ends_though_bodies_wait_and_none_of_them_begins(make_pools, board, done, size: int):
    pools = make_pools(size)
    claims = [claim(stay_async) for _ in range(size)]
    waiting = [claim(answer_async, number) for number in range(5)]
    pools.start([*claims, *waiting])
    wait_until(lambda: set(board.running()) == {each.id for each in claims}, what="bodies in all slots")
    thread = pools.loop._thread
    assert thread is not None
    pools.stop()
    wait_until(lambda: not thread.is_alive(), what="the end of the loop")
    ended = [done.get(timeout=20) for _ in claims]
    assert {each.claim.id: each.outcome for each in ended} == {each.id: GivenBack(begun=True) for each in claims}
    assert done.empty()
    assert pools.withdraw() == waiting
