"""Threads of a pool while bodies are brisk: one runs them, another looks on, and nothing ever waits in vain."""

import os
import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from django_jobs import clock, job
from django_jobs.definitions.outcomes import Claim, Ended, Succeeded
from django_jobs.worker import thread_pool
from django_jobs.worker.board import Board
from django_jobs.worker.pace import TRIAL_SECONDS
from django_jobs.worker.thread_pool import ThreadPool
from tests.waiting import wait_until
from tests.worker.claims import claim
from tests.worker.clocks import MovedClock
from tests.worker.conftest import CONCURRENCY

DEADLINE_SECONDS = 20
SIZES = pytest.mark.parametrize("size", [1, 2, CONCURRENCY])

Outcomes = queue.SimpleQueue[Ended]
MakePool = Callable[[int], ThreadPool]


class Hall:
    """Where bodies of a test meet, and wait until they are let go."""

    doors: threading.Event
    table: threading.Barrier

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.doors, self.table = threading.Event(), threading.Barrier(CONCURRENCY - 1, timeout=DEADLINE_SECONDS)


hall = Hall()


@job(name="thread_pool.tell_thread")
def tell_thread() -> int:
    # Others that could run would run now.
    os.sched_yield()
    return threading.get_ident()


@job(name="thread_pool.stay")
def stay() -> None:
    assert hall.doors.wait(DEADLINE_SECONDS)


@job(name="thread_pool.meet")
def meet() -> None:
    hall.table.wait()


@job(name="thread_pool.last")
def last_long() -> None:
    """Take a minute, by a clock that a test moves."""
    moved: Any = clock.current_clock()
    moved.seconds += 60


@pytest.fixture
def done() -> Outcomes:
    return queue.SimpleQueue()


@pytest.fixture
def make_pool(board: Board, done: Outcomes) -> Iterator[MakePool]:
    hall.clear()
    made: list[ThreadPool] = []

    def make(size: int) -> ThreadPool:
        made.append(ThreadPool(size, board, 0, done.put, lambda claim: True))
        return made[-1]

    yield make
    hall.doors.set()
    for each in made:
        each.withdraw()
        each.stop()
    wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("django_jobs")])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who looks on never take the runner for held up, however busy the machine is."""
    monkeypatch.setattr(thread_pool, "MOST_MISSED", 1_000_000)


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns at nearly every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def put(pool: ThreadPool, *claims: Claim) -> None:
    pool.put([(each,) for each in claims])


def outcomes(done: Outcomes, count: int) -> dict[UUID, Any]:
    """Return what the next so many came to, each of another claim."""
    ended = [done.get(timeout=DEADLINE_SECONDS) for _ in range(count)]
    found = {each.claim.id: each.outcome for each in ended}
    assert len(found) == count
    return found


def become_brisk(pool: ThreadPool, done: Outcomes, moved_clock: MovedClock) -> None:
    """Have the next bodies be taken for brisk: no time goes by while one runs."""
    moved_clock.seconds += TRIAL_SECONDS
    # A body is learned from only after its outcome was handed over.
    while not pool._pace.is_brisk:
        put(pool, claim(tell_thread))
        done.get(timeout=DEADLINE_SECONDS)


def test_bodies_that_run_in_other_processes_are_not_brisk(board: Board, done: Outcomes, moved_clock):
    """They wait for no lock of Python's, so that all threads see to them."""
    pool = ThreadPool(CONCURRENCY, board, 2, done.put, lambda claim: True, run_one=lambda slot, claims: ran.put(slot))
    ran: queue.SimpleQueue[int] = queue.SimpleQueue()
    for _ in range(20):
        moved_clock.seconds += TRIAL_SECONDS
        put(pool, *(claim(tell_thread) for _ in range(10)))
        for _ in range(10):
            ran.get(timeout=DEADLINE_SECONDS)
        assert not pool._pace.is_brisk
    pool.stop()


def test_brisk_bodies_all_run_in_one_thread(make_pool: MakePool, done, moved_clock, patient):
    pool = make_pool(CONCURRENCY)
    become_brisk(pool, done, moved_clock)
    for _ in range(5):
        claims = [claim(tell_thread) for _ in range(300)]
        put(pool, *claims)
        found = outcomes(done, len(claims))
        assert found.keys() == {each.id for each in claims}
        assert len({outcome.result for outcome in found.values()}) == 1


def test_before_any_is_known_to_be_brisk_all_threads_run(make_pool: MakePool, done, moved_clock, patient):
    put(make_pool(CONCURRENCY), *(claim(meet) for _ in range(CONCURRENCY - 1)))
    assert list(outcomes(done, CONCURRENCY - 1).values()) == [Succeeded()] * (CONCURRENCY - 1)


def test_bodies_that_turn_out_long_have_all_threads_run_again(make_pool: MakePool, done, moved_clock, patient):
    pool = make_pool(CONCURRENCY)
    become_brisk(pool, done, moved_clock)
    bodies = [last_long, *[meet] * (CONCURRENCY - 1)]
    put(pool, *(claim(body) for body in bodies))
    assert list(outcomes(done, len(bodies)).values()) == [Succeeded()] * len(bodies)


def test_brisk_bodies_that_wait_for_each_other_meet(make_pool: MakePool, done, moved_clock):
    pool = make_pool(CONCURRENCY)
    become_brisk(pool, done, moved_clock)
    put(pool, *(claim(meet) for _ in range(CONCURRENCY - 1)))
    assert list(outcomes(done, CONCURRENCY - 1).values()) == [Succeeded()] * (CONCURRENCY - 1)


@pytest.mark.parametrize("place", [0, 1, 10, 29])
def test_a_body_that_blocks_while_all_are_brisk_holds_up_none_of_those_around_it(
    make_pool: MakePool, done, moved_clock, place
):
    pool = make_pool(2)
    become_brisk(pool, done, moved_clock)
    blocked, others = claim(stay), [claim(tell_thread) for _ in range(30)]
    put(pool, *others[:place], blocked, *others[place:])
    assert outcomes(done, len(others)).keys() == {each.id for each in others}
    hall.doors.set()
    assert outcomes(done, 1) == {blocked.id: Succeeded()}


def test_what_comes_while_others_block_runs_as_long_as_a_thread_is_left(make_pool: MakePool, done, board, moved_clock):
    pool = make_pool(CONCURRENCY)
    become_brisk(pool, done, moved_clock)
    blocked: list[Claim] = []
    while len(blocked) < CONCURRENCY - 1:
        blocked.append(claim(stay))
        put(pool, blocked[-1])
        wait_until(lambda: len(board.running()) == len(blocked), what="one more that blocks")
        for _ in range(10):
            late = claim(tell_thread)
            put(pool, late)
            assert outcomes(done, 1).keys() == {late.id}
        # Those that come next are brisk again.
        become_brisk(pool, done, moved_clock)
    hall.doors.set()
    assert outcomes(done, len(blocked)) == {each.id: Succeeded() for each in blocked}


def test_in_a_new_trial_nobody_waits_for_a_body_of_the_trial_before(
    make_pool: MakePool, done, moved_clock, monkeypatch: pytest.MonkeyPatch
):
    pool = make_pool(CONCURRENCY)
    become_brisk(pool, done, moved_clock)
    blocked = claim(stay)
    put(pool, blocked, claim(tell_thread))
    done.get(timeout=DEADLINE_SECONDS)
    # Nobody is to find out by looking on.
    monkeypatch.setattr(thread_pool, "MOST_MISSED", 1_000_000)
    become_brisk(pool, done, moved_clock)
    claims = [claim(tell_thread) for _ in range(20)]
    put(pool, *claims)
    found = outcomes(done, len(claims))
    assert len({outcome.result for outcome in found.values()}) == 1
    hall.doors.set()
    assert outcomes(done, 1) == {blocked.id: Succeeded()}


def test_one_thread_alone_runs_brisk_bodies_in_their_order(make_pool: MakePool, done, moved_clock):
    pool = make_pool(1)
    become_brisk(pool, done, moved_clock)
    for count in (1, 2, 50):
        claims = [claim(tell_thread) for _ in range(count)]
        put(pool, *claims)
        assert list(outcomes(done, count)) == [each.id for each in claims]


@SIZES
def test_what_has_not_begun_can_be_withdrawn_while_all_are_brisk(
    make_pool: MakePool, done, board, moved_clock, patient, size
):
    pool = make_pool(size)
    become_brisk(pool, done, moved_clock)
    running, *waiting = claims = [claim(stay) for _ in range(20)]
    put(pool, *claims)
    wait_until(lambda: set(board.running()) == {running.id}, what="the first body, and no other")
    assert pool.withdraw() == waiting
    assert pool.withdraw() == []
    hall.doors.set()
    assert outcomes(done, 1) == {running.id: Succeeded()}
    last = claim(tell_thread)
    put(pool, last)
    assert outcomes(done, 1).keys() == {last.id}
    assert done.empty()


def test_a_brisk_pool_that_shrinks_and_grows_runs_everything_once(make_pool: MakePool, done, moved_clock, restless):
    pool, chance = make_pool(CONCURRENCY), random.Random(1)
    become_brisk(pool, done, moved_clock)
    for size in [1, CONCURRENCY, 1, CONCURRENCY, 2, 1, 3] * 10:
        first, second = ([claim(tell_thread) for _ in range(chance.randint(1, 10))] for _ in range(2))
        put(pool, *first)
        pool.resize(size)
        put(pool, *second)
        claims = first + second
        assert outcomes(done, len(claims)).keys() == {each.id for each in claims}
    assert done.empty()


@SIZES
@pytest.mark.parametrize("moves", [False, True], ids=["brisk", "brisk again and again"])
def test_no_claim_waits_in_vain_and_none_runs_twice(make_pool: MakePool, done, moved_clock, restless, size, moves):
    """Each round may meet the threads asleep, awake, or on their way from one to the other."""
    pool, chance, left = make_pool(size), random.Random(size), set[UUID]()
    become_brisk(pool, done, moved_clock)
    for number in range(500):
        claims = [claim(tell_thread) for _ in range(chance.randint(1, 4))]
        left |= {each.id for each in claims}
        put(pool, *claims)
        if moves and number % 20 == 0:
            # Long by that clock: all threads run, until the next trial.
            moved_clock.seconds += TRIAL_SECONDS
        for _ in range(chance.choice((0, 1, len(left)))):
            left.remove(done.get(timeout=DEADLINE_SECONDS).claim.id)
    assert outcomes(done, len(left)).keys() == left
    assert done.empty()


def test_a_body_that_blocked_says_nothing_of_a_later_trial(make_pool, done, board, moved_clock):
    pool = make_pool(CONCURRENCY)
    become_brisk(pool, done, moved_clock)
    blocked = claim(stay)
    put(pool, blocked, claim(tell_thread))
    done.get(timeout=DEADLINE_SECONDS)
    become_brisk(pool, done, moved_clock)
    hall.doors.set()
    assert outcomes(done, 1) == {blocked.id: Succeeded()}
    # After that all threads have learned all that they know.
    pool.stop()
    assert pool._pace.is_brisk
