"""Tests as users write them."""

from collections.abc import Callable
from datetime import timedelta
from typing import assert_type

import pytest
from django.test import RequestFactory, TestCase, override_settings

from django_jobs import Job
from django_jobs.testing import (
    DummyBackend,
    FrozenClock,
    ImmediateBackend,
    JobsTestMixin,
    adrain,
    assert_enqueued,
    assert_nothing_enqueued,
    captured,
    drain,
    enqueued,
    immediate,
)
from django_jobs.testing.modes import CapturedJobs
from tests.typed import jobs, tasks, views

pytestmark = pytest.mark.once


@override_settings(DJANGO_JOBS={"TRANSPORT": "memory:"})
class ViewTests(JobsTestMixin, TestCase):
    def test_the_view_enqueues(self) -> None:
        with captured() as stored:
            views.enqueue(RequestFactory().post("/"))
        assert_type(stored[0], Job)
        assert_type(stored[1:], list[Job])
        assert next(job.name for job in stored) == jobs.add.name
        self.assertEnqueued(jobs.add, 1, two=2)
        assert_type(assert_enqueued(jobs.count, [1, 2], start=3, times=1), list[Job])
        assert_enqueued(jobs.add)
        self.assertNothingEnqueued(tasks.greet)
        ran = drain()
        assert_type(ran, list[Job])
        assert len(enqueued()) == len(ran)

    def test_what_is_due_later_runs_later(self) -> None:
        with FrozenClock() as clock:
            job = jobs.add.using(run_after=timedelta(hours=1)).enqueue(1)
            assert drain() == []
            clock.move(timedelta(minutes=59))
            drain(until=timedelta(hours=2), queue_names=["default"], raise_errors=True)
        assert job.wait() == 2

    def test_jobs_run_at_once(self) -> None:
        with immediate(raise_errors=True), self.captureOnCommitCallbacks(execute=True):
            job = jobs.add.enqueue(1)
        total: int = job.wait()
        assert total == 2

    def test_many_and_changed(self) -> None:
        assert len(views.many()) == 3
        assert views.change_options().priority == 10
        assert views.steer(jobs.add.enqueue(4)) > 0
        assert views.run_here(jobs.add) == 2
        drain()

    def test_a_row_says_what_there_is_to_know(self) -> None:
        job = jobs.add.enqueue(1)
        drain()
        assert views.look(str(job.pk))["total"] == 2

    def test_tasks(self) -> None:
        assert isinstance(views.use_tasks(), str)
        assert_enqueued(tasks.shout.using(priority=5), "you", copies=2, times=1)


def test_the_backends_for_tests_are_backends() -> None:
    backends = [DummyBackend("default", {}), ImmediateBackend("default", {})]
    assert [backend.alias for backend in backends] == ["default", "default"]


# Only typed: this suite runs without the plugin that brings the fixtures, which is tested in runs of its own.
def nothing_is_enqueued_by_a_call(captured_jobs: CapturedJobs, drain_jobs: Callable[..., list[Job]]) -> None:
    assert jobs.add(1) == 2
    assert_nothing_enqueued()
    assert len(captured_jobs) == len(drain_jobs()) == 0


async def drain_in_a_coroutine() -> list[Job]:
    return await adrain()
