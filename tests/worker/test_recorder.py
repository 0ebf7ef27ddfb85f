"""The recorder, one step after the other: outcomes are written, claims are made, and each is somebody's for certain."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from django_jobs import clock, queues
from django_jobs.conf import get_settings
from django_jobs.definitions.outcomes import Ended, GivenBack, Succeeded
from django_jobs.definitions.progress import Progress
from django_jobs.models import Job, Worker
from django_jobs.states import State
from django_jobs.transports import Transport
from django_jobs.worker.board import Board
from django_jobs.worker.desk import Desk
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.pools import Pools
from django_jobs.worker.recorder import UNKNOWN_SECONDS, Recorder
from django_jobs.worker.turns import Turns
from django_jobs.worker.watch import QueueWatch
from tests.project.jobs import add, fail, leave_effect, talk_at, talk_at_async, wait_at
from tests.rows import fresh, now, put, worker
from tests.waiting import wait_until
from tests.worker.claims import claim
from tests.worker.clocks import MovedClock
from tests.worker.conftest import CONCURRENCY
from tests.worker.watching import Gate, runs

pytestmark = pytest.mark.django_db(transaction=True)


class Bench:
    """A recorder and all that it works with, without threads of services."""

    def __init__(self, board: Board, *, suspects_only: bool = False) -> None:
        self.room_told = 0
        # Whether somebody beats for it.
        self.is_heard = True
        self.board, self.desk = board, Desk(CONCURRENCY)
        self.incarnation, self.watch = Incarnation("default", board, [], CONCURRENCY), QueueWatch("default", [])
        self.desk.may_claim = self.incarnation.is_heard
        self.pools = Pools(CONCURRENCY, board, self.desk.put_ended, self.incarnation.holds)
        self.watch.refresh()
        self.incarnation.register()
        self.recorder = Recorder(
            self.desk,
            self.pools,
            self.incarnation,
            self.watch,
            board,
            Turns({}),
            suspects_only=suspects_only,
            reconcile_seconds=0.001,
            on_room=self.tell_room,
        )

    def tell_room(self) -> None:
        self.room_told += 1

    def step(self) -> float:
        """Take one step that does not rest."""
        if self.is_heard:
            self.board.beat(clock.monotonic(), no_judging_until=0.0)
        self.recorder.wake()
        return self.recorder.step()

    def take(self, *jobs: Job) -> None:
        """Hand over ids as the fetcher does, and claim them."""
        self.desk.offer([job.pk for job in jobs])
        self.step()

    def finish(self) -> None:
        """Write all outcomes down once all bodies have ended."""
        wait_until(lambda: len(self.desk.ended) == len(self.desk.claims()), what="the end of all bodies")
        self.step()


@pytest.fixture
def make_bench(board: Board, transport: Transport) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: bool) -> Bench:
        made.append(Bench(board, **options))
        return made[-1]

    yield make
    for each in made:
        each.pools.withdraw()
        each.pools.stop()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_a_claim_is_held_as_long_as_nobody_can_have_declared_its_worker_dead(bench: Bench, moved_clock: MovedClock):
    me = bench.incarnation
    me.register()
    mine, limit = replace(claim(add), owner=me.id), get_settings().DEAD_AFTER_SECONDS
    assert (me.holds(mine), me.holds(claim(add))) == (True, False)
    moved_clock.seconds += limit
    assert not me.holds(mine)
    bench.board.beat(moved_clock.seconds - 1, no_judging_until=0.0)
    assert me.holds(mine)
    me.register()
    assert not me.holds(mine)


def test_who_was_not_heard_of_for_too_long_claims_nothing_until_it_is(bench: Bench, moved_clock: MovedClock):
    bench.incarnation.register()
    bench.is_heard = False
    job = add.enqueue(2, 3)
    moved_clock.seconds += get_settings().DEAD_AFTER_SECONDS
    bench.take(job)
    assert (fresh(job).state, bench.desk.room(), bench.desk.has_orders()) == (State.READY, 0, False)
    bench.board.beat(moved_clock.seconds, no_judging_until=0.0)
    assert bench.desk.has_orders()
    bench.step()
    bench.finish()
    assert fresh(job).result == 5


def test_a_taken_id_is_claimed_run_and_written(bench: Bench):
    job = add.enqueue(2, 3)
    bench.take(job)
    assert (fresh(job).state, fresh(job).owner) == (State.RUNNING, bench.incarnation.id)
    bench.finish()
    assert (fresh(job).state, fresh(job).result) == (State.SUCCESSFUL, 5)
    assert bench.desk.is_empty()
    assert (bench.board.ended, bench.board.failed) == (1, 0)
    assert bench.room_told == 2


@pytest.mark.skipif(connection.vendor == "mysql", reason="Rows are locked, changed and read in three statements there.")
def test_what_an_idle_worker_claims_costs_one_statement_and_no_transaction_around_it(moved_clock, bench: Bench):
    job = add.enqueue(2, 3)
    bench.desk.offer([job.pk])
    with CaptureQueriesContext(connection) as asked:
        bench.recorder.step()
    assert fresh(job).state == State.RUNNING
    assert [query["sql"].split()[0] for query in asked] == ["UPDATE"]


@pytest.mark.parametrize("function", [talk_at, talk_at_async], ids=["def", "async def"])
def test_what_a_body_says_is_written_while_it_runs_and_at_its_end(bench: Bench, gate: Gate, function):
    job = function.enqueue(gate.path)
    bench.take(job)
    runs(job)
    bench.step()
    assert fresh(job).progress == Progress(1, 2, "begun")
    assert (fresh(job).data, [line.text for line in fresh(job).log]) == ({"effects": 1}, ["begun"])
    gate.open()
    bench.finish()
    assert fresh(job).state == State.SUCCESSFUL
    assert fresh(job).progress == Progress(2, 2, "over")
    assert [line.text for line in fresh(job).log] == ["begun", "over"]


def test_what_a_body_said_is_written_when_it_is_handed_back(bench: Bench, gate: Gate):
    job = talk_at.enqueue(gate.path)
    bench.take(job)
    runs(job)
    (claim,) = bench.desk.claims()
    bench.desk.put_ended(Ended(claim, GivenBack(begun=True)))
    bench.step()
    assert fresh(job).progress == Progress(1, 2, "begun")
    other = worker()
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING, owner=other, fence=claim.fence + 1)
    gate.open()
    wait_until(lambda: bench.desk.ended, what="the end of the body")
    bench.step()
    assert fresh(job).progress is None
    assert [line.text for line in fresh(job).log] == ["begun"]
    assert (fresh(job).state, fresh(job).owner) == (State.RUNNING, other)


def test_outcomes_are_written_and_new_jobs_claimed_in_one_step(bench: Bench):
    first, second = add.enqueue(1, 1), add.enqueue(2, 2)
    bench.take(first)
    wait_until(lambda: bench.desk.ended, what="the end of the first")
    bench.take(second)
    assert fresh(first).state == State.SUCCESSFUL
    assert fresh(second).state == State.RUNNING


def test_a_look_claims_what_is_due_best_rank_first_and_no_more_than_asked_for(bench: Bench):
    jobs = [add.using(priority=priority).enqueue(priority, 0) for priority in (1, 3, 2)]
    later = add.using(run_after=timedelta(hours=1), priority=9).enqueue(0, 0)
    bench.desk.ask_for_look(2)
    bench.step()
    states = [fresh(job).state == State.READY for job in (*jobs, later)]
    assert states == [True, False, False, True]


def test_the_final_failure_of_a_job_is_logged_as_an_error_with_its_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    job = fail.enqueue("No such order.")
    bench.take(job)
    bench.finish()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert str(job.pk) in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert (bench.board.ended, bench.board.failed) == (1, 1)


def test_an_outcome_of_a_job_that_was_taken_away_changes_nothing(bench: Bench, gate: Gate):
    job = wait_at.enqueue(gate.path)
    bench.take(job)
    runs(job)
    other = worker()
    Job.objects.filter(pk=job.pk).update(owner=other, fence=2)
    gate.open()
    bench.finish()
    assert (fresh(job).state, fresh(job).owner) == (State.RUNNING, other)
    assert bench.desk.is_empty()
    assert bench.board.ended == 0


def test_who_ends_claims_nothing_more_and_still_writes(bench: Bench):
    first, second = add.enqueue(1, 1), add.enqueue(2, 2)
    bench.take(first)
    bench.desk.close()
    wait_until(lambda: bench.desk.ended, what="the end of the first")
    bench.take(second)
    assert fresh(first).state == State.SUCCESSFUL
    assert fresh(second).state == State.READY


def test_a_taken_job_of_an_unknown_name_is_rung_again_after_a_while(moved_clock, bench: Bench, transport: Transport):
    transport.open()
    unknown = put(name="nobody.knows", run_after=now() - timedelta(seconds=10))
    bench.take(unknown)
    assert fresh(unknown).starts == 0
    for seconds, expected in ((UNKNOWN_SECONDS - 0.1, ()), (0.2, (unknown.pk,))):
        moved_clock.seconds += seconds
        bench.step()
        taken = transport.take(uuid4(), ["default"], 10, now(), 0)
        assert taken is not None
        assert taken.ids == expected


def test_a_job_of_a_queue_that_was_just_paused_is_not_claimed(bench: Bench):
    queues["default"].pause()
    job = add.enqueue(1, 1)
    bench.take(job)
    assert (fresh(job).state, fresh(job).starts) == (State.READY, 0)


def test_a_row_that_this_worker_owns_but_does_not_know_goes_back(moved_clock, bench: Bench):
    lost = put(State.RUNNING, owner=bench.incarnation.id, starts=1)
    moved_clock.seconds += 1
    bench.step()
    assert (fresh(lost).state, fresh(lost).attempt, fresh(lost).starts) == (State.READY, 0, 0)


def test_only_a_look_that_found_nothing_with_nothing_in_hand_is_dry(bench: Bench, gate: Gate):
    def is_dry_after_a_look() -> bool:
        bench.desk.ask_for_look(1)
        bench.step()
        return bench.recorder.dry

    assert is_dry_after_a_look()
    job = wait_at.enqueue(gate.path)
    assert not is_dry_after_a_look()
    runs(job)
    assert not is_dry_after_a_look()
    gate.open()
    bench.finish()


def test_who_was_declared_dead_begins_a_new_life_and_its_old_jobs_are_others(bench: Bench, gate: Gate):
    job = wait_at.enqueue(gate.path)
    bench.take(job)
    runs(job)
    before = bench.incarnation.id
    Worker.objects.filter(pk=before).update(dead_at=now(), died=True)
    bench.board.declare_dead(before)
    bench.step()
    assert bench.incarnation.id == bench.board.worker != before
    assert Worker.objects.get(pk=bench.incarnation.id).dead_at is None
    assert bench.desk.is_empty()
    other = add.enqueue(1, 1)
    bench.take(other)
    assert fresh(other).owner == bench.incarnation.id
    gate.open()


def test_suspects_are_claimed_only_by_who_starts_them_alone(make_bench: Callable[..., Bench]):
    suspect = put(name=leave_effect.name, suspect=True)
    innocent = put(name=leave_effect.name)
    ordinary = make_bench()
    ordinary.desk.ask_for_look(10)
    ordinary.step()
    ordinary.finish()
    assert (fresh(suspect).state, fresh(innocent).state) == (State.READY, State.SUCCESSFUL)
    innocent = put(name=leave_effect.name)
    alone = make_bench(suspects_only=True)
    alone.desk.ask_for_look(10)
    alone.step()
    alone.finish()
    assert (fresh(suspect).state, fresh(innocent).state) == (State.SUCCESSFUL, State.READY)
    assert not fresh(suspect).suspect


def test_what_waits_behind_slow_bodies_goes_back_to_others(moved_clock, bench: Bench, gate: Gate):
    slow = [wait_at.enqueue(gate.path) for _ in range(CONCURRENCY)]
    bench.take(*slow)
    for job in slow:
        runs(job)
    waiting = add.enqueue(1, 1)
    bench.desk.learn(seconds=0.001, bodies=1)
    bench.take(waiting)
    assert fresh(waiting).state == State.RUNNING
    moved_clock.seconds += 1.1
    bench.step()
    assert (fresh(waiting).state, fresh(waiting).attempt, fresh(waiting).starts) == (State.READY, 0, 0)
    assert bench.desk.capacity == CONCURRENCY
    gate.open()
    bench.finish()
    assert {fresh(job).state for job in slow} == {State.SUCCESSFUL}


def test_an_outcome_survives_a_write_that_went_wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    job = add.enqueue(1, 1)
    bench.take(job)
    wait_until(lambda: bench.desk.ended, what="the end of the body")
    with monkeypatch.context() as broken:
        broken.setattr(Job._meta, "db_table", "nowhere")
        with suppress(DatabaseError, RuntimeError):  # databases differ in what they call a missing table
            bench.step()
    (kept,) = bench.desk.ended
    assert isinstance(kept, Ended)
    assert kept.outcome == Succeeded("2")
    bench.step()
    assert fresh(job).state == State.SUCCESSFUL


def test_the_loop_is_seen_to_turn(moved_clock, bench: Bench):
    moved_clock.seconds += 7
    bench.step()
    assert bench.board.last_tick == moved_clock.seconds
