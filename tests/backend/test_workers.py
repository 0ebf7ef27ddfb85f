"""Real workers run tasks: `def` and `async def`, with Django's context."""

import pytest
from django.db import transaction

from django_jobs import Fixed
from django_jobs.compat import TaskResultStatus
from django_jobs.models import Job, Worker
from tests.project.tasks import add, count_effects, introduce, succeed_at
from tests.waiting import wait_until
from tests.worker.watching import end_of

pytestmark = pytest.mark.django_db(transaction=True)


def finished(result):
    end_of(Job.objects.get(pk=result.id))
    result.refresh()
    return result


def test_a_worker_runs_tasks_of_both_kinds(start_workers):
    with transaction.atomic():
        results = [add.enqueue(1, second=2), count_effects.enqueue(5), introduce.enqueue()]
    start_workers()
    assert [finished(each).return_value for each in results[:2]] == [3, 5]
    told = finished(results[2])
    assert told.return_value == [1, told.id, TaskResultStatus.RUNNING, [], 36]
    assert [each.status for each in results] == [TaskResultStatus.SUCCESSFUL] * 3


def test_a_task_is_tried_again_and_knows_who_tried_before(start_workers):
    result = succeed_at.using(max_attempts=3, backoff=Fixed(0)).enqueue(3)
    start_workers()
    finished(result)
    assert (result.status, result.attempts, len(result.errors)) == (TaskResultStatus.SUCCESSFUL, 3, 2)
    assert result.return_value == result.worker_ids
    assert {*result.worker_ids} <= {str(each) for each in Worker.objects.values_list("pk", flat=True)}
    lines = wait_until(lambda: Job.objects.get(pk=result.id).log)
    assert [each.text for each in lines] == ["attempt 1", "attempt 2", "attempt 3"]
