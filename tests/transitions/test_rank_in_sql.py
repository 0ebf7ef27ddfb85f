"""Each database computes the rank that Python computes; SQLite's clock knows milliseconds."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from django_jobs import reschedule, retry, run_now
from django_jobs.definitions.outcomes import Retried, Snoozed
from django_jobs.definitions.rank import BAND_SIZE, LAST_TICK, ORIGIN, rank, ticks
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.ending import end
from django_jobs.transitions.sql import dialect
from tests.rows import ERROR, HOUR, claim_of, ended, fresh, now, put
from tests.samples import note

pytestmark = pytest.mark.django_db

MILLISECOND, MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
STEP = MILLISECOND if connection.vendor == "sqlite" else MICROSECOND
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
CHANCE = random.Random(5)
MOMENTS = [
    ORIGIN,
    ORIGIN + STEP,
    ORIGIN - STEP,
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    ORIGIN + timedelta(seconds=(LAST_TICK - 20) // 10_000),
    ORIGIN + timedelta(seconds=(LAST_TICK + 20_000) // 10_000),
    datetime(2150, 1, 1, tzinfo=UTC),
    LAST,
    *(ORIGIN + CHANCE.randint(0, 55 * 365 * 86_400_000) * MILLISECOND for _ in range(200)),
    *(
        ORIGIN + CHANCE.randint(0, 55 * 365 * 86_400_000_000) * STEP // STEP * STEP
        for _ in range(200)
        if STEP is MICROSECOND
    ),
]


def test_ticks_of_any_moment_are_those_of_python():
    sql = dialect("default")
    kind = "timestamptz" if connection.vendor == "postgresql" else "CHAR"
    wrong = []
    for moment in MOMENTS:
        ((count,),) = sql.query(f"SELECT {sql.ticks(f'CAST(%s AS {kind})')}", [sql.time_parameter(moment)])
        if max(int(count), 0) != ticks(moment):
            wrong.append((moment, int(count), ticks(moment)))
    assert wrong == []


@pytest.mark.parametrize("lifo", [False, True])
@pytest.mark.parametrize("priority", [-100, -1, 0, 1, 100])
def test_a_new_job_has_the_rank_of_the_formula(priority, lifo):
    handle = note.using(priority=priority, lifo=lifo)
    for moment in MOMENTS[3:40]:
        job = handle.using(run_after=moment).enqueue()
        assert job.rank == rank(priority, lifo, moment if moment > job.enqueued_at else job.enqueued_at)
    job = handle.enqueue()
    assert job.rank == rank(priority, lifo, job.enqueued_at)


def test_a_job_of_the_far_future_stays_in_its_band_and_is_never_due():
    for lifo in (False, True):
        job = note.using(run_after=LAST, lifo=lifo).enqueue()
        assert job.rank // BAND_SIZE == rank(0, lifo, now()) // BAND_SIZE
        assert job.rank == rank(0, lifo, LAST)


@pytest.mark.parametrize("lifo", [False, True])
@pytest.mark.parametrize("priority", [-100, 0, 100])
def test_every_move_that_gives_another_time_gives_its_rank(priority, lifo):
    moves: dict[str, tuple[State, Callable[[Job], object]]] = {
        "retry": (State.RUNNING, lambda job: end("default", [ended(claim_of(job), Retried(ERROR, 12.345))], 0.0)),
        "snooze": (State.RUNNING, lambda job: end("default", [ended(claim_of(job), Snoozed(0.0))], 0.0)),
        "retry by hand": (State.FAILED, retry),
        "run now": (State.READY, run_now),
        "reschedule to": (State.READY, lambda job: reschedule(job, MOMENTS[5])),
        "reschedule by": (State.READY, lambda job: reschedule(job, 77.5)),
    }
    for name, (state, move) in moves.items():
        job = put(state, priority=priority, lifo=lifo, run_after=now() + HOUR)
        assert move(job), name
        assert fresh(job).rank == rank(priority, lifo, fresh(job).run_after), name
    assert Job.objects.count() == len(moves)
