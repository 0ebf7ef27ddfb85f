"""What is hot never waits for a lock that somebody holds for long; what people do waits and then sees the truth."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
from django.db import OperationalError, connection, transaction

from django_jobs import cancel, enqueue_many, retry
from django_jobs.definitions.outcomes import Failed, Retried, Succeeded
from django_jobs.lifecycle.control import Jobs
from django_jobs.lifecycle.settling import PATIENCE_MILLISECONDS, settle
from django_jobs.models import Job, Worker
from django_jobs.states import State
from django_jobs.transitions import rescuing
from django_jobs.transitions.claiming import claim_due, claim_ids
from django_jobs.transitions.ending import end
from django_jobs.transitions.transactions import TRIES, after_own_collisions, in_transaction
from django_jobs.worker.connections import close_connections, use_own_connection
from tests.project.jobs import add
from tests.rows import ERROR, NAMES, claim_of, columns, ended, fresh, now, put, worker
from tests.threads import elsewhere, own_connections, together
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for all rows"),
]


def lock(*jobs: Job):
    return elsewhere(
        lambda: list(Job.objects.select_for_update().filter(pk__in=[job.pk for job in jobs]).order_by("pk"))
    )


def how_many_wait() -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT 'waits', count(*) FROM pg_locks WHERE NOT granted")
        else:
            # Not innodb_trx, which tells the same for ever to those who ask again within 0.1 s.
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        return int(cursor.fetchone()[1])


def test_a_claim_passes_by_what_is_locked():
    locked, free = put(), put()
    me = worker()
    with lock(locked):
        assert [claim.id for claim in claim_ids("default", me, [locked.pk, free.pk], NAMES)] == [free.pk]
    assert [claim.id for claim in claim_ids("default", me, [locked.pk, free.pk], NAMES)] == [locked.pk]


def test_a_look_passes_by_what_is_locked():
    locked, free = put(priority=9), put()
    me = worker()
    with lock(locked):
        assert [claim.id for claim in claim_due("default", me, ["default"], 1, NAMES)] == [free.pk]
    assert [claim.id for claim in claim_due("default", me, ["default"], 1, NAMES)] == [locked.pk]


@pytest.mark.parametrize("how", ["look", "ids"])
def test_two_that_claim_at_the_same_time_get_different_jobs_and_neither_waits(how):
    jobs = [put() for _ in range(20)]
    ids = [job.pk for job in jobs]
    me, other = worker(), worker()

    if how == "ids" and connection.vendor == "mysql":
        pytest.skip("all ids of a claim are locked there until it ends; nobody else has been handed them")

    def claim(owner, limit):
        if how == "look":
            return claim_due("default", owner, ["default"], limit, NAMES)
        return claim_ids("default", owner, ids, NAMES, limit)

    with elsewhere(lambda: claim(other, 5)):
        mine = claim(me, 15)
        # Who asks for 5 locks 5, and not all that it looked at.
        assert len(mine) == 15
    assert Job.objects.filter(owner=me).count() == 15
    assert Job.objects.filter(owner=other).count() == 5


def test_a_claim_locks_neither_its_worker_nor_its_queue():
    job, me = put(), worker()
    with elsewhere(partial(claim_ids, "default", me, [job.pk], NAMES)):
        assert rescuing.beat("default", [me]) == {me}


def test_a_rescue_passes_by_what_is_locked_and_records_nothing_for_it():
    owner = worker(dead_at=now())
    locked, free = put(State.RUNNING, owner=owner), put(State.RUNNING, owner=owner)
    with lock(locked):
        rows = in_transaction("default", partial(rescuing.rescue, "default", [locked.pk, free.pk]))
    assert [row.id for row in rows] == [free.pk]
    assert (locked.attempts.count(), free.attempts.count()) == (0, 1)


def test_the_rest_of_a_batch_is_settled_and_the_locked_one_is_told_from_a_lost_one():
    jobs = [put(State.RUNNING) for _ in range(10)]
    batch = [ended(claim_of(job), Succeeded("1")) for job in jobs]
    lost = ended(claim_of(jobs[0]), Failed(ERROR), fence=0)
    before = columns(fresh(jobs[3]))
    with lock(jobs[3]):
        settled = settle("default", [*batch, lost])
    assert {each.claim.id for each, _ in settled.written} == {job.pk for job in jobs} - {jobs[3].pk}
    assert (settled.locked, settled.fenced) == ([batch[3]], [lost])
    assert columns(fresh(jobs[3])) == before
    again = settle("default", settled.locked)
    assert [each for each, _ in again.written] == [batch[3]]


def test_a_lost_and_a_right_outcome_of_a_locked_job_are_told_apart():
    job = put(State.RUNNING, fence=3)
    right, lost = ended(claim_of(job), Succeeded("1")), ended(claim_of(job), Succeeded("1"), fence=2)
    with lock(job):
        settled = settle("default", [lost, right])
    assert (settled.written, settled.locked, settled.fenced) == ([], [right], [lost])


@pytest.mark.skipif(
    connection.vendor == "mysql", reason="a wait cannot be shorter than a second there, so it does not wait at all"
)
@pytest.mark.parametrize("own", [False, True], ids=["any connection", "the worker's own"])
def test_an_end_waits_but_a_moment_for_a_lock(own):
    job = put(State.RUNNING)
    outcome = ended(claim_of(job), Succeeded("1"))
    write = partial(end, "default", [outcome], outcome.finished)

    def story() -> None:
        if own:
            use_own_connection("default")
        # Without a limit it would wait until the lock is gone, and not fail.
        with lock(job), pytest.raises(OperationalError, match="lock timeout"):
            in_transaction("default", write, tries=1, lock_wait_milliseconds=PATIENCE_MILLISECONDS)
        # Its moment was that of one transaction.
        assert [each for each, _ in in_transaction("default", write)] == [outcome]

    together(1, lambda number, barrier: story())
    assert fresh(job).state == State.SUCCESSFUL


def after_an_open_settle_of(job: Job, outcome, verb, *arguments):
    """Let a verb meet an outcome that is written but not committed; return what the verb says."""

    def run(jobs: Jobs):
        with own_connections({}):
            return verb(jobs, *arguments)

    late = ended(claim_of(job), outcome)
    with ThreadPoolExecutor(1) as pool:
        with elsewhere(lambda: end("default", [late], late.finished)):
            answer = pool.submit(run, job.pk)
            wait_until(lambda: how_many_wait() or answer.done(), what="the verb waits for the row")
        return answer.result()


def test_a_cancel_is_not_lost_between_a_run_and_its_retry():
    job = put(State.RUNNING, max_attempts=5)
    assert after_an_open_settle_of(job, Retried(ERROR, 60.0), cancel) == 1
    assert fresh(job).state == State.CANCELLED


def test_a_cancel_that_comes_after_the_success_moves_nothing():
    job = put(State.RUNNING)
    assert after_an_open_settle_of(job, Succeeded("1"), cancel) == 0
    assert (fresh(job).state, fresh(job).cancel_requested) == (State.SUCCESSFUL, False)


def test_a_retry_by_hand_at_the_moment_of_the_failure_says_what_it_did():
    job = put(State.RUNNING)
    moved = after_an_open_settle_of(job, Failed(ERROR), retry)
    assert fresh(job).state == (State.READY if moved else State.FAILED)


def test_a_cancel_is_not_lost_between_waiting_and_the_claim():
    job, me = put(), worker()
    with ThreadPoolExecutor(1) as pool:

        def run():
            with own_connections({}):
                return cancel(job.pk)

        with elsewhere(partial(claim_ids, "default", me, [job.pk], NAMES)):
            answer = pool.submit(run)
            wait_until(lambda: how_many_wait() or answer.done(), what="the verb waits for the row")
        assert answer.result() == 1
    row = fresh(job)
    assert (row.state, row.cancel_requested) == (State.RUNNING, True)


@pytest.mark.parametrize(
    "enqueue_it",
    [lambda keyed: keyed.enqueue(1, 2), lambda keyed: enqueue_many([keyed.request(1, 2)])[0]],
    ids=["one", "many"],
)
def test_who_has_no_transaction_open_hears_nothing_of_a_deadlock_over_a_key(enqueue_it):
    """On MariaDB a rollback lets all go who wait for the key, and they are in each other's way."""
    keyed = add.using(idempotency_key="one")

    def enqueue() -> Job:
        with own_connections({}):
            return enqueue_it(keyed)

    with ThreadPoolExecutor(3) as pool:
        with transaction.atomic():
            assert keyed.enqueue(1, 2).created
            answers = [pool.submit(enqueue) for _ in range(3)]
            wait_until(lambda: how_many_wait() >= len(answers), what="all wait for the key")
            transaction.set_rollback(True)
        jobs = [answer.result() for answer in answers]
    assert {job.pk for job in jobs} == {Job.objects.get().pk}
    assert sorted(job.created for job in jobs) == [False, False, True]


DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'a deadlock' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'a deadlock'",
}


@pytest.mark.parametrize(("autocommit", "tries"), [(True, TRIES), (False, 1)])
def test_who_begins_transactions_by_hand_hears_of_a_deadlock_that_has_undone_what_they_wrote(autocommit, tries):
    tried = []

    def collide() -> None:
        tried.append(1)
        with connection.cursor() as cursor:
            cursor.execute(DEADLOCK[connection.vendor])

    transaction.set_autocommit(autocommit)
    try:
        with pytest.raises(OperationalError, match="a deadlock"):
            after_own_collisions("default", "This", collide)
    finally:
        if not autocommit:
            transaction.rollback()
            transaction.set_autocommit(True)
    assert len(tried) == tries


@pytest.mark.skipif(connection.vendor == "mysql", reason="there a key is not locked by a change of the rest of its row")
def test_who_is_frozen_in_the_middle_of_a_transaction_holds_up_no_producer_for_good(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DEAD_AFTER_SECONDS": 1, "HEARTBEAT_SECONDS": 0.2}
    keyed = add.using(idempotency_key="one")
    job, holds, go_on = keyed.enqueue(1, 2), Event(), Event()
    runs = []

    def work() -> None:
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING)
        runs.append(1)
        holds.set()
        if len(runs) == 1:
            go_on.wait(60)
            assert Job.objects.filter(pk=job.pk).exists()

    def frozen() -> None:
        use_own_connection("default")
        in_transaction("default", work)
        close_connections()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(frozen)
        holds.wait(60)
        # It waits for the lock of who holds the row, and that lets go.
        again = keyed.enqueue(1, 2)
        assert (again.pk, again.created) == (job.pk, False)
        assert not go_on.is_set()
        go_on.set()
        future.result()
    # What was undone was done again.
    assert (len(runs), fresh(job).state) == (2, State.RUNNING)


def test_a_beat_does_not_wait_for_a_claim_of_its_worker():
    """Or a slow disk would make live workers look dead."""
    me = worker()
    jobs = [put() for _ in range(5)]
    with elsewhere(partial(claim_due, "default", me, ["default"], 5, NAMES)):
        assert rescuing.beat("default", [me]) == {me}
        assert Worker.objects.get(pk=me).dead_at is None
    assert Job.objects.running().count() == len(jobs)
