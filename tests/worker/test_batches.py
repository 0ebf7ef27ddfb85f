"""Batches in a worker: members wait, claimed but not begun, and harm nobody; then they begin as one."""

import os
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from django_jobs import Job, cancel, enqueue_many, queues
from django_jobs.errors import InvalidArguments
from django_jobs.models import Worker
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.project.batches import choosy, count, count_async, of_a_customer, of_a_region, soon, stay, three
from tests.project.jobs import add, wait_at
from tests.project.models import Effect
from tests.rows import fresh, now, put, worker
from tests.waiting import wait_until
from tests.worker.conftest import CONCURRENCY
from tests.worker.test_recorder import Bench, bench, make_bench
from tests.worker.watching import Gate, all_successful, end_of, living_workers, runs

__all__ = ["bench", "make_bench"]

pytestmark = pytest.mark.django_db(transaction=True)

KNOWS = {"DJANGO_JOBS_TEST_IMPORTS": "tests.project.batches"}
KINDS = pytest.mark.parametrize("function", [count, count_async], ids=["def", "async def"])
SIZE = 10


def enqueue(function: Any, number: int, **options: Any) -> list[Job]:
    return [function.using(**options).enqueue(each) for each in range(number)]


def look(bench: Bench, rounds: int = 1) -> None:
    """Claim what is due, as often as the fetcher would ask for it."""
    for _ in range(rounds):
        bench.desk.ask_for_look(bench.desk.room())
        bench.step()


def step_until(bench: Bench, condition: Callable[[], bool]) -> None:
    """Go on with what is in hand until a condition holds."""
    wait_until(lambda: bench.step() >= 0 and condition(), what="what was to come of the steps")


def waits(job: Job) -> bool:
    """Tell whether a job is claimed and has not begun."""
    row = fresh(job)
    return row.state == State.RUNNING and row.started_at is None and row.deadline_at is None


def as_never_claimed(job: Job) -> bool:
    row = fresh(job)
    return (row.state, row.attempt, row.starts, row.stalls, row.suspect, row.owner) == (
        State.READY,
        0,
        0,
        0,
        False,
        None,
    )


@KINDS
def test_a_batch_is_larger_than_all_that_can_run_at_once(bench: Bench, function):
    assert SIZE > CONCURRENCY
    jobs = enqueue(function, SIZE)
    look(bench, 4)
    bench.finish()
    assert [(fresh(job).state, fresh(job).result) for job in jobs] == [(State.SUCCESSFUL, SIZE)] * SIZE
    assert bench.desk.is_empty()
    assert bench.desk.room() == bench.desk.capacity


def test_a_batch_begins_with_whom_it_has_when_the_first_has_waited_long_enough(moved_clock, bench: Bench):
    jobs = enqueue(count, 3)
    look(bench)
    bench.step()
    assert all(waits(job) for job in jobs)
    assert bench.board.running() == {}
    moved_clock.seconds += 3601
    bench.step()
    bench.finish()
    assert [fresh(job).result for job in jobs] == [3, 3, 3]


def test_a_batch_begins_as_soon_as_enough_are_there_with_all_that_are_there(moved_clock, bench: Bench):
    jobs = enqueue(three, 2)
    look(bench)
    bench.step()
    assert all(waits(job) for job in jobs)
    jobs += enqueue(three, 2)
    look(bench)
    bench.step()
    bench.finish()
    assert [fresh(job).result for job in jobs] == [4] * 4


def test_the_times_of_a_member_are_those_of_the_body(moved_clock, bench: Bench, gate: Gate):
    jobs = [stay.using(timeout=60, queue_name="default").enqueue(gate.path) for _ in range(3)]
    look(bench)
    assert all(waits(job) for job in jobs)
    bench.step()
    wait_until(lambda: set(bench.board.running()) == {job.pk for job in jobs}, what="the body")
    for row in map(fresh, jobs):
        assert row.started_at is not None
        assert row.deadline_at == row.started_at + timedelta(seconds=60)
    gate.open()
    bench.finish()
    assert bench.board.running() == {}


def test_members_that_wait_take_nobodys_place(moved_clock, bench: Bench):
    enqueue(count, SIZE - 1)
    look(bench, 4)
    assert len(bench.desk.claims()) == SIZE - 1
    assert bench.desk.room() >= CONCURRENCY
    other = add.enqueue(1, 2)
    look(bench)
    wait_until(lambda: bench.desk.ended, what="the end of the other")
    bench.step()
    assert fresh(other).result == 3


def test_what_was_claimed_for_a_batch_and_belongs_to_none_goes_back_at_once(moved_clock, bench: Bench, gate: Gate):
    enqueue(count, CONCURRENCY)
    look(bench)
    assert bench.desk.room() > CONCURRENCY
    others = [wait_at.enqueue(gate.path) for _ in range(CONCURRENCY + 3)]
    look(bench)
    bench.step()
    begun = [job for job in others if fresh(job).state == State.RUNNING]
    assert begun == others[:CONCURRENCY]
    assert all(as_never_claimed(job) for job in others[CONCURRENCY:])
    gate.open()
    for job in begun:
        runs(job)


def test_while_all_places_are_taken_no_members_are_claimed(bench: Bench, gate: Gate):
    slow = [wait_at.enqueue(gate.path) for _ in range(CONCURRENCY)]
    bench.take(*slow)
    waiting = enqueue(count, 3)
    look(bench)
    assert all(as_never_claimed(job) for job in waiting)
    gate.open()
    bench.finish()


def test_only_those_that_are_alike_share_a_body(moved_clock, bench: Bench):
    customers = ["acme", "umbrella", "acme", "wayne", "acme", "umbrella"]
    jobs = [of_a_customer.enqueue(customer=each) for each in customers]
    others = [of_a_region.enqueue(number) for number in range(6)]
    look(bench, 4)
    # What is full begins at once, and the rest when the first of its kind has waited long enough.
    step_until(bench, lambda: Job.objects.successful().count() == 9)
    assert [job for job in jobs if waits(job)] == [jobs[1], jobs[3], jobs[5]]
    moved_clock.seconds += 3601
    bench.step()
    bench.finish()
    assert [fresh(job).result for job in jobs] == [[each] * customers.count(each) for each in customers]
    assert [fresh(job).result for job in others] == [[0, 2, 4], [1, 3, 5]] * 3
    assert bench.desk.is_empty()


@pytest.mark.parametrize(
    ("order", "error"),
    [("broken", "InvalidArguments: .* raised LookupError: It has no region."), ("exit", "SystemExit: 3")],
)
def test_one_whose_kind_cannot_be_told_fails_and_says_why_and_the_others_run(moved_clock, bench: Bench, order, error):
    jobs = [of_a_region.enqueue(number) for number in (2, 4)]
    broken = put(name=of_a_region.name, arguments=f'[["{order}"],{{}}]', max_attempts=3)
    jobs.append(of_a_region.enqueue(6))
    look(bench, 4)
    step_until(bench, lambda: not Job.objects.running().exists())
    row = fresh(broken)
    assert (row.state, row.attempt) == (State.FAILED, 1)
    assert re.match(error, row.error)
    assert [fresh(job).result for job in jobs] == [[2, 4, 6]] * 3
    assert bench.desk.is_empty()
    assert bench.desk.room() == bench.desk.capacity


@pytest.mark.parametrize("enqueue", [of_a_region.enqueue, lambda order: enqueue_many([of_a_region.request(order)])])
def test_one_whose_kind_cannot_be_told_is_refused_where_it_is_enqueued(enqueue):
    with pytest.raises(InvalidArguments, match=r"of_a_region.* raised LookupError"):
        enqueue("broken")
    assert not Job.objects.exists()


def test_a_suspect_begins_alone_whoever_it_is_like(moved_clock, make_bench: Callable[..., Bench]):
    bench = make_bench(suspects_only=True)
    jobs = [put(name=of_a_region.name, arguments="[[2],{}]", suspect=True, starts=1) for _ in range(2)]
    look(bench, 2)
    bench.finish()
    look(bench, 2)
    bench.finish()
    assert [fresh(job).result for job in jobs] == [[2], [2]]


def test_a_slow_batch_takes_one_place(bench: Bench, gate: Gate):
    jobs = [stay.using(queue_name="default").enqueue(gate.path) for _ in range(3)]
    look(bench)
    bench.step()
    for job in jobs:
        runs(job)
    assert bench.desk.room() == CONCURRENCY - 1
    others = [add.enqueue(1, number) for number in range(CONCURRENCY - 1)]
    look(bench)
    wait_until(lambda: len(bench.desk.ended) == len(others), what="the end of the others")
    bench.step()
    assert {fresh(job).state for job in others} == {State.SUCCESSFUL}
    gate.open()
    bench.finish()
    assert [fresh(job).result for job in jobs] == [3] * 3
    assert bench.desk.room() == bench.desk.capacity


def test_a_batch_that_found_no_place_goes_back_and_the_next_one_has_its_place(moved_clock, bench: Bench, gate: Gate):
    members = enqueue(count, 3)
    look(bench)
    slow = [wait_at.enqueue(gate.path) for _ in range(CONCURRENCY)]
    bench.take(*slow)
    for job in slow:
        runs(job)
    moved_clock.seconds += 3601
    bench.step()
    moved_clock.seconds += 2
    bench.step()
    bench.step()
    assert all(as_never_claimed(job) for job in members)
    gate.open()
    bench.finish()
    look(bench)
    assert all(waits(job) for job in members)
    assert bench.desk.room() < CONCURRENCY + SIZE - 3
    assert bench.desk._unfinished() == 1
    moved_clock.seconds += 3601
    bench.step()
    bench.finish()
    assert [fresh(job).result for job in members] == [3] * 3


def test_a_member_that_was_cancelled_while_it_waits_never_begins(moved_clock, bench: Bench):
    unwanted, *others = jobs = enqueue(count, 3)
    look(bench)
    assert cancel(unwanted, "Not needed.") == 1
    moved_clock.seconds += 2
    bench.step()
    assert (fresh(unwanted).state, fresh(unwanted).error) == (State.CANCELLED, "Not needed.")
    assert len(bench.desk.claims()) == len(others)
    last = others.pop()
    cancel(last)
    moved_clock.seconds += 3601
    bench.step()
    bench.finish()
    assert fresh(last).state == State.CANCELLED
    assert [fresh(job).result for job in others] == [1]
    assert {each.job_id for each in Effect.objects.all()} == {job.pk for job in jobs} - {unwanted.pk, last.pk}


def test_a_member_that_expires_while_it_waits_never_begins(moved_clock, bench: Bench):
    short, long = count.using(expires=60).enqueue(1), count.using(expires=7200).enqueue(2)
    look(bench)
    moved_clock.seconds += 61
    bench.step()
    bench.step()
    assert as_never_claimed(short)
    # By the clock of the database, which nobody here has looked at since.
    Job.objects.filter(pk=long.pk).update(expires_at=now() - timedelta(seconds=1))
    moved_clock.seconds += 3601
    bench.step()
    bench.step()
    assert as_never_claimed(long)
    assert not Effect.objects.exists()


def test_members_whose_queue_was_paused_while_they_wait_do_not_begin(moved_clock, bench: Bench):
    jobs = enqueue(count, 3)
    look(bench)
    queues["default"].pause()
    moved_clock.seconds += 3601
    bench.step()
    bench.step()
    assert all(as_never_claimed(job) for job in jobs)


def test_a_member_that_was_taken_away_while_it_waits_does_not_begin(moved_clock, bench: Bench):
    lost, kept = enqueue(count, 2)
    look(bench)
    other = worker()
    Job.objects.filter(pk=lost.pk).update(owner=other, fence=2)
    moved_clock.seconds += 3601
    bench.step()
    bench.finish()
    assert (fresh(lost).state, fresh(lost).owner) == (State.RUNNING, other)
    assert fresh(kept).result == 1
    assert bench.desk.is_empty()


def test_only_members_that_share_what_surrounds_their_body_run_together(moved_clock, bench: Bench):
    plain, timed = enqueue(count, 2), enqueue(count, 2, timeout=60)
    elsewhere = [count.using(queue_name="batches").enqueue(1)]
    foreign = enqueue_many([count.request(1).with_headers(tenant="a")])
    look(bench, 2)
    moved_clock.seconds += 3601
    bench.step()
    bench.finish()
    results = [[fresh(job).result for job in jobs] for jobs in (plain, timed, elsewhere, foreign)]
    assert results == [[2, 2], [2, 2], [1], [1]]


def test_each_member_is_tried_again_by_its_own_attempts(start_workers: StartWorkers):
    start_workers(environment=KNOWS)
    fine, once, always = (choosy.enqueue(each) for each in ("fine", "once", "always"))
    assert (end_of(fine).result, end_of(once).result, end_of(always).state) == (1, 2, State.FAILED)
    assert fresh(always).error == "BatchItemFailed: It is one of those: always."
    assert list(fresh(once).attempts.values_list("number", "outcome")) == [(1, "retrying"), (2, "successful")]
    assert not fresh(fine).attempts.exists()


def test_a_suspect_runs_as_a_batch_of_itself_at_once(make_bench: Callable[..., Bench]):
    suspect = put(name=count.name, arguments="[[1],{}]", suspect=True)
    alone = make_bench(suspects_only=True)
    look(alone)
    alone.step()
    alone.finish()
    assert (fresh(suspect).result, fresh(suspect).suspect) == (1, False)


def test_who_was_declared_dead_begins_no_batch_of_its_old_life(moved_clock, bench: Bench):
    jobs = enqueue(count, 2)
    look(bench)
    before = bench.incarnation.id
    Worker.objects.filter(pk=before).update(dead_at=now(), died=True)
    bench.board.declare_dead(before)
    moved_clock.seconds += 3601
    bench.step()
    assert bench.recorder.batches.is_empty
    assert bench.desk.is_empty()
    assert all(waits(job) for job in jobs)
    assert not Effect.objects.exists()


@KINDS
def test_a_backlog_fills_its_batches(start_workers: StartWorkers, function):
    jobs = enqueue(function, 5 * SIZE)
    start_workers("--concurrency", "2", environment=KNOWS)
    all_successful(jobs)
    assert {fresh(job).result for job in jobs} == {SIZE}


def test_those_who_come_one_by_one_wait_for_each_other(start_workers: StartWorkers):
    start_workers("--concurrency", "1", environment=KNOWS)
    jobs = [end_of(job) for job in [soon.enqueue(number) for number in range(3)]]
    assert sum(1 / job.result for job in jobs) == pytest.approx(len({job.started_at for job in jobs}))


def all_wait(jobs: list[Job]) -> None:
    wait_until(lambda: all(waits(job) for job in jobs), what="members that wait")


def test_a_kill_while_members_wait_blames_nobody_and_they_come_back_at_once(start_workers: StartWorkers):
    start_workers(options={"DEAD_AFTER_SECONDS": 3600}, environment=KNOWS)
    jobs = enqueue(count, 3)
    all_wait(jobs)
    (victim,) = living_workers()
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: all(fresh(job).owner not in (None, victim.pk) for job in jobs), what="another worker")
    for row in map(fresh, jobs):
        assert (row.attempt, row.starts, row.stalls, row.suspect) == (1, 1, 0, False)
        assert not row.attempts.exists()
    jobs += enqueue(count, SIZE - 3)
    all_successful(jobs)
    assert {fresh(job).result for job in jobs} == {SIZE}


def test_a_stop_while_members_wait_hands_them_back_as_if_never_started(start_workers: StartWorkers):
    workers = start_workers(environment=KNOWS)
    jobs = enqueue(count, 3)
    all_wait(jobs)
    assert workers.stop() == 0
    assert all(as_never_claimed(job) for job in jobs)
    assert not Effect.objects.exists()


def test_a_second_kill_under_a_batch_makes_all_that_had_begun_suspects_who_then_run_alone(
    start_workers: StartWorkers, gate: Gate
):
    start_workers(options={"DEAD_AFTER_SECONDS": 3600}, environment=KNOWS)
    waiting = enqueue(count, 2)
    jobs = [stay.enqueue(gate.path) for _ in range(3)]
    all_wait(waiting)
    for job in jobs:
        runs(job)
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(stalls=1)
    (victim,) = living_workers()
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: all(fresh(job).stalls == 2 for job in jobs), what="the blame")
    gate.open()
    ended = [end_of(job) for job in jobs]
    assert [(job.state, job.result, job.attempt, job.starts) for job in ended] == [(State.SUCCESSFUL, 1, 1, 2)] * 3
    assert [job.attempts.get(outcome="stalled").number for job in ended] == [1] * 3
    assert {fresh(job).stalls for job in waiting} == {0}


def test_a_stop_lets_a_batch_finish(start_workers: StartWorkers, gate: Gate):
    workers = start_workers(environment=KNOWS)
    jobs = [stay.enqueue(gate.path) for _ in range(3)]
    for job in jobs:
        runs(job)
    workers.process.terminate()
    gate.open()
    assert workers.wait() == 0
    assert {(fresh(job).state, fresh(job).result) for job in jobs} == {(State.SUCCESSFUL, 3)}


def test_one_member_can_be_taken_by_hand():
    job = count.enqueue(7, copies=2)
    with queues["default"].take() as claim:
        assert claim is not None
        assert (claim.id, claim.args, claim.kwargs) == (job.pk, [7], {"copies": 2})
        claim.complete("done")
    assert fresh(job).result == "done"
