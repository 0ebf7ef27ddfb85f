"""What people do to jobs: each verb over every state, on whatever names jobs, and it says how many it moved."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from django_jobs import cancel, queues, remove, reprioritize, reschedule, retry, run_now
from django_jobs.definitions.rank import LAST_TICK, rank
from django_jobs.errors import InvalidOption
from django_jobs.models import Attempt, Job, Metadata, Queue, Report, SavedData, Step
from django_jobs.states import ENDED, State
from django_jobs.transitions.removing import BELONGINGS
from django_jobs.transports import Bell
from tests.rows import HOUR, columns, fresh, new, now, put
from tests.samples import note

pytestmark = pytest.mark.django_db

Verb = Callable[..., int]

VERBS: dict[str, tuple[Verb, set[State]]] = {
    "cancel": (cancel, {State.BLOCKED, State.READY, State.RUNNING}),
    "retry": (retry, set(ENDED)),
    "run now": (run_now, {State.READY}),
    "reschedule": (lambda jobs, **kwargs: reschedule(jobs, 60, **kwargs), {State.READY}),
    "reprioritize": (lambda jobs, **kwargs: reprioritize(jobs, 50, **kwargs), {State.READY, State.BLOCKED}),
    "remove": (remove, set(State) - {State.RUNNING}),
}
EACH = pytest.mark.parametrize(("verb", "moves"), VERBS.values(), ids=VERBS)


def one_of_each(**fields: Any) -> dict[State, Job]:
    """A job in every state; those that wait are scheduled, so that every verb finds something to do."""
    return {state: put(state, run_after=now() + HOUR, **fields) for state in State}


def is_at(job: Job, moment: datetime) -> bool:
    """Tell whether the rank is that of the moment; SQLite's clock knows no more than milliseconds."""
    coarse = 10 if connection.vendor == "sqlite" and moment.microsecond % 1000 else 0
    return abs(job.rank - rank(job.priority, job.lifo, moment)) <= coarse


@EACH
def test_a_verb_moves_those_that_can_be_moved_and_leaves_the_others(verb, moves):
    jobs = one_of_each()
    before = {state: columns(job) for state, job in jobs.items()}
    assert verb(jobs.values()) == len(moves)
    for state, job in jobs.items():
        row = Job.objects.filter(pk=job.pk).first()
        changed = row is None or columns(row) != before[state]
        assert changed == (state in moves), state


@EACH
@pytest.mark.parametrize(
    "named",
    [
        lambda jobs: jobs[0],
        lambda jobs: jobs[0].pk,
        lambda jobs: str(jobs[0].pk),
        lambda jobs: jobs[:1],
        lambda jobs: [jobs[0].pk, str(jobs[0].pk), jobs[0]],
        lambda jobs: {jobs[0].pk},
        lambda jobs: (job.pk for job in jobs[:1]),
        lambda jobs: Job.objects.filter(pk=jobs[0].pk),
        lambda jobs: Job.objects.filter(pk=jobs[0].pk)[:5],
        lambda jobs: Job.objects.filter(pk=jobs[0].pk).order_by("-rank").values_list("name"),
        lambda jobs: Job.objects.filter(pk=jobs[0].pk).union(Job.objects.filter(pk=jobs[0].pk)),
        lambda jobs: Job.objects.filter(pk=jobs[0].pk).only("name").distinct(),
    ],
    ids=["job", "id", "text", "list", "mixed list", "set", "generator", "queryset", "slice", "values", "union", "only"],
)
def test_jobs_may_be_named_in_any_way(verb, moves, named):
    state = next(iter(moves - {State.BLOCKED}))
    jobs = [put(state, run_after=now() + HOUR) for _ in range(3)]
    before = columns(jobs[1])
    assert verb(named(jobs)) == 1
    assert columns(fresh(jobs[1])) == before


@EACH
def test_a_verb_for_nothing_moves_nothing(verb, moves):
    assert verb([]) == verb(Job.objects.none()) == verb(uuid4()) == 0


@EACH
def test_more_jobs_than_one_transaction_holds_are_all_moved_and_progress_is_told(verb, moves):
    state = next(iter(moves - {State.BLOCKED}))
    Job.objects.bulk_create([new(state, run_after=now() + HOUR) for _ in range(1203)])
    seen: list[int] = []
    assert verb(Job.objects.all(), progress=seen.append) == 1203
    assert seen == [500, 1000, 1203]


def test_a_queryset_is_walked_to_its_end_though_its_rows_leave_the_filter():
    Job.objects.bulk_create([new(State.FAILED) for _ in range(1203)])
    assert retry(Job.objects.failed().order_by("-finished_at")) == 1203
    assert cancel(Job.objects.ready()) == 1203
    assert remove(Job.objects.cancelled()) == 1203


def test_a_list_longer_than_one_transaction_is_moved_too():
    jobs = Job.objects.bulk_create([new(State.FAILED) for _ in range(1203)])
    assert retry(jobs) == 1203


def test_a_slice_moves_only_its_own():
    Job.objects.bulk_create([new(State.FAILED) for _ in range(20)])
    assert retry(Job.objects.order_by("pk")[5:15]) == 10
    assert Job.objects.failed().count() == 10


def test_what_is_no_id_is_told():
    with pytest.raises((ValueError, TypeError), match="badly formed"):
        cancel("order 7")


def test_a_cancelled_job_says_why_and_never_starts():
    job = put()
    cancel(job, "The order was withdrawn.")
    row = fresh(job)
    assert (row.state, row.error) == (State.CANCELLED, "The order was withdrawn.")
    assert row.finished_at is not None
    cancel(other := put())
    assert fresh(other).error == "Cancelled by hand."


def test_a_reason_of_any_length_is_kept_as_far_as_it_fits():
    job = put()
    cancel(job, "é" * 1000)
    assert fresh(job).error == "é" * 500


def test_a_running_job_is_asked_once_to_cancel():
    job = put(State.RUNNING)
    assert (cancel(job), cancel(job)) == (1, 0)
    row = fresh(job)
    assert (row.state, row.cancel_requested, row.finished_at) == (State.RUNNING, True, None)
    assert row.error == "Cancelled by hand."
    assert row.cancel_requested_at is not None
    assert abs(row.cancel_requested_at - now()) < timedelta(seconds=5)


def test_a_job_that_is_run_again_begins_anew_and_keeps_what_it_is():
    job = put(
        State.FAILED, priority=7, lifo=True, fence=4, attempt=3, max_attempts=3, starts=5, stalls=2, suspect=True,
        cancel_requested=True, cancel_requested_at=now(), expires_at=now() - HOUR,
        error="ValueError", result_text="1", started_at=now(),
        idempotency_key="a", key_digest=b"x" * 32, group="g",
    )  # fmt: skip
    Attempt.objects.create(job=job, number=1, finished_at=now(), outcome="failed")
    assert retry(job) == 1
    row = fresh(job)
    assert row.state == State.READY
    assert (row.attempt, row.max_attempts, row.starts, row.stalls, row.suspect) == (0, 3, 0, 0, False)
    assert row.cancel_requested_at is None
    assert (row.cancel_requested, row.expires_at, row.error, row.result_text) == (False, None, "", None)
    assert (row.started_at, row.finished_at) == (None, None)
    assert (row.fence, row.priority, row.group, row.idempotency_key) == (4, 7, "g", "a")
    assert abs(row.run_after - now()) < timedelta(seconds=5)
    assert row.rank == rank(7, True, row.run_after)
    assert row.attempts.count() == 1


def test_a_retry_that_does_not_reset_gives_one_attempt_more():
    job = put(State.FAILED, attempt=3, max_attempts=3)
    retry(job, reset_attempts=False)
    assert (fresh(job).attempt, fresh(job).max_attempts) == (3, 4)


def test_a_scheduled_job_is_made_due_once():
    job = put(run_after=now() + HOUR, priority=3)
    assert (run_now(job), run_now(job)) == (1, 0)
    row = fresh(job)
    assert abs(row.run_after - now()) < timedelta(seconds=5)
    assert row.rank == rank(3, False, row.run_after)


@pytest.mark.parametrize(
    "when",
    [
        datetime(2050, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        timedelta(minutes=5),
        90,
        12.5,
        0,
    ],
    ids=str,
)
@pytest.mark.parametrize("lifo", [False, True])
def test_a_waiting_job_gets_another_time(when, lifo):
    job = put(run_after=now() + HOUR, priority=-3, lifo=lifo)
    assert reschedule(job, when) == 1
    row = fresh(job)
    if isinstance(when, datetime):
        assert row.run_after == when
    else:
        delay = when if isinstance(when, timedelta) else timedelta(seconds=when)
        assert abs(row.run_after - now() - delay) < timedelta(seconds=5)
    assert is_at(row, row.run_after)


def test_a_time_in_the_past_means_now_in_the_order():
    job = put(run_after=now() + HOUR)
    reschedule(job, datetime(2001, 1, 1, tzinfo=UTC))
    row = fresh(job)
    assert row.run_after == datetime(2001, 1, 1, tzinfo=UTC)
    assert abs(row.rank - rank(0, False, now())) < 5 * 10_000


NAIVE = datetime(2050, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("when", [NAIVE, -1, timedelta(seconds=-1), "tomorrow", None, True, float("nan")])
def test_a_time_that_is_none_is_told(when):
    with pytest.raises(InvalidOption, match="reschedule"):
        reschedule([], when)


@pytest.mark.parametrize("lifo", [False, True])
def test_another_priority_keeps_the_place_that_time_gives(lifo):
    due = now() - HOUR
    job = put(run_after=due, lifo=lifo)
    for priority in (100, -100, 7):
        assert reprioritize(job, priority) == 1
        assert (fresh(job).priority, fresh(job).rank) == (priority, rank(priority, lifo, due))


def test_the_priority_of_a_job_at_the_end_of_its_band_moves_too():
    job = put(rank=rank(0, False, now()) // (LAST_TICK + 1) * (LAST_TICK + 1) + LAST_TICK)
    reprioritize(job, 1)
    assert fresh(job).rank % (LAST_TICK + 1) == LAST_TICK


@pytest.mark.parametrize("priority", [101, -101, 1.0, True, "7", None])
def test_a_priority_that_is_none_is_told(priority):
    with pytest.raises(InvalidOption, match="from -100 to 100"):
        reprioritize([], priority)


def test_a_removed_job_takes_along_what_belongs_to_it_and_to_no_other():
    gone, kept = put(State.FAILED), put(State.FAILED)
    for job in (gone, kept):
        Attempt.objects.create(job=job, number=1, finished_at=now(), outcome="failed")
        Report.objects.create(job=job, fence=1)
        SavedData.objects.create(job=job, fence=1, text="{}")
        Step.objects.create(job=job, name="charge", attempt=1, started_at=now(), finished_at=now())
        Metadata.objects.create(job=job, key="customer", value="42")
    assert remove(gone) == 1
    for model in BELONGINGS:
        assert list(model._default_manager.values_list("job_id", flat=True)) == [kept.pk]


def test_whatever_points_at_a_job_is_removed_with_it():
    assert {each.related_model for each in Job._meta.related_objects} == set(BELONGINGS)


def test_verbs_ring_what_is_due_soon_and_no_suspect(transport):
    failed, scheduled, far, suspect = (
        put(State.FAILED),
        put(run_after=now() + HOUR),
        put(run_after=now() + HOUR),
        put(suspect=True),
    )
    retry(failed), run_now(scheduled), reprioritize([far, suspect], 3), reschedule(far, 5000), reschedule(suspect, 0)
    assert transport.rung == []  # not before the commit


@pytest.mark.django_db(transaction=True)
def test_verbs_ring_in_one_round_trip_what_is_due_soon_and_no_suspect(transport):
    failed, ended, far = put(State.FAILED), put(State.SUCCESSFUL), put(run_after=now() + HOUR)
    suspect = put(suspect=True)
    retry([failed, ended])
    reprioritize([far, suspect], 3)
    run_now(far)
    assert transport.announced == [
        [Bell(job.pk, "default", fresh(job).rank) for job in (failed, ended)],
        [Bell(far.pk, "default", fresh(far).rank)],
    ]


@pytest.mark.django_db(transaction=True)
def test_a_cancel_rings_nothing(transport):
    cancel(put())
    assert transport.announced == []


def test_a_queue_is_paused_once_and_goes_on_once(transport):
    assert (queues["mail"].pause(), queues["mail"].pause()) == (True, False)
    row = Queue.objects.get(name="mail")
    assert row.paused
    assert row.paused_at is not None
    assert abs(row.paused_at - now()) < timedelta(seconds=5)
    assert queues["mail"].is_paused
    assert not queues["Mail"].is_paused
    assert (queues["mail"].resume(), queues["mail"].resume()) == (True, False)
    assert (Queue.objects.get().paused, Queue.objects.get().paused_at) == (False, None)
    assert transport.woken


def test_jobs_are_accepted_while_their_queue_rests():
    queues["default"].pause()
    assert note.enqueue().state == State.READY


@pytest.mark.parametrize("name", ["", "a b", "x" * 101, 7, None])
def test_what_cannot_be_the_name_of_a_queue_is_told(name):
    with pytest.raises(InvalidOption, match="no name of a queue"):
        queues[name].pause()
