"""Jobs of dead workers run again; who may be at fault starts alone; and death is for ever."""

from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest

from django_jobs.models import Job, Worker
from django_jobs.states import State
from django_jobs.transitions import rescuing
from django_jobs.transitions.ending import STARTED_TOO_OFTEN
from django_jobs.transitions.rescuing import Rescued
from django_jobs.transitions.transactions import in_transaction
from tests.rows import columns, fresh, now, put, worker
from tests.threads import together

pytestmark = pytest.mark.django_db


def orphan(**fields):
    """Put a job that a dead worker was running, claimed twice before."""
    owned: dict[str, Any] = {"owner": worker(dead_at=now()), "fence": 3, "attempt": 2, "starts": 3}
    return put(State.RUNNING, **owned | fields)


def rescue(job, *, begun=None):
    return rescuing.rescue("default", [job.pk], begun=begun)


def test_a_job_whose_body_was_running_is_counted_and_does_not_lose_its_attempt():
    job = orphan(priority=5)
    assert rescue(job) == [Rescued(job.pk, job.name, "default", job.rank, State.READY, False, "")]
    row = fresh(job)
    assert (row.attempt, row.starts, row.stalls, row.fence) == (1, 3, 1, 3)
    assert (row.state, row.suspect, row.rank, row.run_after) == (State.READY, False, job.rank, job.run_after)


@pytest.mark.parametrize(
    ("stalls", "max_stalls", "suspect"), [(0, 1, True), (0, 2, False), (1, 2, True), (1, 9, True), (5, 9, True)]
)
def test_the_second_death_makes_a_suspect_and_so_does_the_one_before_the_last(stalls, max_stalls, suspect):
    job = orphan(stalls=stalls, max_stalls=max_stalls)
    (rescued,) = rescue(job)
    assert (rescued.state, rescued.suspect) == (State.READY, suspect)
    assert fresh(job).suspect == suspect


def test_a_job_that_had_not_begun_goes_back_as_if_it_had_not_been_claimed():
    job = orphan()
    assert rescue(job, begun=set()) == [Rescued(job.pk, job.name, "default", job.rank, State.READY, False, "")]
    row = fresh(job)
    assert (row.attempt, row.starts, row.stalls, row.fence, row.started_at) == (1, 2, 0, 3, None)
    assert not row.attempts.exists()


def test_those_that_had_begun_are_told_from_those_that_had_not():
    owner = worker(dead_at=now())
    jobs = [orphan(owner=owner, max_stalls=1) for _ in range(6)]
    rescuing.rescue("default", [job.pk for job in jobs], begun={job.pk for job in jobs[:2]})
    assert [fresh(job).suspect for job in jobs] == [True] * 2 + [False] * 4
    assert [fresh(job).stalls for job in jobs] == [1] * 2 + [0] * 4


def test_a_suspect_that_had_not_begun_stays_one():
    job = orphan(suspect=True, stalls=2)
    rescue(job, begun=set())
    assert (fresh(job).suspect, fresh(job).stalls) == (True, 2)


@pytest.mark.parametrize(("stalls", "state"), [(0, State.READY), (2, State.READY), (3, State.FAILED)])
def test_a_job_under_which_workers_die_too_often_fails_and_says_why(stalls, state):
    job = orphan(stalls=stalls, max_stalls=3, suspect=stalls > 0)
    rescue(job)
    row = fresh(job)
    assert (row.state, row.stalls) == (state, stalls + 1)
    if state == State.FAILED:
        assert (row.error, row.attempt, row.suspect) == (rescuing.DIED_TOO_OFTEN, 2, False)
        assert row.finished_at is not None


def test_a_job_that_may_not_stall_fails_the_first_time():
    job = orphan(max_stalls=0)
    rescue(job)
    assert fresh(job).state == State.FAILED


@pytest.mark.parametrize("begun", [None, set()], ids=["blamed", "spared"])
def test_a_job_that_was_asked_to_cancel_is_cancelled(begun):
    job = orphan(cancel_requested=True, stalls=3, error="Not needed.")
    rescue(job, begun=begun)
    row = fresh(job)
    assert (row.state, row.error) == (State.CANCELLED, "Not needed.")
    assert row.finished_at is not None


def test_a_job_whose_worker_died_in_its_last_start_fails():
    job = orphan(starts=3, max_starts=3)
    rescue(job)
    assert (fresh(job).state, fresh(job).error) == (State.FAILED, STARTED_TOO_OFTEN)
    assert not fresh(job).suspect


def test_a_job_whose_body_never_began_has_not_used_its_last_start():
    job = orphan(starts=3, max_starts=3)
    rescue(job, begun=set())
    assert (fresh(job).state, fresh(job).starts) == (State.READY, 2)


def test_the_attempt_that_was_cut_off_is_recorded():
    job = orphan()
    rescue(job)
    (attempt,) = job.attempts.all()
    assert (attempt.number, attempt.worker, attempt.outcome) == (2, job.owner, "stalled")
    assert (attempt.started_at, attempt.message) == (job.started_at, rescuing.DIED)
    assert abs(attempt.finished_at - now()) < timedelta(seconds=5)


@pytest.mark.parametrize("begun", [None, set()], ids=["blamed", "spared"])
def test_a_job_of_a_worker_that_is_alive_is_left_to_it(begun):
    job = orphan(owner=worker())
    assert rescue(job, begun=begun) == []
    assert columns(fresh(job)) == columns(job)
    assert not job.attempts.exists()


@pytest.mark.parametrize("owner", [None, uuid4()], ids=["none", "no row"])
def test_a_job_whose_owner_has_no_row_is_an_orphan(owner):
    job = orphan(owner=owner)
    assert rescuing.orphans("default") == [job.pk]
    assert [row.id for row in rescue(job)] == [job.pk]


def test_orphans_are_running_jobs_of_the_dead_and_no_others():
    expected = [orphan(), orphan(owner=uuid4())]
    put(State.RUNNING, owner=worker()), put(State.READY), put(State.FAILED, owner=worker(dead_at=now()))
    assert rescuing.orphans("default") == sorted(job.pk for job in expected)
    assert len(rescuing.orphans("default", 1)) == 1


def test_death_is_told_once_and_for_ever():
    dying, alive = worker(), worker()
    assert rescuing.mark_dead("default", [dying, uuid4()]) == 1
    assert rescuing.mark_dead("default", [dying]) == 0
    assert rescuing.mark_dead("default", []) == 0
    assert rescuing.beat("default", [dying, alive]) == {alive}
    row = Worker.objects.get(pk=dying)
    assert row.died
    assert row.dead_at is not None
    assert Worker.objects.get(pk=alive).dead_at is None


def test_who_said_goodbye_has_not_died():
    me = worker()
    rescuing.mark_dead("default", [me], died=False)
    assert not Worker.objects.get(pk=me).died


def test_a_beat_makes_a_worker_heard_again():
    me, other = (worker(beat_at=now() - timedelta(seconds=60)) for _ in range(2))
    gone = worker(beat_at=now() - timedelta(seconds=60), dead_at=now())
    assert (set(rescuing.silent("default", 30)[0]), rescuing.silent("default", 30)[1]) == ({me, other}, 2)
    assert rescuing.beat("default", [me, gone]) == {me}
    assert rescuing.silent("default", 30) == ([other], 2)
    assert rescuing.beat("default", []) == set()


def test_who_has_beaten_since_the_look_is_not_declared_dead():
    late, back = (worker(beat_at=now() - timedelta(seconds=60)) for _ in range(2))
    rescuing.beat("default", [back])
    assert rescuing.mark_dead("default", [late, back], silent_seconds=30) == 1
    assert Worker.objects.get(pk=back).dead_at is None


def test_rows_that_a_live_worker_does_not_know_go_back_by_fence():
    me, other = worker(), worker()
    mine, newer, foreign = (
        put(State.RUNNING, owner=me),
        put(State.RUNNING, owner=me, fence=5),
        put(State.RUNNING, owner=other),
    )
    assert sorted(rescuing.owned("default", me)) == sorted([(mine.pk, 1), (newer.pk, 5)])
    returned = rescuing.release("default", me, [(mine.pk, 1), (newer.pk, 4), (foreign.pk, 1)])
    assert [row.id for row in returned] == [mine.pk]
    assert (fresh(mine).state, fresh(mine).attempt, fresh(mine).starts) == (State.READY, 0, 0)
    assert [fresh(job).state for job in (newer, foreign)] == [State.RUNNING] * 2


@pytest.mark.django_db(transaction=True)
def test_of_many_rescuers_one_takes_each_job_and_records_its_attempt():
    owner = worker(dead_at=now())
    ids = [orphan(owner=owner).pk for _ in range(100)]

    def act(number: int, barrier: Barrier) -> list[Rescued]:
        rows: list[Rescued] = []
        for start in range(0, 100, 10):
            barrier.wait()
            rows += in_transaction("default", partial(rescuing.rescue, "default", ids[start : start + 10]))
        return rows

    rescued = [row.id for rows in together(6, act) for row in rows]
    # Rows that another was just taking are skipped, and may be left for the next round.
    rescued += [row.id for row in in_transaction("default", partial(rescuing.rescue, "default", ids))]
    assert sorted(rescued) == sorted(ids)
    assert Job.objects.filter(stalls=1, starts=3, attempt=1).count() == 100
    assert all(job.attempts.count() == 1 for job in Job.objects.all())
