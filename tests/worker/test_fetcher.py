"""The fetcher, one step after the other: it takes what the desk has room for, and waits for the bell."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from django_jobs import queues
from django_jobs.models import Job
from django_jobs.transports import Bell, Transport
from django_jobs.transports.database import DatabaseTransport
from django_jobs.transports.redis import RedisTransport
from django_jobs.worker.board import Board
from django_jobs.worker.desk import Desk
from django_jobs.worker.fetcher import LOOK_SECONDS, Fetcher
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.turns import Turns
from django_jobs.worker.watch import QueueWatch
from tests.rows import new
from tests.threads import together
from tests.worker.conftest import CONCURRENCY

pytestmark = pytest.mark.django_db(transaction=True)


class Bench:
    """A fetcher and all that it works with, without its thread."""

    def __init__(self, transport: Transport, board: Board, *queue_names: str) -> None:
        self.desk, self.offers = Desk(CONCURRENCY), 0
        self.incarnation = Incarnation("default", board, queue_names, CONCURRENCY)
        self.incarnation.register()
        self.watch = QueueWatch("default", queue_names)
        self.watch.refresh()
        self.turns = Turns({})
        self.fetcher = Fetcher(transport, self.desk, self.incarnation, self.watch, self.turns, on_offer=self.tell_offer)

    def tell_offer(self) -> None:
        self.offers += 1

    def step(self) -> float:
        return self.fetcher.step()

    def orders(self) -> tuple[list[UUID], int]:
        """Return what the recorder is to claim, and carry it out: none of it can start."""
        orders = self.desk.orders()
        self.desk.hold([])
        return orders


@pytest.fixture
def open_transport(transport: Transport) -> Transport:
    transport.open()
    return transport


@pytest.fixture
def make_bench(board: Board) -> Callable[..., Bench]:
    return lambda transport, *queue_names: Bench(transport, board, *queue_names)


@pytest.fixture
def bench(make_bench: Callable[..., Bench], open_transport: Transport) -> Bench:
    return make_bench(open_transport, "default")


def ring(transport: Transport, *jobs: Job) -> list[UUID]:
    transport.announce([Bell(job.pk, job.queue_name, job.rank) for job in jobs])
    return [job.pk for job in jobs]


def test_no_more_is_taken_than_the_desk_has_room_for(bench: Bench, open_transport: Transport):
    ids = ring(open_transport, *[new() for _ in range(CONCURRENCY + 2)])
    assert bench.step() == 0
    assert bench.desk.room() == 0
    assert bench.offers == 1
    assert bench.step() > 0
    first, look_for = bench.orders()
    assert (len(first), look_for) == (CONCURRENCY, 0)
    assert bench.step() == 0
    assert {*first, *bench.orders()[0]} == set(ids)


def test_the_bell_ends_a_wait_without_a_look_into_the_table(moved_clock: Any, bench: Bench, open_transport: Transport):
    open_transport.wake()  # so that it does not wait at first
    bench.step()
    assert bench.orders() == ([], CONCURRENCY)
    job = new()
    together(2, lambda number, _: bench.step() if number else ring(open_transport, job))
    open_transport.wake()
    bench.step()
    assert bench.orders() == ([job.pk], 0)


def test_when_all_that_is_due_was_taken_the_bell_is_waited_for_without_asking_again(
    bench: Bench, open_transport: Transport
):
    first, second = new(), new()
    ring(open_transport, first)
    # The marker of the first bell is still there, so it does not wait.
    bench.step()
    assert bench.orders() == ([first.pk], CONCURRENCY - 1)
    together(2, lambda number, _: bench.step() if number else ring(open_transport, second))
    open_transport.wake()
    bench.step()
    assert bench.orders()[0] == [second.pk]


def test_an_idle_worker_looks_into_the_table_now_and_then(moved_clock: Any, bench: Bench, open_transport: Transport):
    looks = []
    for _ in range(3):
        open_transport.wake()  # so that it does not wait
        bench.step()
        looks.append(bench.orders()[1])
        moved_clock.seconds += LOOK_SECONDS * 0.7
    assert looks == [CONCURRENCY, 0, CONCURRENCY]


def test_a_paused_queue_is_not_asked_for(bench: Bench, open_transport: Transport):
    (id,) = ring(open_transport, new())
    queues["default"].pause()
    bench.watch.refresh()
    assert bench.step() > 0
    assert bench.orders() == ([], 0)
    queues["default"].resume()
    bench.watch.refresh()
    bench.step()
    assert bench.orders()[0] == [id]


def test_each_queue_is_served_first_in_its_turn(make_bench: Callable[..., Bench], open_transport: Transport):
    bench = make_bench(open_transport, "busy", "quiet")
    ring(open_transport, *[new(queue_name="busy") for _ in range(50)])
    (quiet,) = ring(open_transport, new(queue_name="quiet"))
    taken = []
    for _ in range(2):
        bench.step()
        taken += bench.orders()[0]
    assert quiet in taken


def test_while_a_transport_has_no_memory_the_table_is_looked_into(bench: Bench, make_bench: Any, settings: Any):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "PREFIX": f"test_{uuid4().hex}"}
    flushed = RedisTransport(settings.DJANGO_JOBS["TRANSPORT"], settings.DJANGO_JOBS["PREFIX"])
    bench = make_bench(flushed, "default")
    assert 0 < bench.step() <= 2 * flushed.poll_seconds
    assert bench.orders() == ([], CONCURRENCY)
    flushed.close()


def test_without_a_bell_the_table_is_looked_into_about_every_second(make_bench: Callable[..., Bench]):
    bench = make_bench(DatabaseTransport(), "default")
    assert 0.8 < bench.step() < 1.2
    assert bench.orders() == ([], CONCURRENCY)


def test_while_the_transport_is_away_the_table_is_looked_into_and_one_line_says_so(
    moved_clock: Any, make_bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
):
    nobody = RedisTransport("redis://127.0.0.1:1/0", "nobody")
    bench = make_bench(nobody, "default")
    for _ in range(8):
        assert 0 < bench.step() <= nobody.poll_seconds
        assert bench.orders() == ([], CONCURRENCY)
        moved_clock.seconds += 1
    (line,) = caplog.messages
    assert "Working from the table until the transport is back." in line
    nobody.close()


def test_a_new_life_takes_under_its_own_name(bench: Bench, open_transport: Transport):
    ring(open_transport, new())
    bench.step()
    bench.desk.forget_all()
    bench.incarnation.register()
    ids = ring(open_transport, new())
    bench.step()
    assert bench.orders() == (ids, 0)
