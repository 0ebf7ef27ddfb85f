"""queues["mail"]: what a handle tells."""

from datetime import timedelta

import pytest

from django_jobs import queues
from django_jobs.handles import CappedCount, QueueCounts
from django_jobs.states import State
from tests.rows import HOUR, now, put
from tests.samples import mail

pytestmark = pytest.mark.django_db

NONE = CappedCount(0)


def test_the_living_jobs_of_a_queue_are_counted():
    put(), put(), put(run_after=now() + HOUR), put(State.RUNNING), put(State.BLOCKED), put(State.FAILED)
    put(queue_name="mail")
    counts = queues["default"].counts()
    assert (counts.ready, counts.scheduled, counts.running, counts.blocked) == (2, 1, 1, 1)
    assert queues["nothing"].counts() == QueueCounts(successful=NONE, failed=NONE, cancelled=NONE)
    assert queues.counts()["default"].ready == 2
    assert queues.counts()["mail"].ready == 1


def test_the_oldest_due_job_tells_for_how_long_it_waits():
    assert queues["default"].oldest_age() is None
    put(run_after=now() + HOUR), put(State.RUNNING, run_after=now() - 5 * HOUR)
    assert queues["default"].oldest_age() is None
    put(run_after=now() - HOUR), put(run_after=now() - 2 * HOUR)
    age = queues["default"].oldest_age()
    assert age is not None
    assert abs(age - 2 * HOUR) < timedelta(seconds=5)


def test_all_queues_are_those_declared_and_those_with_a_row(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"declared": {}}}
    queues["stored"].pause()
    names = [queue.name for queue in queues]
    assert {"default", "declared", "stored", mail.spec.options.queue_name} <= set(names)
    assert names == sorted(names)


def test_the_jobs_of_a_queue_are_a_queryset():
    job = put(queue_name="mail")
    put()
    assert list(queues["mail"].jobs()) == [job]
