"""What each end leaves behind: counters, times, errors and the record of the attempt."""

import json
from datetime import timedelta

import pytest
from django.db import connection

from django_jobs import clock
from django_jobs.definitions.outcomes import (
    Ended,
    ErrorReport,
    Failed,
    GivenBack,
    Outcome,
    Retried,
    Snoozed,
    Stopped,
    Succeeded,
)
from django_jobs.definitions.rank import rank
from django_jobs.models import Attempt, Job
from django_jobs.states import State
from django_jobs.transitions.ending import FIRST_KEPT, LAST_KEPT, STARTED_TOO_OFTEN, end
from django_jobs.transitions.steering import cancel
from tests.rows import ERROR, claim_of, claim_one, ended, fresh, now, put, running

pytestmark = pytest.mark.django_db

SOON = timedelta(seconds=5)


def counters(job: Job) -> dict[str, int]:
    return {name: getattr(job, name) for name in ("fence", "attempt", "starts", "stalls")}


def after(outcome: Outcome, **fields: object) -> tuple[Job, Job]:
    """Claim a job and end it; return its row as it was while it ran, and as it is."""
    before, claim = running(max_attempts=5, **fields)
    end("default", [ended(claim, outcome)], clock.monotonic())
    return before, fresh(before)


def milliseconds(job: Job) -> Job:
    """SQLite's clock knows no more."""
    if connection.vendor == "sqlite":
        job.run_after = job.run_after.replace(microsecond=job.run_after.microsecond // 1000 * 1000)
    return job


def test_a_claim_counts_the_start_and_the_attempt():
    job, claim = running(fence=7, attempt=2, starts=4, stalls=1)
    assert counters(job) == {"fence": 8, "attempt": 3, "starts": 5, "stalls": 1}
    assert (claim.fence, claim.attempt, claim.starts, claim.owner) == (8, 3, 5, job.owner)


def test_results_written_together_keep_every_character():
    texts = ['"', "\\", "}", "{", ",", "a,b", " ", "", "NULL", "%s", "'", '\\"', "ü\n\t", '{"a": ["\\u0001"]}']
    claims = [running()[1] for _ in [*texts, None]]
    outcomes = [Succeeded(text if text is None else json.dumps(text)) for text in [*texts, None]]
    end("default", [ended(each, outcome) for each, outcome in zip(claims, outcomes, strict=True)], clock.monotonic())
    assert [Job.objects.get(pk=each.id).result for each in claims] == [*texts, None]


def test_a_success_keeps_the_result():
    before, job = after(Succeeded('{"sum": [1, 2.5]}'), error="ValueError: before")
    assert (job.state, job.result, job.error) == (State.SUCCESSFUL, {"sum": [1, 2.5]}, "")
    assert counters(job) == counters(before)


def test_a_success_without_a_result_keeps_none():
    _, job = after(Succeeded())
    assert (job.result_text, job.result) == (None, None)


def test_a_failure_keeps_the_first_line_of_the_error():
    before, job = after(Failed(ERROR))
    assert (job.state, job.error) == (State.FAILED, "ValueError: No such order.")
    assert counters(job) == counters(before)


def test_a_retry_waits_its_time_and_keeps_its_priority():
    before, job = after(Retried(ERROR, 90.0), priority=7, lifo=True)
    assert (job.state, job.error, job.finished_at) == (State.READY, "ValueError: No such order.", None)
    assert abs(job.run_after - now() - timedelta(seconds=90)) < SOON
    assert (job.priority, job.rank) == (7, rank(7, True, milliseconds(job).run_after))
    assert counters(job) == counters(before)


def test_a_snooze_waits_its_time_and_does_not_count():
    before, job = after(Snoozed(90.0), priority=-7)
    assert (job.state, job.error) == (State.READY, "")
    assert job.rank == rank(-7, False, milliseconds(job).run_after)
    assert counters(job) == counters(before) | {"attempt": 0}


def test_a_body_that_is_handed_back_does_not_count_but_has_started():
    before, job = after(GivenBack(begun=True))
    assert (job.state, job.started_at) == (State.READY, None)
    assert counters(job) == counters(before) | {"attempt": 0}
    assert (job.rank, job.run_after) == (before.rank, before.run_after)


def test_what_never_began_is_handed_back_as_if_it_had_not_been_claimed():
    before, job = after(GivenBack())
    assert counters(job) == counters(before) | {"attempt": 0, "starts": 0}
    assert (job.rank, job.run_after) == (before.rank, before.run_after)


def test_a_job_that_stops_itself_keeps_its_reason():
    _, job = after(Stopped("The order was withdrawn. " * 100))
    assert job.state == State.CANCELLED
    assert job.error == ("The order was withdrawn. " * 100)[:500]


@pytest.mark.parametrize("outcome", [Retried(ERROR, 1.0), Snoozed(1.0)], ids=["retry", "snooze"])
def test_a_clean_end_clears_a_suspect(outcome):
    job = put(State.RUNNING, suspect=True, stalls=2)
    end("default", [ended(claim_of(job), outcome)], clock.monotonic())
    assert (fresh(job).suspect, fresh(job).stalls) == (False, 0)


@pytest.mark.parametrize("begun", [True, False])
def test_a_suspect_that_is_handed_back_stays_one(begun):
    job = put(State.RUNNING, suspect=True, stalls=2)
    end("default", [ended(claim_of(job), GivenBack(begun=begun))], clock.monotonic())
    assert (fresh(job).suspect, fresh(job).stalls) == (True, 2)


@pytest.mark.parametrize("outcome", [Snoozed(1.0), GivenBack()], ids=["snooze", "give back"])
def test_the_reason_of_a_cancel_in_the_meantime_is_kept(outcome):
    job = put(State.RUNNING, error="ValueError: before")
    cancel("default", [job.pk], "The order was withdrawn.")
    end("default", [ended(claim_of(job), outcome)], clock.monotonic())
    assert (fresh(job).state, fresh(job).error) == (State.CANCELLED, "The order was withdrawn.")


RESTARTS = [Retried(ERROR, 1.0), Snoozed(1.0), GivenBack(begun=True)]


@pytest.mark.parametrize("outcome", RESTARTS, ids=["retry", "snooze", "give back"])
def test_a_job_that_was_started_as_often_as_it_may_be_fails_instead_of_starting_again(outcome):
    job = put(State.RUNNING, starts=3, max_starts=3, attempt=1, max_attempts=9)
    ((_, row),) = end("default", [ended(claim_of(job), outcome)], clock.monotonic())
    after = fresh(job)
    assert row.state == after.state == State.FAILED
    assert after.error == STARTED_TOO_OFTEN
    assert after.finished_at is not None
    (attempt,) = job.attempts.all()
    assert attempt.outcome == "failed"
    assert attempt.message in (ERROR.message, STARTED_TOO_OFTEN)


@pytest.mark.parametrize("outcome", RESTARTS, ids=["retry", "snooze", "give back"])
def test_a_job_that_may_be_started_once_more_is(outcome):
    job = put(State.RUNNING, starts=2, max_starts=3, max_attempts=9)
    end("default", [ended(claim_of(job), outcome)], clock.monotonic())
    assert fresh(job).state == State.READY


def test_a_start_that_is_given_back_unbegun_does_not_count_as_the_last():
    job = put(State.RUNNING, starts=3, max_starts=3)
    end("default", [ended(claim_of(job), GivenBack())], clock.monotonic())
    assert (fresh(job).state, fresh(job).starts) == (State.READY, 2)


def test_the_last_start_may_succeed():
    job = put(State.RUNNING, starts=3, max_starts=3)
    end("default", [ended(claim_of(job), Succeeded())], clock.monotonic())
    assert fresh(job).state == State.SUCCESSFUL


def test_a_cancel_wins_over_the_last_start():
    job = put(State.RUNNING, starts=3, max_starts=3, cancel_requested=True, error="Not needed.")
    end("default", [ended(claim_of(job), Snoozed(1.0))], clock.monotonic())
    assert (fresh(job).state, fresh(job).error) == (State.CANCELLED, "Not needed.")


def test_of_very_many_attempts_the_first_and_the_last_are_kept():
    last = 1000
    job = put(State.RUNNING, attempt=last, max_attempts=10_000)
    other = put(State.RUNNING)
    records = [Attempt(job=job, number=number, finished_at=now(), outcome="retrying") for number in range(1, last)]
    Attempt.objects.bulk_create([*records, Attempt(job=other, number=20, finished_at=now(), outcome="retrying")])
    end("default", [ended(claim_of(job), Retried(ERROR, 1.0))], clock.monotonic())
    numbers = [attempt.number for attempt in job.attempts.all()]
    assert numbers == [*range(1, FIRST_KEPT + 1), *range(last - LAST_KEPT + 1, last + 1)]
    assert other.attempts.count() == 1


def test_times_are_those_of_the_body_by_the_clock_of_the_database():
    _, claim = running()
    present = clock.monotonic()
    before = now()
    end("default", [Ended(claim, Succeeded(), started=present - 30, finished=present - 10)], present)
    job = fresh(claim.id)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert abs(job.finished_at - job.started_at - timedelta(seconds=20)) < timedelta(milliseconds=5)
    assert abs(before - timedelta(seconds=10) - job.finished_at) < SOON


def test_a_first_attempt_that_succeeds_leaves_no_record():
    after(Succeeded("1"))
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("outcome", [Snoozed(1.0), GivenBack(), GivenBack(begun=True)], ids=str)
def test_what_does_not_count_leaves_no_record(outcome):
    after(outcome)
    assert not Attempt.objects.exists()


def test_every_attempt_of_a_job_that_failed_once_is_recorded():
    job = put(max_attempts=3)
    owners = []
    for outcome in (Retried(ERROR, 0.0), Failed(ERROR)):
        claim = claim_one(job)
        owners.append(claim.owner)
        end("default", [ended(claim, outcome, seconds=2)], clock.monotonic())
    first, second = job.attempts.all()
    assert [(each.number, each.outcome) for each in (first, second)] == [(1, "retrying"), (2, "failed")]
    assert [each.worker for each in (first, second)] == owners
    assert (first.error_class, first.message, first.traceback) == (ERROR.class_path, ERROR.message, ERROR.traceback)
    assert first.started_at is not None
    assert abs(first.finished_at - first.started_at - timedelta(seconds=2)) < timedelta(milliseconds=5)
    assert abs(first.finished_at - now()) < SOON


@pytest.mark.parametrize("outcome", [Succeeded("1"), Stopped("No.")], ids=["success", "stop"])
def test_the_last_attempt_of_a_job_that_failed_before_is_recorded_too(outcome):
    job = put(State.RUNNING, attempt=2, max_attempts=3)
    end("default", [ended(claim_of(job), outcome)], clock.monotonic())
    (attempt,) = job.attempts.all()
    assert (attempt.number, attempt.outcome, attempt.message) == (2, fresh(job).state, "")


def test_a_batch_of_every_kind_is_written_together():
    outcomes: list[Outcome] = [
        Succeeded("1"),
        Failed(ERROR),
        Retried(ERROR, 9.0),
        Snoozed(9.0),
        Stopped("No."),
        GivenBack(),
    ]
    jobs = [put(State.RUNNING) for _ in range(4) for _ in outcomes]
    batch = [ended(claim_of(job), outcome) for job, outcome in zip(jobs, outcomes * 4, strict=True)]
    written = end("default", batch, clock.monotonic())
    expected = [State.SUCCESSFUL, State.FAILED, State.READY, State.READY, State.CANCELLED, State.READY]
    assert [fresh(job).state for job in jobs] == expected * 4
    assert {row.id: (row.state, row.rank) for _, row in written} == {
        job.pk: (fresh(job).state, fresh(job).rank) for job in jobs
    }
    assert all(row.id == each.claim.id for each, row in written)


def test_texts_of_every_kind_are_kept_as_they_are():
    text = "\\ ' \" % %s {} 😀 é \n\t \u2028 \x01"
    report = ErrorReport(class_path="shop.Ünïcode", message=text, traceback=text)
    job, claim = running()
    end("default", [ended(claim, Failed(report))], clock.monotonic())
    assert fresh(job).error == report.summary
    assert (job.attempts.get().message, job.attempts.get().traceback) == (text, text)


def test_an_outcome_that_comes_twice_in_one_batch_is_written_once():
    job = put(State.RUNNING)
    batch = [ended(claim_of(job), Failed(ERROR)), ended(claim_of(job), Failed(ERROR))]
    assert len(end("default", batch, clock.monotonic())) == 1
    assert job.attempts.count() == 1


def test_a_late_outcome_beside_the_right_one_is_not_taken_for_it():
    job = put(State.RUNNING, fence=3, attempt=3)
    late = ended(claim_of(job), Failed(ERROR), fence=2, attempt=2)
    right = ended(claim_of(job), Succeeded("1"))
    assert [each for each, _ in end("default", [late, right], clock.monotonic())] == [right]
    assert fresh(job).state == State.SUCCESSFUL
    assert [attempt.number for attempt in job.attempts.all()] == [3]


def test_a_late_outcome_of_the_same_kind_is_not_taken_for_the_right_one_either():
    job = put(State.RUNNING, fence=3)
    late, right = (
        ended(claim_of(job), Succeeded(text), fence=fence) for text, fence in (('"late"', 2), ('"right"', 3))
    )
    for batch in ([late, right], [right, late]):
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, owner=job.owner)
        assert [each for each, _ in end("default", batch, clock.monotonic())] == [right]
        assert fresh(job).result == "right"


def test_results_larger_than_a_packet_of_the_database_are_written_together():
    # 30 MB: MariaDB takes statements of 16 MB unless told otherwise.
    jobs = [put(State.RUNNING) for _ in range(150)]
    batch = [ended(claim_of(job), Succeeded(f'"{"x" * 200_000}"')) for job in jobs]
    assert len(end("default", batch, clock.monotonic())) == 150


def test_tracebacks_larger_than_a_packet_of_the_database_are_written_together():
    report = ErrorReport(class_path="shop.Error", message="m", traceback="x" * 100_000)
    jobs = [put(State.RUNNING) for _ in range(250)]
    assert len(end("default", [ended(claim_of(job), Failed(report)) for job in jobs], clock.monotonic())) == 250
    assert Attempt.objects.count() == 250
