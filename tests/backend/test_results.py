"""What Django's TaskResult tells of a row: all that it has, and never an error for what is gone by now."""

from dataclasses import asdict
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from django_jobs import cancel, job, retry
from django_jobs.backend import JobsBackend, bodies
from django_jobs.compat import TaskResultDoesNotExist, TaskResultMismatch, TaskResultStatus, task_backends
from django_jobs.definitions import registry
from django_jobs.definitions.outcomes import Failed, GivenBack, Retried, Snoozed, Succeeded
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job
from django_jobs.states import State
from tests.bells import transport
from tests.project.tasks import add, succeed_at
from tests.rows import ERROR, claim_one, ended, fresh, put

__all__ = ["transport"]

pytestmark = pytest.mark.django_db(transaction=True)


def row(result):
    return Job.objects.get(pk=result.id)


def end(result, outcome):
    """Run a task, as a worker would, to this outcome; return who ran it."""
    claim = claim_one(row(result))
    assert settle("default", [ended(claim, outcome)]).written
    return str(claim.owner)


def test_a_result_is_read_as_it_was_enqueued():
    later = timezone.now() + timedelta(hours=1, microseconds=1)
    result = add.using(priority=7, queue_name="mail", run_after=later, max_attempts=3).enqueue(1, second={"a": [2.5]})
    assert add.get_result(result.id) == result
    assert (result.task.priority, result.task.queue_name, result.task.run_after) == (7, "mail", later)
    assert row(result).run_after == later
    assert row(result).max_attempts == 3


def test_a_result_that_is_refreshed_follows_its_row():
    result = add.enqueue(1, 2)
    claim = claim_one(row(result))
    result.refresh()
    assert (result.status, result.worker_ids, result.attempts) == (TaskResultStatus.RUNNING, [str(claim.owner)], 1)
    settle("default", [ended(claim, Succeeded("3"))])
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, 3, 1)
    assert result.last_attempted_at == result.started_at <= result.finished_at


@async_to_sync
async def refreshed(result):
    assert await add.aget_result(result.id) == result
    await result.arefresh()
    return result


def test_a_coroutine_enqueues_and_refreshes():
    result = async_to_sync(add.aenqueue)(1, 2)
    assert (result.task, result.args, result.kwargs) == (add, [1, 2], {})
    assert refreshed(result).status == TaskResultStatus.READY


def test_an_attempt_that_failed_is_told_with_its_worker_and_its_error():
    result = succeed_at.using(max_attempts=2).enqueue(3)
    first = end(result, Retried(ERROR, 0))
    result.refresh()
    assert (result.status, result.worker_ids) == (TaskResultStatus.READY, [first])
    began = result.started_at
    second = end(result, Failed(ERROR))
    result.refresh()
    assert (result.status, result.worker_ids) == (TaskResultStatus.FAILED, [first, second])
    assert [each.exception_class for each in result.errors] == [ValueError, ValueError]
    assert result.errors[0].traceback == ERROR.traceback
    assert result.started_at == began <= result.last_attempted_at
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value  # noqa: B018


def test_a_cancelled_task_has_failed_and_says_why():
    result = add.enqueue(1, 2)
    cancel(result.id, reason="Not needed.")
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    (error,) = result.errors
    assert error.exception_class.__name__ == "JobCancelled"
    assert "Not needed." in error.traceback


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_word_of_django(state):
    assert JobsBackend("default", {}).get_result(str(put(state).pk)).status in TaskResultStatus


@pytest.mark.parametrize("result_id", ["", "123", 123, None, "01a220c9-6f83-7301-b99c-ee1c2e6ba497", "\0"])
def test_an_id_that_nobody_has_or_that_is_none_is_told_so(result_id):
    with pytest.raises(TaskResultDoesNotExist):
        add.get_result(result_id)


def test_a_result_of_another_task_is_refused():
    with pytest.raises(TaskResultMismatch):
        succeed_at.get_result(add.enqueue(1, 2).id)


def test_history_is_read_though_function_queue_and_alias_are_gone(settings, monkeypatch):
    result = add.using(queue_name="mail", priority=5).enqueue(1, 2)
    monkeypatch.delitem(bodies._declared, add.module_path)
    registry._specs.pop(add.module_path)
    settings.TASKS = {"other": {"BACKEND": "django_jobs.backend.JobsBackend", "QUEUES": ["elsewhere"]}}
    backend = task_backends["other"]
    gone = backend.get_result(result.id)
    assert (gone.task.module_path, gone.task.queue_name, gone.task.priority) == (add.module_path, "mail", 5)
    assert (gone.backend, gone.args) == ("other", [1, 2])
    assert backend.get_result(result.id) == gone
    gone.refresh()
    with pytest.raises(LookupError, match="is not known here any more"):
        gone.task.call()


def test_a_job_is_read_as_a_result_too():
    @job(name="results.greet", queue_name="mail")
    def greet(name): ...

    stored = greet.enqueue("you")
    result = JobsBackend("default", {}).get_result(str(stored.pk))
    assert (result.id, result.task.func, result.task.queue_name, result.args) == (
        str(stored.pk),
        greet.func,
        "mail",
        ["you"],
    )


# Not `started_at`: of a row it is the newest attempt, of a result the first.
AS_A_RESULT = ("status", "finished_at", "last_attempted_at", "args", "kwargs", "worker_ids")


def test_a_row_reads_as_the_result_does():
    result = succeed_at.using(max_attempts=2).enqueue(3)
    for outcome in (None, Retried(ERROR, 0), Failed(ERROR)):
        if outcome is not None:
            end(result, outcome)
        result.refresh()
        stored = row(result)
        for name in AS_A_RESULT:
            assert getattr(stored, name) == getattr(result, name), name
    assert [asdict(each) for each in row(result).errors] == [asdict(each) for each in result.errors]
    assert len(row(result).errors) == len(row(result).worker_ids) == 2


def test_a_cancelled_row_has_the_error_of_its_result():
    result = add.enqueue(1, 2)
    cancel(result.id, reason="Not needed.")
    result.refresh()
    assert [asdict(each) for each in row(result).errors] == [asdict(each) for each in result.errors]


def test_who_ran_what_succeeded_at_once_is_told():
    result = add.enqueue(1, 2)
    first = end(result, Succeeded("3"))
    result.refresh()
    assert (result.worker_ids, row(result).worker_ids, result.attempts) == ([first], [first], 1)


def test_who_ran_a_task_that_was_run_again_by_hand_is_told_of_the_newest_attempts():
    result = add.using(max_attempts=2).enqueue(1, 2)
    end(result, Retried(ERROR, 0))
    end(result, Failed(ERROR))
    retry(result.id, reset_attempts=True)
    result.refresh()
    assert result.worker_ids == []
    newest = end(result, Succeeded("3"))
    result.refresh()
    assert result.worker_ids == [newest]


@pytest.mark.parametrize("outcome", [Snoozed(0), GivenBack(begun=True)], ids=["snooze", "give back"])
def test_who_had_a_task_without_an_attempt_that_counts_is_not_told(outcome):
    result = succeed_at.using(max_attempts=2).enqueue(3)
    first = end(result, Retried(ERROR, 0))
    end(result, outcome)
    cancel(result.id)
    result.refresh()
    assert (result.status, result.worker_ids) == (TaskResultStatus.FAILED, [first])


def test_a_task_that_runs_again_by_hand_is_ready_again():
    result = add.enqueue(1, 2)
    end(result, Failed(ERROR))
    assert retry(result.id) == 1
    result.refresh()
    assert result.status == TaskResultStatus.READY
    assert fresh(row(result)).state == State.READY
