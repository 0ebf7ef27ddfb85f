"""Calls with one key become one job: while it is alive, for a time, by the newest call, or once more at the end."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from django_jobs import Deduplicate, cancel, enqueue_many, job, queues, remove, retry
from django_jobs.definitions.outcomes import Failed, GivenBack, Retried, Snoozed, Stopped, Succeeded
from django_jobs.errors import InvalidOption
from django_jobs.execution.atomic import commit_together
from django_jobs.lifecycle.deduplicating import settle_overdue_keys
from django_jobs.lifecycle.expiring import expire_jobs
from django_jobs.lifecycle.rescuing import rescue_orphans
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job, Worker
from django_jobs.states import State
from django_jobs.transitions import steering
from django_jobs.transitions.deduplicating import without_their_key
from tests.rows import ERROR, claim_one, columns, ended, fresh, now
from tests.samples import mail, note

# Where a call goes is decided after its commit.
pytestmark = pytest.mark.django_db(transaction=True)

WHILE_ALIVE = note.using(deduplicate=Deduplicate(key="feed 7"))
THROTTLED = note.using(deduplicate=Deduplicate(key="feed 7", ttl=60))
DEBOUNCED = note.using(deduplicate=Deduplicate(key="feed 7", ttl=60, extend=True, replace=True), run_after=60)
KEEPS_LAST = note.using(deduplicate=Deduplicate(key="feed 7", keep_last=True))


def age_key(job: Job) -> None:
    """Let the time run out for which a job holds its key."""
    assert Job.objects.filter(pk=job.pk).update(deduplication_expires_at=now() - timedelta(seconds=1))


def held_until(job: Job) -> Any:
    return fresh(job).deduplication_expires_at


def numbers() -> list[object]:
    """Return the first argument of every job that is not over, the oldest first."""
    return [each.args[0] for each in Job.objects.alive().order_by("pk")]


def finish(job: Job, outcome=None) -> None:
    settle("default", [ended(claim_one(job), outcome or Succeeded())])


# While one is alive


def test_the_second_call_gets_the_row_of_the_first():
    first, second = WHILE_ALIVE.enqueue(1), WHILE_ALIVE.enqueue(2)
    assert (first.created, second.created) == (True, False)
    assert (first.pk, second.args) == (second.pk, [1])
    assert columns(first) | {"duplicates": 1} == columns(fresh(first))


def test_without_a_key_the_arguments_are_the_key():
    dedup = note.using(deduplicate=Deduplicate())
    jobs = [
        dedup.enqueue(1, b=2, a=3),
        dedup.enqueue(1, a=3, b=2),
        dedup.enqueue(2),
        dedup.enqueue("1"),
        dedup.enqueue(),
    ]
    assert [each.created for each in jobs] == [True, False, True, True, True]


def test_a_callable_on_the_decorator_makes_the_key_of_the_arguments():
    @job(name="tests.import_feed", deduplicate=Deduplicate(key=lambda feed, page: f"feed {feed}"))
    def import_feed(feed, page): ...

    jobs = [import_feed.enqueue(1, 1), import_feed.enqueue(1, page=2), import_feed.enqueue(2, 1)]
    assert [each.created for each in jobs] == [True, False, True]
    assert fresh(jobs[0]).deduplication_key == "feed 1"
    other = import_feed.using(deduplicate=Deduplicate(key="mine")).enqueue(1, 1)
    assert (other.created, other.deduplication_key) == (True, "mine")


def test_a_key_belongs_to_the_name_of_its_job_and_looks_alike_is_not_alike():
    keys = ["7", "７", "7 ", "Feed", "feed", "é", "e"]  # noqa: RUF001 (that is the point)
    jobs: list[Job] = [note.using(deduplicate=Deduplicate(key=key)).enqueue() for key in keys]
    jobs += [mail.using(deduplicate=Deduplicate(key="7")).enqueue("a@example.org"), note.enqueue()]
    assert all(each.created for each in jobs)


@pytest.mark.parametrize("outcome", [Succeeded(), Failed(ERROR), Stopped("No.")], ids=lambda each: type(each).__name__)
def test_every_end_gives_the_key_back(outcome):
    first = WHILE_ALIVE.enqueue(1)
    finish(first, outcome)
    second = WHILE_ALIVE.enqueue(2)
    assert second.created
    assert second.pk != first.pk


@pytest.mark.parametrize(
    "outcome", [Retried(ERROR, 0), Snoozed(0), GivenBack(), GivenBack(begun=True)], ids=lambda each: type(each).__name__
)
def test_a_job_that_will_run_again_keeps_its_key(outcome):
    first = WHILE_ALIVE.enqueue(1)
    finish(first, outcome)
    assert fresh(first).state == State.READY
    assert WHILE_ALIVE.enqueue(2).pk == first.pk


def test_a_running_job_keeps_its_key():
    first = WHILE_ALIVE.enqueue(1)
    claim_one(first)
    assert WHILE_ALIVE.enqueue(2).pk == first.pk


@pytest.mark.parametrize("outcome", [Retried(ERROR, 0), Snoozed(0), GivenBack()], ids=lambda each: type(each).__name__)
def test_a_cancel_that_was_asked_for_gives_the_key_back_with_the_end(outcome):
    first = WHILE_ALIVE.enqueue(1)
    claim = claim_one(first)
    cancel(first)
    assert not WHILE_ALIVE.enqueue(2).created
    settle("default", [ended(claim, outcome)])
    assert WHILE_ALIVE.enqueue(2).created


def test_cancel_and_remove_give_the_key_back():
    for verb in (cancel, remove):
        assert verb(WHILE_ALIVE.enqueue(1)) == 1
        assert WHILE_ALIVE.enqueue(1).created
        remove(Job.objects.all())


@pytest.mark.parametrize(("most", "created"), [(0, True), (3, False)], ids=["failed", "runs again"])
def test_a_rescue_gives_the_key_back_only_with_the_end(most, created):
    first = note.using(deduplicate=Deduplicate(key="feed 7"), max_stalls=most).enqueue(1)
    claim_one(first)
    Worker.objects.update(dead_at=now())
    assert rescue_orphans("default") == 1
    assert WHILE_ALIVE.enqueue(2).created == created


def test_the_late_end_of_an_old_claim_frees_nobodys_key():
    first = WHILE_ALIVE.enqueue(1)
    late = claim_one(first)
    Worker.objects.update(dead_at=now())
    rescue_orphans("default")
    assert settle("default", [ended(late, Succeeded())]).written == []
    assert not WHILE_ALIVE.enqueue(2).created


def test_a_job_that_expires_gives_the_key_back_and_lets_the_next_one_start():
    first = KEEPS_LAST.using(expires=60).enqueue(1)
    with transaction.atomic():
        KEEPS_LAST.enqueue(2)
        Job.objects.filter(pk=first.pk).update(expires_at=now() - timedelta(seconds=1))
        assert expire_jobs("default") == 1
    assert numbers() == [2]
    assert Job.objects.alive().get().state == State.READY


def test_a_manual_retry_asks_for_the_key_again():
    first = WHILE_ALIVE.enqueue(1)
    finish(first, Failed(ERROR))
    assert retry(first) == 1
    assert WHILE_ALIVE.enqueue(2).pk == first.pk


def test_a_manual_retry_of_a_job_whose_key_is_taken_leaves_it_and_is_counted():
    first, other = WHILE_ALIVE.enqueue(1), note.enqueue()
    for each in (first, other):
        finish(each, Failed(ERROR))
    second = WHILE_ALIVE.enqueue(2)
    assert retry([first, other]) == 1
    assert (fresh(first).state, fresh(other).state) == (State.FAILED, State.READY)
    assert fresh(second).duplicates == 1


def test_a_job_that_ends_in_the_moment_of_a_manual_retry_takes_nobodys_key(monkeypatch):
    first = WHILE_ALIVE.enqueue(1)
    claimed, look = claim_one(first), without_their_key

    def look_before_it_ends(using, ids):
        found = look(using, ids)
        settle(using, [ended(claimed, Succeeded())])
        WHILE_ALIVE.enqueue(2)
        return found

    monkeypatch.setattr(steering, "without_their_key", look_before_it_ends)
    assert retry(first) == 0
    assert numbers() == [2]


def test_of_two_ended_jobs_with_one_key_a_manual_retry_takes_one():
    jobs = []
    for number in range(2):
        jobs.append(WHILE_ALIVE.enqueue(number))
        finish(jobs[-1], Failed(ERROR))
    assert retry(jobs) == 1
    assert Job.objects.alive().count() == 1
    assert Job.objects.alive().get().duplicates == 1


def test_a_bulk_stores_a_key_once():
    requests = [WHILE_ALIVE.request(1), note.request(2), WHILE_ALIVE.request(3), WHILE_ALIVE.request(4)]
    jobs = enqueue_many(requests)
    assert [each.created for each in jobs] == [True, True, False, False]
    assert {jobs[0].pk, jobs[1].pk} == set(Job.objects.values_list("pk", flat=True))
    assert fresh(jobs[0]).duplicates == 2
    assert [fresh(each).state for each in jobs] == [State.READY] * 4


def test_a_call_that_is_rolled_back_leaves_no_trace():
    first = WHILE_ALIVE.enqueue(1)
    with transaction.atomic():
        WHILE_ALIVE.enqueue(2)
        transaction.set_rollback(True)
    assert fresh(first).duplicates == 0
    with transaction.atomic():
        note.using(deduplicate=Deduplicate(key="other")).enqueue(3)
        transaction.set_rollback(True)
    assert note.using(deduplicate=Deduplicate(key="other")).enqueue(4).created


def test_an_async_caller_gets_the_same():
    first, second = async_to_sync(WHILE_ALIVE.aenqueue)(1), async_to_sync(WHILE_ALIVE.aenqueue)(2)
    assert (first.pk, first.created, second.created) == (second.pk, True, False)


# Throttle


def test_a_throttle_holds_its_key_after_the_end():
    first = THROTTLED.enqueue(1)
    finish(first)
    second = THROTTLED.enqueue(2)
    assert (second.pk, second.created) == (first.pk, False)
    assert fresh(first).duplicates == 1


@pytest.mark.parametrize("state", ["ready", "running", "ended"])
def test_a_throttle_is_over_when_its_time_is(state):
    first = THROTTLED.enqueue(1)
    if state == "running":
        claim_one(first)
    elif state == "ended":
        finish(first)
    age_key(first)
    second, third = THROTTLED.enqueue(2), THROTTLED.enqueue(3)
    assert (second.created, second.state) == (True, State.READY)
    assert (third.created, third.pk) == (False, second.pk)


def test_a_job_that_lost_its_key_to_time_frees_nobody_elses():
    first = THROTTLED.enqueue(1)
    claim = claim_one(first)
    age_key(first)
    second = THROTTLED.enqueue(2)
    settle("default", [ended(claim, Succeeded())])
    assert THROTTLED.enqueue(3).pk == second.pk


def test_a_throttle_begins_with_the_first_call_unless_each_call_extends_it():
    first = THROTTLED.enqueue(1)
    until = held_until(first)
    THROTTLED.enqueue(2)
    assert held_until(first) == until
    note.using(deduplicate=Deduplicate(key="feed 7", ttl=3600, extend=True)).enqueue(3)
    assert held_until(first) > until + timedelta(minutes=50)


def test_removing_the_job_ends_a_throttle():
    remove(THROTTLED.enqueue(1))
    assert THROTTLED.enqueue(2).created


# Debounce


def test_a_debounced_job_makes_way_for_the_newest_call_and_its_time_moves():
    first = DEBOUNCED.enqueue(1)
    second = DEBOUNCED.using(run_after=120).enqueue(2)
    assert (second.created, second.state, second.duplicates) == (True, State.READY, 1)
    assert not Job.objects.filter(pk=first.pk).exists()
    assert second.run_after > first.run_after + timedelta(seconds=50)
    assert numbers() == [2]
    assert [DEBOUNCED.enqueue(number).duplicates for number in (3, 4)] == [2, 3]


def test_a_started_job_is_not_replaced():
    first = DEBOUNCED.using(run_after=0).enqueue(1)
    claim_one(first)
    second = DEBOUNCED.enqueue(2)
    assert (second.pk, second.created) == (first.pk, False)
    assert (numbers(), fresh(first).duplicates) == ([1], 1)


def test_a_job_between_two_attempts_is_not_replaced():
    first = DEBOUNCED.using(run_after=0).enqueue(1)
    finish(first, Retried(ERROR, 60))
    assert DEBOUNCED.enqueue(2).pk == first.pk


def test_who_makes_way_hands_on_its_time_unless_each_call_extends_it():
    replaces = note.using(deduplicate=Deduplicate(key="feed 7", ttl=60, replace=True), run_after=60)
    first = replaces.enqueue(1)
    Job.objects.update(deduplication_expires_at=now() + timedelta(seconds=10))
    until = held_until(first)
    assert held_until(replaces.enqueue(2)) == until
    assert held_until(DEBOUNCED.enqueue(3)) > until + timedelta(seconds=30)


def test_what_replaces_is_decided_with_the_commit():
    first = DEBOUNCED.using(run_after=0).enqueue(1)
    with transaction.atomic():
        second = DEBOUNCED.enqueue(2)
        assert second.created
        assert fresh(first).state == State.READY
        # Here in one transaction; elsewhere a worker does so before the commit.
        claim_one(first)
    assert numbers() == [1]
    # The instance says now what has become of the call.
    assert (second.pk, second.created) == (first.pk, False)
    assert fresh(first).duplicates == 1


# Keep the last one while one runs


def test_while_one_runs_the_last_call_waits_and_runs_after_it():
    first = KEEPS_LAST.enqueue(1)
    claim = claim_one(first)
    waiting = [KEEPS_LAST.enqueue(number) for number in (2, 3, 4)]
    assert [each.created for each in waiting] == [True] * 3
    (follow_up,) = Job.objects.blocked()
    assert (follow_up.pk, follow_up.args, follow_up.duplicates) == (waiting[-1].pk, [4], 2)
    settle("default", [ended(claim, Succeeded())])
    assert fresh(follow_up).state == State.READY
    assert numbers() == [4]
    assert KEEPS_LAST.enqueue(5).pk == follow_up.pk


def test_before_it_runs_a_call_is_a_duplicate():
    first, second = KEEPS_LAST.enqueue(1), KEEPS_LAST.enqueue(2)
    assert (second.pk, second.created, fresh(first).duplicates) == (first.pk, False, 1)
    assert numbers() == [1]


@pytest.mark.parametrize("outcome", [Retried(ERROR, 60), Snoozed(60)], ids=lambda each: type(each).__name__)
def test_the_follow_up_waits_through_retries_and_snoozes(outcome):
    first = KEEPS_LAST.enqueue(1)
    claim = claim_one(first)
    follow_up = KEEPS_LAST.enqueue(2)
    settle("default", [ended(claim, outcome)])
    assert fresh(follow_up).state == State.BLOCKED
    newer = KEEPS_LAST.enqueue(3)
    assert [each.pk for each in Job.objects.blocked()] == [newer.pk]
    cancel(first)
    assert fresh(newer).state == State.READY


@pytest.mark.parametrize("how", ["succeed", "fail", "stop", "cancel", "rescue", "remove"])
def test_every_end_releases_the_follow_up(how):
    first = note.using(deduplicate=Deduplicate(key="feed 7", keep_last=True), max_stalls=0).enqueue(1)
    claim = claim_one(first)
    follow_up = KEEPS_LAST.enqueue(2)
    outcomes: dict[str, Any] = {
        "succeed": Succeeded(),
        "fail": Failed(ERROR),
        "stop": Stopped("No."),
        "remove": Retried(ERROR, 60),
    }
    if how == "cancel":
        cancel(first)
        settle("default", [ended(claim, Retried(ERROR, 0))])
    elif how == "rescue":
        Worker.objects.update(dead_at=now())
        rescue_orphans("default")
    else:
        settle("default", [ended(claim, outcomes[how])])
    if how == "remove":
        remove(first)
    assert fresh(follow_up).state == State.READY
    assert not KEEPS_LAST.enqueue(3).created


def test_an_atomic_success_releases_the_follow_up():
    first = KEEPS_LAST.enqueue(1)
    claim = claim_one(first)
    follow_up = KEEPS_LAST.enqueue(2)
    assert isinstance(commit_together(claim, lambda: Succeeded()), Succeeded)
    assert (fresh(first).state, fresh(follow_up).state) == (State.SUCCESSFUL, State.READY)


def test_emptying_a_queue_releases_the_follow_up():
    first = KEEPS_LAST.enqueue(1)
    claimed = claim_one(first)
    KEEPS_LAST.enqueue(2)
    settle("default", [ended(claimed, Retried(ERROR, 0.0))])
    assert queues["default"].drain(scheduled=True) == 1
    assert [(each.args, each.state) for each in Job.objects.all()] == [([2], State.READY)]


def test_a_cancelled_follow_up_does_not_run_and_the_next_one_does():
    first = KEEPS_LAST.enqueue(1)
    claim = claim_one(first)
    assert cancel(KEEPS_LAST.enqueue(2)) == 1
    follow_up = KEEPS_LAST.enqueue(3)
    settle("default", [ended(claim, Succeeded())])
    assert [each.pk for each in Job.objects.alive()] == [follow_up.pk]


def test_a_job_that_starts_before_the_callers_commit_gets_a_follow_up():
    first = KEEPS_LAST.enqueue(1)
    with transaction.atomic():
        second = KEEPS_LAST.enqueue(2)
        assert (second.pk, second.created) == (first.pk, False)
        claim = claim_one(first)
    (follow_up,) = Job.objects.blocked()
    assert follow_up.args == [2]
    settle("default", [ended(claim, Succeeded())])
    assert fresh(follow_up).state == State.READY


def test_a_bulk_while_one_runs_keeps_its_last():
    claim = claim_one(KEEPS_LAST.enqueue(1))
    enqueue_many(KEEPS_LAST.request(number) for number in range(2, 6))
    assert numbers() == [1, 5]
    settle("default", [ended(claim, Succeeded())])
    assert numbers() == [5]
    assert Job.objects.alive().get().duplicates == 3


def test_with_replace_the_last_call_wins_before_the_start_too():
    both = note.using(deduplicate=Deduplicate(key="feed 7", replace=True, keep_last=True))
    both.enqueue(1)
    claim = claim_one(both.enqueue(2))
    assert numbers() == [2]
    both.enqueue(3), both.enqueue(4)
    assert numbers() == [2, 4]
    settle("default", [ended(claim, Succeeded())])
    both.enqueue(5)
    assert numbers() == [5]


def test_a_chore_finds_what_its_producer_could_not_settle():
    claim = claim_one(KEEPS_LAST.enqueue(1))
    follow_up = KEEPS_LAST.enqueue(2)
    assert settle_overdue_keys("default") == 0
    Job.objects.filter(pk=claim.id).update(state=State.SUCCESSFUL, deduplication_slot=None)
    assert settle_overdue_keys("default") == 0  # its producer may still be at it
    Job.objects.update(enqueued_at=now() - timedelta(minutes=1))
    assert settle_overdue_keys("default") == 1
    assert fresh(follow_up).state == State.READY


# What is said wrongly


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"key": ""}, "1 to 1000 characters"),
        ({"key": "x" * 1001}, "1 to 1000 characters"),
        ({"key": 7}, "not 7"),
        ({"key": "a\0"}, "without NUL"),
        ({"key": "\ud800"}, "lone surrogate"),
        ({"ttl": 0}, "more than 0"),
        ({"ttl": -1}, "not -1"),
        ({"ttl": "a minute"}, "'a minute'"),
        ({"replace": 1}, "replace of Deduplicate must be True or False, not 1"),
        ({"extend": True}, "needs a ttl"),
        ({"keep_last": True, "ttl": 60}, "takes no ttl"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_where_it_is_written(values, words):
    with pytest.raises(InvalidOption, match=words):
        Deduplicate(**values)


def test_other_kinds_of_values_are_refused():
    values: list[Any] = ["feed 7", True, {"key": "feed 7"}]
    for value in values:
        with pytest.raises(InvalidOption, match=r"deduplicate must be Deduplicate"):
            note.using(deduplicate=value)
    with pytest.raises(InvalidOption, match="callable as its key, which goes on @job"):
        note.using(deduplicate=Deduplicate(key=str))


def test_a_key_function_that_returns_no_text_is_an_error_that_names_it():
    @job(name="tests.no_text", deduplicate=Deduplicate(key=lambda number: number))
    def no_text(number): ...

    with pytest.raises(InvalidOption, match=r"The deduplication key of @job tests\.no_text must be a text"):
        no_text.enqueue(7)


def test_two_promises_about_one_row_are_refused():
    with pytest.raises(InvalidOption, match="idempotency_key and deduplicate"):
        job(name="tests.both", idempotency_key="a", deduplicate=Deduplicate())(lambda: None)
    with pytest.raises(InvalidOption, match="contradict each other"):
        WHILE_ALIVE.using(idempotency_key="order 7").enqueue()
    assert not Job.objects.exists()
