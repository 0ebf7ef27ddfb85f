"""Django's signals and log lines tell of a task what its row says."""

import logging
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from django_jobs import Fixed, cancel
from django_jobs.backend import JobsBackend
from django_jobs.compat import TaskResultStatus, task_finished, task_started
from django_jobs.definitions.outcomes import GivenBack
from django_jobs.execution.execute import aexecute, execute
from django_jobs.lifecycle.expiring import expire_jobs
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job
from tests.backend.recorded import RecordedBackend
from tests.bells import transport
from tests.project.tasks import add, give, introduce, leave, succeed_at
from tests.rows import claim_one, ended

__all__ = ["transport"]

pytestmark = pytest.mark.django_db(transaction=True)


# Django's, and that of the backport.
LOGGERS = ("django.tasks", "django_tasks")


@pytest.fixture
def told():
    """Give what the two signals say of tasks: sender, status, and what the database would say."""
    told = []

    def hear(sender, signal, task_result, **kwargs):
        told.append((sender, task_result.status, task_result.attempts))
        assert not connection.in_atomic_block

    for signal in (task_started, task_finished):
        signal.connect(hear)
    yield told
    for signal in (task_started, task_finished):
        signal.disconnect(hear)


def run(result):
    """Run a task as a worker does, and return its result as the row then has it."""
    claim = claim_one(Job.objects.get(pk=result.id))
    is_async = result.task.func is succeed_at.func
    outcome = async_to_sync(aexecute)(claim) if is_async else execute(claim)
    assert settle("default", [ended(claim, outcome)]).written
    result.refresh()
    return result


def test_start_and_end_are_told_with_the_class_as_sender(told):
    result = run(add.enqueue(1, 2))
    assert result.return_value == 3
    assert told == [(JobsBackend, TaskResultStatus.RUNNING, 1), (JobsBackend, TaskResultStatus.SUCCESSFUL, 1)]


def test_a_task_that_will_run_again_has_not_ended(told):
    result = succeed_at.using(max_attempts=2, backoff=Fixed(0)).enqueue(2)
    run(result)
    assert told == [(JobsBackend, TaskResultStatus.RUNNING, 1)]
    run(result)
    assert told[1:] == [(JobsBackend, TaskResultStatus.RUNNING, 2), (JobsBackend, TaskResultStatus.SUCCESSFUL, 2)]


def test_a_cancelled_task_is_told_as_failed(told):
    result = add.enqueue(1, 2)
    claim = claim_one(Job.objects.get(pk=result.id))
    cancel(result.id)
    assert settle("default", [ended(claim, GivenBack(begun=True))]).written
    # An attempt that is handed back does not count.
    assert told == [(JobsBackend, TaskResultStatus.FAILED, 0)]


def test_a_task_that_never_starts_is_not_told_to_have_finished(told):
    cancelled = add.enqueue(1, 2)
    cancel(cancelled.id)
    expired = add.using(expires=timedelta(seconds=-1)).enqueue(1, 2)
    assert expire_jobs("default") == 1
    for result in (cancelled, expired):
        result.refresh()
    assert (cancelled.status, expired.status, told) == (TaskResultStatus.FAILED, TaskResultStatus.FAILED, [])


def test_where_no_alias_is_called_default_a_job_of_its_backend_is_told_all_the_same(told, settings):
    result = add.enqueue(1, 2)
    settings.TASKS = {"own": {"BACKEND": "tests.backend.recorded.RecordedBackend"}}
    claim = claim_one(Job.objects.get(pk=result.id))
    assert settle("default", [ended(claim, execute(claim))]).written
    assert told == [(RecordedBackend, TaskResultStatus.RUNNING, 1), (RecordedBackend, TaskResultStatus.SUCCESSFUL, 1)]


def test_a_receiver_that_fails_breaks_nothing(caplog):
    def fail(**kwargs):
        raise ZeroDivisionError

    for signal in (task_started, task_finished):
        signal.connect(fail)
    try:
        assert run(add.enqueue(1, 2)).return_value == 3
    finally:
        for signal in (task_started, task_finished):
            signal.disconnect(fail)


def test_the_log_says_what_django_says(caplog):
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    result = run(leave.enqueue("exit"))
    lines = [each for each in caplog.records if each.name in LOGGERS]
    assert [each.levelname for each in lines] == ["DEBUG", "INFO", "ERROR"]
    assert all(result.id in each.getMessage() for each in lines)
    assert "state=RUNNING" in lines[1].getMessage()
    assert "state=FAILED" in lines[2].getMessage()
    assert lines[2].exc_info[0] is SystemExit


def test_a_body_that_exits_has_failed_and_one_that_is_interrupted_runs_again():
    result = run(leave.enqueue("exit"))
    assert (result.status, result.errors[0].exception_class) == (TaskResultStatus.FAILED, SystemExit)
    assert run(leave.enqueue("interrupt")).status == TaskResultStatus.READY


def test_a_result_is_kept_as_django_normalizes_it():
    assert run(give.enqueue("tuple")).return_value == [1, [2]]
    assert run(give.enqueue("bytes")).return_value == "text"


def test_a_result_that_json_does_not_know_fails_at_once():
    result = run(give.using(max_attempts=5).enqueue("set"))
    assert result.status == TaskResultStatus.FAILED
    assert issubclass(result.errors[0].exception_class, TypeError)
    assert "Unsupported type" in result.errors[0].traceback


def test_the_context_is_djangos_and_tells_of_this_attempt():
    result = run(introduce.enqueue())
    assert result.return_value == [1, result.id, "RUNNING", [], 36]
