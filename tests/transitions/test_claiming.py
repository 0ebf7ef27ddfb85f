"""Whether a job may run is decided by one guarded UPDATE, whoever asks and however often."""

from datetime import timedelta
from functools import partial
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from django.db import connection

from django_jobs.definitions.outcomes import Claim
from django_jobs.definitions.rank import BAND_SIZE, band, due_range
from django_jobs.models import Job, Queue, Worker
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_due, claim_ids, leftovers
from django_jobs.transitions.due import due_ranges
from django_jobs.transitions.due import now as database_now
from django_jobs.transitions.transactions import in_transaction
from tests.rows import HOUR, NAMES, columns, fresh, now, put, running, worker
from tests.threads import together

pytestmark = pytest.mark.django_db


def by_id(job: Job, owner: UUID) -> list[Claim]:
    return claim_ids("default", owner, [job.pk], NAMES)


def by_query(job: Job, owner: UUID) -> list[Claim]:
    return claim_due("default", owner, [job.queue_name], 10, NAMES)


EITHER = pytest.mark.parametrize("claim", [by_id, by_query])


@EITHER
def test_a_claim_hands_over_the_call_and_makes_the_worker_the_owner(claim):
    job = put(
        name="samples.mail", queue_name="mail", arguments='[["a"],{"copies":2}]', max_attempts=4, backoff="[]", fence=6
    )
    me = worker()
    (got,) = claim(job, me)
    row = fresh(job)
    assert (row.state, row.owner, row.fence) == (State.RUNNING, me, 7)
    assert row.started_at is not None
    assert abs(row.started_at - now()) < timedelta(seconds=5)
    assert got == Claim(
        id=job.pk,
        name="samples.mail",
        queue_name="mail",
        rank=job.rank,
        fence=7,
        attempt=1,
        starts=1,
        max_attempts=4,
        owner=me,
        arguments='[["a"],{"copies":2}]',
        backoff="[]",
        enqueued=got.enqueued,
    )
    assert abs(got.enqueued - job.enqueued_at.timestamp()) < 0.001


def pause() -> None:
    Queue.objects.create(name="default", paused=True)


@EITHER
@pytest.mark.parametrize(
    "fields",
    [
        {"run_after": now() + HOUR},
        {"run_after": now() + HOUR, "lifo": True},
        {"expires_at": now() - timedelta(seconds=1)},
        {"cancel_requested": True},
        {"name": "samples.unheard_of"},
        {"name": "Samples.note"},
        {"suspect": True},
    ],
    ids=lambda fields: ", ".join(fields),
)
def test_a_job_that_may_not_start_is_not_claimed(claim, fields):
    job = put(**fields)
    assert claim(job, worker()) == []
    assert columns(fresh(job)) == columns(job)


@EITHER
def test_a_job_that_expires_later_is_claimed(claim):
    assert len(claim(put(expires_at=now() + HOUR), worker())) == 1


@EITHER
@pytest.mark.parametrize("owner", [uuid4, lambda: worker(dead_at=now())], ids=["no row", "dead"])
def test_a_worker_that_is_not_alive_claims_nothing(claim, owner):
    assert claim(put(), owner()) == []


@EITHER
def test_a_paused_queue_hands_out_nothing_until_it_goes_on(claim):
    job, queue = put(), Queue.objects.create(name="default", paused=True)
    assert claim(job, worker()) == []
    Queue.objects.filter(pk=queue.pk).update(paused=False)
    assert len(claim(job, worker())) == 1


@EITHER
def test_another_queue_that_is_paused_is_of_no_matter(claim):
    Queue.objects.create(name="Default", paused=True)
    assert len(claim(put(), worker())) == 1


@EITHER
def test_a_job_is_claimed_once(claim):
    job = put()
    assert len(claim(job, worker())) == 1
    assert claim(job, worker()) == []


def test_a_taken_id_may_be_a_moment_early_by_the_clock_of_the_database():
    soon, later = put(run_after=now() + timedelta(milliseconds=20)), put(run_after=now() + timedelta(seconds=5))
    claims = claim_ids("default", worker(), [soon.pk, later.pk], NAMES)
    assert [claim.id for claim in claims] == [soon.pk]


def test_claims_by_id_come_in_the_order_of_the_ids():
    jobs = [put() for _ in range(20)]
    order = [job.pk for job in (*jobs[10:], *reversed(jobs[:10]))]
    assert [claim.id for claim in claim_ids("default", worker(), order, NAMES)] == order


def test_with_a_limit_the_first_that_can_start_are_claimed():
    """The transport has put them in order: by rank within a queue, and by whose turn it is between queues."""
    jobs = [put(queue_name=name, priority=priority) for name, priority in (("mail", 0), ("mail", 0), ("default", 9))]
    claims = claim_ids("default", worker(), [uuid4(), *(job.pk for job in jobs)], NAMES, 2)
    assert [claim.id for claim in claims] == [jobs[0].pk, jobs[1].pk]


def test_ids_that_come_twice_or_mean_nothing_are_claimed_once_or_not():
    job = put()
    assert [claim.id for claim in claim_ids("default", worker(), [job.pk, uuid4(), job.pk], NAMES)] == [job.pk]
    assert claim_ids("default", worker(), [], NAMES) == []


def test_a_worker_that_knows_no_job_claims_nothing():
    job = put()
    assert claim_ids("default", worker(), [job.pk], []) == []
    assert claim_due("default", worker(), ["default"], 10, []) == []


def test_a_look_into_the_table_takes_the_best_rank_first():
    age = timedelta(minutes=1)
    expected = [
        put(priority=9, run_after=now() - age),
        put(priority=9, run_after=now() - age / 2),
        put(priority=0, lifo=True, run_after=now() - age),
        put(priority=0, lifo=True, run_after=now() - 2 * age),
        put(priority=0, run_after=now() - 9 * age),
        put(priority=0, run_after=now() - age),
        put(priority=-100, run_after=now() - 99 * age),
    ]
    put(priority=100, run_after=now() + HOUR), put(priority=100, lifo=True, run_after=now() + HOUR)
    claims = claim_due("default", worker(), ["default"], 10, NAMES)
    assert [claim.id for claim in claims] == [job.pk for job in expected]


def test_jobs_of_one_rank_start_in_the_order_of_their_ids():
    due = now() - HOUR
    jobs = sorted((put(run_after=due) for _ in range(5)), key=lambda job: job.pk)
    claims = claim_due("default", worker(), ["default"], 3, NAMES)
    assert [claim.id for claim in claims] == [job.pk for job in jobs[:3]]


def test_a_look_takes_the_queues_in_the_order_given_and_no_more_than_asked():
    mail, default = put(queue_name="mail", priority=-5), put(priority=5)
    put(queue_name="other", priority=100)
    me = worker()
    assert [claim.id for claim in claim_due("default", me, ["mail", "default"], 1, NAMES)] == [mail.pk]
    assert [claim.id for claim in claim_due("default", me, ["mail", "default"], 9, NAMES)] == [default.pk]


def test_a_look_takes_from_each_queue_its_share_and_what_one_lacks_from_the_others():
    queues = ["mail", "default", "empty"]
    jobs = {name: {put(queue_name=name).pk for _ in range(8)} for name in queues[:2]}
    me = worker()

    def claimed(limit: int, *shares: int) -> list[int]:
        ids = {claim.id for claim in claim_due("default", me, queues, limit, NAMES, shares=shares)}
        return [len(ids & each) for each in jobs.values()]

    assert claimed(4, 3, 1, 0) == [3, 1]
    assert claimed(1, 0, 1, 0) == [0, 1]
    assert claimed(5, 1, 1, 3) == [4, 1]
    assert claimed(9, 9, 0, 0) == [1, 5]


def test_a_look_goes_past_what_it_may_not_start():
    put(name="samples.unheard_of", priority=50), put(cancel_requested=True, priority=50)
    job = put()
    assert [claim.id for claim in claim_due("default", worker(), ["default"], 1, NAMES)] == [job.pk]


def test_suspects_are_claimed_only_by_those_who_ask_for_them():
    suspect, other = put(suspect=True), put()
    me = worker()
    assert [claim.id for claim in claim_due("default", me, ["default"], 9, NAMES, suspect=True)] == [suspect.pk]
    assert [claim.id for claim in claim_due("default", me, ["default"], 9, NAMES)] == [other.pk]


def test_names_of_queues_are_equal_byte_for_byte():
    put(queue_name="Mail"), put(queue_name="mäil")
    assert claim_due("default", worker(), ["mail"], 9, NAMES) == []


def test_there_is_one_due_range_for_each_band_that_holds_something():
    for priority, lifo in ((7, False), (7, False), (7, True), (0, False), (-100, True)):
        put(priority=priority, lifo=lifo, run_after=now() + HOUR)
    put(queue_name="mail"), put(State.RUNNING, priority=50), put(suspect=True, priority=60)
    until = now()
    bands = [band(7, True), band(7, False), band(0, False), band(-100, True)]
    assert list(due_ranges("default", "default", until)) == [due_range(each, until) for each in bands]
    since = until - HOUR
    assert list(due_ranges("default", "default", until, since)) == [due_range(each, until, since) for each in bands]
    assert list(due_ranges("default", "nothing", until)) == []


def test_due_ranges_know_the_first_and_the_last_band():
    put(rank=0), put(rank=402 * BAND_SIZE - 1)
    until = now()
    assert list(due_ranges("default", "default", until)) == [due_range(0, until), due_range(401, until)]


def test_the_clock_of_the_database_tells_the_time_in_utc():
    assert abs(database_now("default") - now()) < timedelta(seconds=5)


@pytest.mark.skipif(connection.vendor != "mysql", reason="only MySQL lets a session have another clock")
def test_the_time_zone_of_the_session_is_of_no_matter():
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+05:00'")
        try:
            assert abs(database_now("default") - now()) < timedelta(seconds=5)
            due, later = put(), put(run_after=now() + HOUR)
            assert [job.pk for job in Job.objects.ready()] == [due.pk]
            assert [job.pk for job in Job.objects.scheduled()] == [later.pk]
            assert len(claim_ids("default", worker(), [due.pk, later.pk], NAMES)) == 1
        finally:
            cursor.execute("SET time_zone = DEFAULT")


def test_leftovers_tell_why_an_id_was_not_claimed():
    jobs = {
        "ready": put(priority=3),
        "later": put(run_after=now() + HOUR),
        "unknown": put(name="samples.unheard_of"),
        "running": put(State.RUNNING),
        "ended": put(State.FAILED),
        "cancelled": put(cancel_requested=True),
        "suspect": put(suspect=True),
    }
    rows = {row.id: row for row in leftovers("default", [*(job.pk for job in jobs.values()), uuid4()], NAMES)}
    assert len(rows) == len(jobs)
    told = {name: (rows[job.pk].startable, rows[job.pk].known) for name, job in jobs.items()}
    assert told == {
        "ready": (True, True),
        "later": (True, True),
        "unknown": (True, False),
        "running": (False, True),
        "ended": (False, True),
        "cancelled": (False, True),
        "suspect": (False, True),
    }
    assert (rows[jobs["ready"].pk].queue_name, rows[jobs["ready"].pk].rank) == ("default", jobs["ready"].rank)
    assert leftovers("default", [], NAMES) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["by id", "by query", "both"])
def test_of_many_workers_that_claim_the_same_jobs_each_job_goes_to_one(how):
    jobs = [put() for _ in range(200)]
    ids = [job.pk for job in jobs]
    workers = [worker() for _ in range(8)]

    def claim(number: int, barrier: Barrier) -> list[Claim]:
        me, mine = workers[number], []
        if how == "by id" or (how == "both" and number % 2):
            for start in range(0, len(ids), 20):
                mine += in_transaction("default", partial(claim_ids, "default", me, ids[start : start + 20], NAMES))
        else:
            while found := in_transaction("default", partial(claim_due, "default", me, ["default"], 10, NAMES)):
                mine += found
        return mine

    claims = [claim for mine in together(len(workers), claim) for claim in mine]
    # Those that were locked by another just then may be left; nobody waits for them.
    claims += claim_ids("default", workers[0], ids, NAMES)
    assert sorted(claim.id for claim in claims) == sorted(ids)
    assert {claim.fence for claim in claims} == {1}
    assert {job.pk: job.owner for job in Job.objects.all()} == {claim.id: claim.owner for claim in claims}


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_while_it_claims_leaves_nothing_to_nobody():
    """Whatever it got is found as an orphan; what it did not get is still there."""
    jobs = [put() for _ in range(100)]
    me = worker()

    def act(number: int, barrier: Barrier) -> int:
        if number == 0:
            return Worker.objects.filter(pk=me).update(dead_at=now())
        return sum(len(claim_ids("default", me, [job.pk], NAMES)) for job in jobs)

    _, claimed = together(2, act)
    assert Job.objects.filter(state=State.RUNNING, owner=me).count() == claimed
    assert Job.objects.filter(state=State.READY).count() == 100 - claimed


def test_a_claim_gives_a_job_with_a_timeout_its_deadline():
    job, claim = running(timeout=90.0)
    assert claim.timeout == 90.0
    assert job.deadline_at is not None
    assert abs(job.deadline_at - now() - timedelta(seconds=90)) < timedelta(seconds=5)
    job, claim = running()
    assert (claim.timeout, job.deadline_at) == (None, None)
