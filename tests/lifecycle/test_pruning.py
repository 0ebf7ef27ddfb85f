"""Retention: rows go when their time is over, by age and by count, and never one whose key is promised."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

import django_jobs
from django_jobs import Deduplicate, Keep, cancel, retry
from django_jobs.definitions.outcomes import Failed, GivenBack, Retried, Snoozed, Stopped, Succeeded
from django_jobs.lifecycle.pruning import count_prunable, prune
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Attempt, Job, Worker
from django_jobs.models.job import HOLDER
from django_jobs.states import ENDED, State
from django_jobs.transitions import pruning, rescuing
from tests.rows import ERROR, HOUR, claim_one, ended, fresh, new, now, put, worker
from tests.samples import note

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
WEEK, QUARTER = 7 * DAY, 90 * DAY


def over(state: State = State.SUCCESSFUL, **fields) -> Job:
    """Store a job whose time is over."""
    return put(state, **{"keep_until": now() - HOUR} | fields)


def finish(job: Job, outcome) -> Job:
    settle("default", [ended(claim_one(job), outcome)])
    return fresh(job)


def kept_for(job: Job) -> timedelta:
    row = fresh(job)
    assert row.keep_until is not None
    assert row.finished_at is not None
    return row.keep_until - row.finished_at


def asked_to_cancel(outcome) -> Job:
    job = put(max_attempts=5)
    claim = claim_one(job)
    cancel(job)
    settle("default", [ended(claim, outcome)])
    return job


def rescued(**fields) -> Job:
    job = put(State.RUNNING, **fields)
    rescuing.rescue("default", [job.pk])
    return job


ENDS = {
    "succeed": (WEEK, lambda: finish(put(), Succeeded("1"))),
    "fail": (QUARTER, lambda: finish(put(), Failed(ERROR))),
    "stop": (WEEK, lambda: finish(put(), Stopped("No."))),
    "fail, asked to cancel": (WEEK, lambda: asked_to_cancel(Failed(ERROR))),
    "retry, asked to cancel": (WEEK, lambda: asked_to_cancel(Retried(ERROR, 1.0))),
    "snooze, asked to cancel": (WEEK, lambda: asked_to_cancel(Snoozed(1.0))),
    "give back, asked to cancel": (WEEK, lambda: asked_to_cancel(GivenBack())),
    "rescue once too often": (QUARTER, lambda: rescued(stalls=3)),
    "rescue, asked to cancel": (WEEK, lambda: rescued(cancel_requested=True)),
}


@pytest.mark.parametrize(("age", "end"), ENDS.values(), ids=ENDS)
def test_however_a_job_ends_it_is_known_until_when_it_is_kept(age, end):
    assert abs(kept_for(end()) - age) < timedelta(seconds=1)


def test_a_job_that_is_cancelled_by_hand_is_kept_too():
    job = put()
    cancel(job)
    assert abs(kept_for(job) - WEEK) < timedelta(seconds=1)


def test_every_statement_that_says_when_a_job_ended_says_until_when_it_is_kept():
    """Or rows of jobs that end there would never be pruned."""
    for path in Path(django_jobs.__file__).parent.joinpath("transitions").rglob("*.py"):
        text = path.read_text()
        assert text.count("finished_at = ") <= text.count("keep_until = "), path


@pytest.mark.parametrize("outcome", [Retried(ERROR, 1.0), Snoozed(1.0), GivenBack()], ids=repr)
def test_a_job_that_goes_on_has_no_such_time(outcome):
    assert finish(put(max_attempts=5), outcome).keep_until is None


def test_what_is_run_again_is_kept_until_it_ends_again():
    job = over(State.FAILED)
    retry(job)
    assert fresh(job).keep_until is None
    assert sum(prune("default")) == 0


def test_the_rules_of_the_job_count():
    failed = note.using(keep={"successful": 60, "failed": 120}).enqueue()
    finish(failed, Failed(ERROR))
    assert abs(kept_for(failed) - timedelta(seconds=120)) < timedelta(seconds=1)
    for_ever = note.using(keep=Keep()).enqueue()
    assert (fresh(for_ever).keep_successful, for_ever.keep_successful) == (Keep().whole_seconds,) * 2
    assert kept_for(finish(for_ever, Succeeded("1"))) > 900 * 365 * DAY


def test_the_settings_that_hold_when_a_job_ends_count(settings):
    job = note.enqueue()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "KEEP": {"successful": HOUR}}
    assert abs(kept_for(finish(job, Succeeded("1"))) - HOUR) < timedelta(seconds=1)


def test_a_row_stays_until_its_time_is_over_and_not_longer():
    gone = [over(state, queue_name=queue) for state in ENDED for queue in ("default", "mail", "other")]
    kept = {put(state, keep_until=now() + HOUR) for state in ENDED} | {put(), put(State.RUNNING), put(State.BLOCKED)}
    assert count_prunable("default") == len(gone)
    assert sum(prune("default")) == len(gone)
    assert set(Job.objects.all()) == kept
    assert count_prunable("default") == 0


def test_a_key_is_kept_as_long_as_it_was_promised():
    promised = note.using(idempotency_key="a", idempotency_ttl=30 * DAY, keep=0).enqueue()
    plain = note.using(idempotency_key="b", keep=0).enqueue()
    short = note.using(idempotency_key="c", idempotency_ttl=1, keep=DAY).enqueue()
    for job in (promised, plain, short):
        finish(job, Succeeded("1"))
    assert fresh(promised).keep_until == fresh(promised).key_expires_at
    assert kept_for(plain) == timedelta(0)
    assert abs(kept_for(short) - DAY) < timedelta(seconds=1)


@pytest.mark.parametrize("key_expires_at", [HOUR, -HOUR, None], ids=["promised", "over", "without an end"])
def test_a_row_with_a_promised_key_is_never_pruned(key_expires_at):
    moment = None if key_expires_at is None else now() + key_expires_at
    key: dict[str, Any] = {"idempotency_key": "a", "key_digest": b"x" * 32, "key_expires_at": moment}
    over(**key), over()
    by_count: dict[str, Any] = {"keep_successful_count": 0, "keep_failed_count": 0, "keep_until": now() + DAY}
    put(State.SUCCESSFUL, name="counted", **key | by_count | {"key_digest": b"y" * 32})
    left = 2 if key_expires_at == HOUR else 0
    assert count_prunable("default") == 3 - left
    assert sum(prune("default")) == 3 - left
    assert Job.objects.count() == left


@pytest.mark.django_db(transaction=True)
def test_a_job_is_not_pruned_as_long_as_it_holds_a_deduplication_key():
    call = note.using(deduplicate=Deduplicate(key="a", ttl=DAY), keep=0)
    first = call.enqueue()
    finish(first, Succeeded("1"))
    assert (count_prunable("default"), sum(prune("default"))) == (0, 0)
    assert not call.enqueue().created
    # It is not even looked at before.
    row = fresh(first)
    assert row.keep_until == row.deduplication_expires_at
    Job.objects.update(deduplication_expires_at=now() - HOUR, keep_until=now() - HOUR)
    assert (count_prunable("default"), sum(prune("default"))) == (1, 1)


HELD: dict[str, Any] = {"deduplication_slot": HOLDER, "deduplication_expires_at": now() + 30 * DAY}
ELSE_KEPT: dict[str, tuple[dict[str, Any], timedelta]] = {
    "a key that is held for longer": (HELD, 30 * DAY),
    "a key that is held for less": (HELD | {"deduplication_expires_at": now() + DAY}, WEEK),
    "a key that another holds": (HELD | {"deduplication_slot": UUID(int=7)}, WEEK),
    "a key that was held while it was alive": ({"deduplication_slot": HOLDER}, WEEK),
    "two promises": (HELD | {"key_expires_at": now() + 40 * DAY}, 40 * DAY),
    "two promises, the other longer": (HELD | {"key_expires_at": now() + DAY}, 30 * DAY),
}


@pytest.mark.parametrize(("fields", "age"), ELSE_KEPT.values(), ids=ELSE_KEPT)
def test_until_when_a_row_is_kept_says_all_that_keeps_it(fields, age):
    kept = fresh(finish(put(deduplication_digest=b"x" * 32, **fields), Succeeded("1"))).keep_until
    assert kept is not None
    assert abs(kept - now() - age) < timedelta(minutes=10)


@pytest.mark.django_db(transaction=True)
def test_each_call_that_extends_the_time_of_an_ended_job_keeps_its_row_as_long():
    call, later = note.using(deduplicate=Deduplicate(key="a", ttl=DAY, extend=True), keep=0), now() + WEEK
    first = call.enqueue()
    call.enqueue()
    assert fresh(first).keep_until is None
    finish(first, Succeeded("1"))
    Job.objects.update(deduplication_expires_at=now() + HOUR, keep_until=now() + HOUR)
    call.enqueue()
    row = fresh(first)
    assert row.keep_until is not None
    assert row.keep_until == row.deduplication_expires_at
    assert row.keep_until - now() > 23 * HOUR
    # A row that is kept for longer anyhow stays so.
    Job.objects.update(keep_until=later)
    call.enqueue()
    assert fresh(first).keep_until == later


def counted(count: int, number: int, state: State = State.SUCCESSFUL, **fields) -> list[Job]:
    counts: dict[str, Any] = {"keep_successful_count": count, "keep_failed_count": count, "keep_until": now() + DAY}
    return [put(state, **counts | fields) for _ in range(number)]


def test_of_each_function_in_each_queue_and_state_the_newest_are_kept():
    groups = [
        counted(3, 5),
        counted(3, 5, State.FAILED),
        counted(3, 5, State.CANCELLED),
        counted(3, 5, name="other"),
        counted(3, 5, queue_name="mail"),
    ]
    fewer = counted(3, 2, queue_name="mail", name="rare")
    uncounted = [put(State.SUCCESSFUL, keep_until=now() + DAY) for _ in range(5)]
    assert count_prunable("default") == 10
    assert sum(prune("default")) == 10
    assert set(Job.objects.all()) == {job for group in groups for job in group[2:]} | {*fewer, *uncounted}


def test_jobs_of_one_function_that_are_kept_by_different_counts_are_counted_apart():
    few, many = counted(1, 3), counted(4, 3)
    failed = counted(4, 2, State.FAILED, keep_failed_count=1)
    assert sum(prune("default")) == 3
    assert set(Job.objects.all()) == {few[-1], *many, failed[-1]}


def test_living_jobs_are_not_counted():
    counted(1, 3, State.READY, keep_until=None), counted(1, 1)
    assert sum(prune("default")) == 0


def test_what_belongs_to_a_pruned_job_goes_with_it():
    gone, kept = over(), put(State.FAILED, keep_until=now() + DAY)
    for job in (gone, kept):
        Attempt.objects.create(job=job, number=1, finished_at=now(), outcome="failed")
    assert sum(prune("default")) == 1
    assert [attempt.job_id for attempt in Attempt.objects.all()] == [kept.pk]


def test_no_transaction_holds_more_than_a_chunk(monkeypatch):
    monkeypatch.setattr(pruning, "CHUNK", 20)
    Job.objects.bulk_create([new(State.SUCCESSFUL, keep_until=now() - HOUR) for _ in range(50)])
    counted(5, 50, name="counted")
    steps = list(prune("default"))
    assert max(steps) <= 20
    assert sum(steps) == 95


def test_of_those_that_must_stay_no_step_looks_at_more_than_a_window(monkeypatch):
    monkeypatch.setattr(pruning, "CHUNK", 4)
    monkeypatch.setattr(pruning, "WINDOW", 10)
    held: dict[str, Any] = {"deduplication_slot": HOLDER, "deduplication_expires_at": now() + DAY}
    counts: dict[str, Any] = {"keep_successful_count": 3, "keep_failed_count": 3, "keep_until": now() + DAY}
    rows = [
        new(State.SUCCESSFUL, name="counted", deduplication_digest=number.to_bytes(32), **counts, **fields)
        for number in range(45)
        for fields in [{} if number % 15 == 14 else held]
    ]
    Job.objects.bulk_create(rows)
    assert count_prunable("default") == 2  # the last three are the newest
    group = pruning.Counted(3, "default", "counted")
    when_all_promises_are_over = now() + 2 * DAY
    windows = pruning.over_count("default", group, State.SUCCESSFUL, when_all_promises_are_over)
    assert [window.count() for window in windows] == [10, 10, 10, 10, 2]
    steps = list(prune("default"))
    assert (sum(steps), max(steps)) == (2, 1)
    assert set(Job.objects.all()) == {*rows} - {rows[14], rows[29]}


def test_rows_of_workers_go_a_week_after_they_stopped():
    gone, lately, alive = worker(dead_at=now() - 8 * DAY), worker(dead_at=now() - 6 * DAY), worker()
    for _ in prune("default"):
        pass
    assert set(Worker.objects.values_list("pk", flat=True)) == {lately, alive}
    assert gone not in (lately, alive)


def test_a_step_may_be_taken_inside_a_transaction_of_the_caller():
    over()
    with transaction.atomic():
        assert sum(prune("default")) == 1
