"""Why a job waits, and what happened to it so far: told on its page."""

from datetime import timedelta

import pytest

from django_jobs.models import Attempt, Queue
from django_jobs.states import State
from tests import rows
from tests.admin.pages import QUEUES, Page, job_page

pytestmark = pytest.mark.django_db

NAME = "samples.note"


@pytest.fixture
def reasons(admin_client):
    """Give `reasons(job)`, what the page of the job says about it."""
    return lambda job: [str(each) for each in admin_client.get(job_page(job)).context["reasons"]]


def serve(**fields):
    return rows.worker(**{"queues": ["default"], "names": [NAME]} | fields)


DUE = "It is due, and starts as soon as a worker has room for it and all that comes before it."


def test_a_job_that_is_due_waits_for_room(reasons):
    serve()
    assert reasons(rows.put()) == [DUE]


@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCESSFUL, State.FAILED, State.CANCELLED])
def test_a_job_that_does_not_wait_has_no_reasons(reasons, state):
    assert reasons(rows.put(state)) == []


def test_a_claimed_job_that_has_not_begun_waits_for_its_batch(reasons):
    (reason,) = reasons(rows.put(State.RUNNING, started_at=None))
    assert reason == "A worker has claimed it, and waits for others to run it together with."


def test_a_blocked_job_waits_for_others(reasons):
    assert reasons(rows.put(State.BLOCKED)) == ["It waits for other jobs to end."]


def test_a_scheduled_job_waits_for_its_time(reasons):
    serve()
    (reason,) = reasons(rows.put(run_after=rows.now() + 2 * rows.HOUR, enqueued_at=rows.now()))
    assert reason.startswith("It is scheduled for ")
    assert reason.endswith("in 1 h 59 min.")


def test_a_retrying_job_waits_for_its_next_attempt(reasons):
    serve()
    (reason,) = reasons(rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=rows.now(), attempt=1))
    assert reason.startswith("Its next attempt is at ")


def test_a_job_that_may_expire_says_when(reasons):
    serve()
    told, _ = reasons(rows.put(expires_at=rows.now() + 2 * rows.HOUR))
    assert told.startswith("If it is not started by ")
    assert told.endswith("in 1 h 59 min, it is dropped.")
    told, _ = reasons(rows.put(expires_at=rows.now() - rows.HOUR))
    assert told == "It was not started in time, and is about to be dropped."
    assert reasons(rows.put(expires_at=rows.now() - rows.HOUR, starts=1)) == [DUE]


def test_a_paused_queue_is_named_and_linked(admin_client):
    serve()
    Queue.objects.create(name="default", paused=True, paused_at=rows.now())
    page = Page(admin_client.get(job_page(rows.put())))
    assert "Its queue default is paused." in page.text
    assert DUE not in page.text
    assert page.links().count(f"{QUEUES}#queue-default") == 2


def test_without_a_live_worker_it_says_so(reasons):
    serve(dead_at=rows.now(), died=True)
    serve(beat_at=rows.now() - rows.HOUR)
    assert reasons(rows.put()) == ["No worker is alive. <code>manage.py runworkers</code>"]


def test_a_queue_that_nobody_serves_is_told(reasons):
    serve(queues=["mail"])
    told = "No live worker serves its queue. <code>manage.py runworkers --queue default</code>"
    assert reasons(rows.put()) == [told]


def test_a_worker_without_queues_serves_those_that_are_declared(reasons):
    serve(queues=[])
    assert reasons(rows.put()) == [DUE]
    told = "No live worker serves its queue, and nothing declares it."
    assert reasons(rows.put(queue_name="undeclared")) == [told]


def test_a_name_that_nobody_knows_is_told(reasons):
    serve(names=["other"])
    assert reasons(rows.put()) == ["No live worker knows a job of this name."]


def test_a_name_that_only_workers_of_other_queues_know_is_told(reasons):
    serve(names=["other"])
    serve(queues=["mail"])
    assert reasons(rows.put()) == ["No live worker of its queue knows a job of this name."]


@pytest.mark.parametrize("gone", [None, 0.1], ids=["holds a job", "is between two"])
def test_who_takes_by_hand_serves_its_queue_and_knows_any_job(reasons, gone):
    serve(supervisor_pid=0, names=[], dead_at=gone and rows.now() - timedelta(seconds=gone))
    assert reasons(rows.put()) == [DUE]


def test_a_suspect_starts_alone(reasons):
    serve()
    assert "Workers died under it, so it starts alone, in a process of its own." in reasons(rows.put(suspect=True))


def events(client, job):
    return [(event.what, event.after) for event in client.get(job_page(job)).context["timeline"]]


def test_a_job_that_succeeded_at_once_tells_of_its_birth_its_start_and_its_end(admin_client):
    born = rows.now() - rows.HOUR
    started, ended = born + timedelta(seconds=30), born + timedelta(seconds=42)
    job = rows.put(State.SUCCESSFUL, run_after=born, started_at=started, finished_at=ended)
    first, second, third = events(admin_client, job)
    assert (first, second) == (("Enqueued", ""), ("Attempt 1 started", "30.0 s"))
    assert "Successful" in third[0]
    assert third[1] == "12.0 s"


def test_a_job_that_failed_twice_tells_of_both_attempts(admin_client):
    born = rows.now() - rows.HOUR
    times = [born + timedelta(minutes=minute) for minute in range(6)]
    job = rows.put(
        State.FAILED, enqueued_at=born, run_after=times[3], started_at=times[4], finished_at=times[5], attempt=2
    )
    for number, start, outcome in ((1, times[1], "retrying"), (2, times[4], "failed")):
        end = start + timedelta(minutes=1)
        Attempt.objects.create(
            job=job, number=number, started_at=start, finished_at=end, outcome=outcome, error_class="builtins.OSError"
        )
    *told, last = [what for what, _ in events(admin_client, job)]
    assert told == [
        "Enqueued",
        "Attempt 1 started",
        "Attempt 1: retrying, builtins.OSError",
        "Due",
        "Attempt 2 started",
        "Attempt 2: failed, builtins.OSError",
    ]
    assert "Failed" in last


def test_what_is_to_come_is_told_as_such(admin_client):
    job = rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=rows.now())
    assert events(admin_client, job)[-1][0] == "Will be due"


def test_a_job_that_runs_tells_since_when(admin_client):
    job = rows.put(State.RUNNING, enqueued_at=rows.now() - rows.HOUR, run_after=rows.now() - rows.HOUR)
    assert events(admin_client, job)[-1][0] == "Attempt 1 started"


def test_workers_that_are_quiet_take_nothing(reasons):
    serve(quiet=True)
    assert reasons(rows.put()) == [
        "Every live worker of its queue is quiet. <code>manage.py jobworkers resume --all</code>"
    ]
    serve()
    assert "quiet" not in reasons(rows.put())[0]
