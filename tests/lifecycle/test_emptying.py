"""drain, clean, obliterate: exactly what was meant is gone, in steps, and what runs is left to run."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from django_jobs import queues
from django_jobs.definitions.outcomes import Succeeded
from django_jobs.errors import InvalidOption, QueueIsBusy, TransportError
from django_jobs.lifecycle import emptying
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Attempt, Job, Queue
from django_jobs.states import ENDED, State
from django_jobs.transitions import removing, steering
from django_jobs.transitions.claiming import claim_due
from tests import rows
from tests.rows import HOUR, NAMES, claim_of, ended, fresh, new, now, worker
from tests.samples import note

pytestmark = pytest.mark.django_db


def put(state: State = State.READY, **fields) -> Job:
    """Store a job that has been there for a minute, and that ended, if it has, a second ago."""
    times = {"enqueued_at": now() - timedelta(minutes=1)}
    if state in ENDED:
        times["finished_at"] = now() - timedelta(seconds=1)
    return rows.put(state, **times | fields)


def one_of_each(**fields) -> dict[str, Job]:
    """A job in every state, and one more that is scheduled."""
    return {state.value: put(state, **fields) for state in State} | {"scheduled": put(run_after=now() + HOUR, **fields)}


def what_is_left() -> set[str]:
    present = now()
    return {job.phase(present) for job in Job.objects.all()}


ALL = {*State.values, "scheduled"}


def test_a_drain_removes_what_is_due_and_has_not_started(transport):
    one_of_each(), put(priority=50), put(lifo=True), put(suspect=True)
    assert queues["default"].drain() == 4
    assert what_is_left() == ALL - {"ready"}


def test_a_drain_removes_what_is_scheduled_only_if_asked():
    one_of_each(), put(run_after=now() + HOUR, priority=-100), put(run_after=now() + HOUR, suspect=True, lifo=True)
    put(run_after=now() + HOUR, attempt=1)
    assert queues["default"].drain(scheduled=True) == 5
    assert what_is_left() == ALL - {"ready", "scheduled"}


@pytest.mark.parametrize(
    "empty", [lambda q: q.drain(scheduled=True), lambda q: q.clean("ready"), lambda q: q.obliterate()]
)
def test_other_queues_are_left_alone(empty):
    other = [put(state, queue_name="other") for state in State]
    put()
    assert empty(queues["default"]) == 1
    assert Job.objects.count() == len(other)


@pytest.mark.parametrize("state", emptying.CLEANABLE)
def test_a_clean_removes_one_state_and_no_other(state):
    one_of_each()
    assert queues["default"].clean(state) == 1
    assert what_is_left() == ALL - {state}


def test_a_clean_removes_the_oldest_and_no_more_than_it_may():
    jobs = [put(State.FAILED) for _ in range(5)]
    assert queues["default"].clean("failed", limit=3) == 3
    assert set(Job.objects.all()) == set(jobs[3:])


def test_a_clean_looks_when_jobs_ended_or_when_they_were_enqueued():
    put(State.FAILED, finished_at=now() - 2 * HOUR), put(State.FAILED)
    put(enqueued_at=now() - 2 * HOUR), put(run_after=now() - 2 * HOUR, enqueued_at=now())
    assert queues["default"].clean("failed", HOUR) == 1
    assert queues["default"].clean("failed", 3600.0) == 0
    assert queues["default"].clean("ready", older_than=HOUR) == 1
    assert Job.objects.count() == 2


@pytest.mark.parametrize("state", ["running", "done", "", None, 7])
def test_what_cannot_be_cleaned_is_told(state):
    with pytest.raises(InvalidOption, match="cannot clean"):
        queues["default"].clean(state)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "7"])
def test_a_limit_that_is_none_is_told(limit):
    put(State.FAILED)
    with pytest.raises(InvalidOption, match="limit of clean"):
        queues["default"].clean("failed", limit=limit)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("age", [-1, "a day", None, True])
def test_an_age_that_is_none_is_told(age):
    with pytest.raises(InvalidOption, match="older_than"):
        queues["default"].clean("failed", age)


@pytest.mark.parametrize("empty", [lambda q, p: q.drain(progress=p), lambda q, p: q.obliterate(progress=p)])
def test_no_transaction_holds_more_than_a_chunk_and_progress_is_told(empty, monkeypatch):
    monkeypatch.setattr(steering, "CHUNK", 20)
    Job.objects.bulk_create([new(priority=number % 3) for number in range(50)])
    seen: list[int] = []
    assert empty(queues["default"], seen.append) == 50
    assert seen[-1] == 50
    assert max(later - earlier for earlier, later in zip([0, *seen], seen, strict=False)) <= 20


def test_what_belongs_to_a_removed_job_goes_with_it():
    gone, kept = put(State.FAILED), put(State.FAILED, queue_name="other")
    for job in (gone, kept):
        Attempt.objects.create(job=job, number=1, finished_at=now(), outcome="failed")
    queues["default"].obliterate()
    assert [attempt.job_id for attempt in Attempt.objects.all()] == [kept.pk]


def test_an_idempotency_key_of_a_drained_job_is_free_again():
    note.using(idempotency_key="a").enqueue(1)
    queues["default"].drain()
    assert note.using(idempotency_key="a").enqueue(2).created


def test_an_obliterated_queue_is_as_if_it_had_never_been():
    queues["default"].pause()
    for state in set(State) - {State.RUNNING}:
        put(state)
    assert queues["default"].obliterate() == 5
    assert not Job.objects.exists()
    assert not Queue.objects.exists()
    assert note.enqueue().state == State.READY


@pytest.mark.parametrize("paused", [True, False, None])
def test_a_refused_obliterate_leaves_nothing_changed(paused):
    if paused is not None:
        Queue.objects.create(name="default", paused=paused, paused_at=now() if paused else None)
    one_of_each()
    before = list(Queue.objects.values()), list(Job.objects.order_by("pk").values())
    with pytest.raises(QueueIsBusy, match="1 jobs of the queue 'default' run, so nothing was changed"):
        queues["default"].obliterate()
    assert (list(Queue.objects.values()), list(Job.objects.order_by("pk").values())) == before


def test_a_queue_that_was_open_is_open_again_after_a_failure(monkeypatch):
    put()

    def fail(count: int) -> None:
        raise RuntimeError(count)

    with pytest.raises(RuntimeError):
        queues["default"].obliterate(progress=fail)
    assert not queues["default"].is_paused


def test_nothing_can_start_between_the_look_and_the_first_delete(monkeypatch):
    """A worker that claims at any moment of it finds the queue paused."""
    me = worker()
    jobs = [put() for _ in range(3)]
    monkeypatch.setattr(emptying, "CLAIM_SECONDS", 0.0)
    claimed = []

    def look(*args):
        claimed.extend(claim_due("default", me, ["default"], 5, NAMES))
        return remove(*args)

    remove = removing.remove
    monkeypatch.setattr(emptying, "remove", look)
    assert queues["default"].obliterate() == len(jobs)
    assert claimed == []


def test_a_job_that_started_all_the_same_is_left_to_its_worker(monkeypatch):
    job = put()

    def start(*args):
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, owner=worker(), fence=1)
        return remove(*args)

    remove = removing.remove
    monkeypatch.setattr(emptying, "remove", start)
    assert queues["default"].obliterate() == 0
    assert fresh(job).state == State.RUNNING


def test_by_force_what_runs_is_removed_too_and_what_it_comes_to_is_dropped():
    running = put(State.RUNNING)
    put()
    assert queues["default"].obliterate(force=True) == 2
    assert not Job.objects.exists()
    late = ended(claim_of(running), Succeeded("1"))
    assert settle("default", [late]).fenced == [late]


def test_a_job_that_is_retried_at_the_last_moment_is_not_cleaned(monkeypatch):
    job = put(State.FAILED)

    def retry(*args):
        steering.retry("default", [job.pk], reset_attempts=True)
        return remove(*args)

    remove = removing.remove
    monkeypatch.setattr(emptying, "remove", retry)
    assert queues["default"].clean("failed") == 0
    assert fresh(job).state == State.READY


def test_bells_of_what_is_gone_are_dropped_and_what_is_due_soon_is_rung_again(transport):
    put()
    soon = put(run_after=now() + timedelta(minutes=5))
    queues["default"].drain()
    assert transport.forgotten == ["default"]
    assert transport.rung == [soon.pk]


def test_a_transport_that_is_away_holds_nothing_up(transport):
    transport.away = True
    put()
    assert queues["default"].drain() == 1
    put()
    assert queues["default"].obliterate() == 1
    with pytest.raises(TransportError):
        transport.describe()


def test_an_empty_queue_has_nothing_to_remove():
    assert queues["default"].drain() == queues["default"].clean("failed") == queues["default"].obliterate() == 0


def test_an_obliterate_is_refused_inside_of_a_transaction_and_changes_nothing():
    put()
    with (
        transaction.atomic(),
        pytest.raises(TransactionManagementError, match="'default' cannot be obliterated inside"),
    ):
        queues["default"].obliterate(force=True)
    assert (Job.objects.count(), Queue.objects.count()) == (1, 0)
