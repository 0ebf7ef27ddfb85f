"""Jobs of a block are looked at (captured) or run as soon as they are committed (immediate)."""

import unittest
from datetime import date

import pytest
from django.db import transaction
from django.test import TestCase, TransactionTestCase, override_settings

from django_jobs import queues
from django_jobs.errors import EndlessDrain, IdempotencyConflict, InvalidArguments
from django_jobs.models import Job
from django_jobs.testing import JobsTestMixin, captured, drain, immediate
from tests.testing import samples
from tests.testing.samples import effects
from tests.testing.test_draining import OPTIONS


class Capturing(JobsTestMixin):
    def test_a_block_tells_what_it_enqueued_and_nothing_ran(self):
        samples.write.enqueue("before")
        with captured() as jobs:
            assert jobs == []
            first = samples.write.enqueue("a")
            assert jobs == [first]
            second = samples.mail.enqueue("b")
        third = samples.write.enqueue("after")
        assert jobs == [first, second]
        assert (jobs[0], jobs[-1:], len(jobs), third in jobs) == (first, [second], 2, False)
        assert repr(jobs) == repr([first, second])
        assert effects() == []

    def test_what_was_rolled_back_is_not_among_them(self):
        with captured() as jobs, transaction.atomic():
            samples.write.enqueue("a")
            transaction.set_rollback(True)
        assert jobs == []

    def test_what_a_key_gave_back_was_enqueued_before(self):
        handle = samples.write.using(idempotency_key="one")
        handle.enqueue("a")
        with captured() as jobs:
            assert not handle.enqueue("a").created
            with pytest.raises(IdempotencyConflict):
                handle.enqueue("b")
        assert jobs == []

    def test_what_cannot_travel_is_refused_as_ever(self):
        with captured() as jobs, pytest.raises(InvalidArguments, match="cannot travel as JSON"):
            samples.write.enqueue({1, 2})  # type: ignore[arg-type]
        assert jobs == []

    def test_arguments_are_what_json_made_of_them(self):
        with captured() as jobs:
            samples.remind.enqueue(date(2031, 5, 17), "a", place=("b", "c"))
        assert (jobs[0].args, jobs[0].kwargs) == (["2031-05-17", "a"], {"place": ["b", "c"]})

    def test_rows_are_as_they_are_when_they_are_looked_at(self):
        jobs = self.capture_jobs()
        samples.write.enqueue("a")
        drain()
        assert [str(job.state) for job in jobs] == ["successful"]


@override_settings(DJANGO_JOBS=OPTIONS)
class TestCapturedInATestCase(Capturing, TestCase):
    pass


@override_settings(DJANGO_JOBS=OPTIONS)
class TestCapturedCommitted(Capturing, TransactionTestCase):
    def test_nothing_runs_even_where_jobs_run_immediately(self):
        self.run_jobs_immediately()
        with captured() as jobs:
            samples.write.enqueue("a")
        assert [str(job.state) for job in jobs] == ["ready"]
        samples.write.enqueue("b")
        assert effects() == ["a", "b"]


@override_settings(DJANGO_JOBS=OPTIONS)
class TestImmediateCommitted(JobsTestMixin, TransactionTestCase):
    def test_a_job_has_run_when_enqueue_returns(self):
        self.run_jobs_immediately()
        for function in (samples.write, samples.awrite):
            job = function.enqueue(function.name)
            job.refresh()
            assert job.state == "successful"
        assert effects() == ["testing.write", "testing.awrite"]

    def test_after_the_block_nothing_runs(self):
        with immediate():
            pass
        samples.write.enqueue("a")
        assert effects() == []

    def test_a_job_runs_after_the_commit_and_not_if_there_is_none(self):
        self.run_jobs_immediately()
        with transaction.atomic():
            samples.write.enqueue("a")
            assert effects() == []
        assert effects() == ["a"]
        with transaction.atomic():
            samples.write.enqueue("b")
            transaction.set_rollback(True)
        assert effects() == ["a"]

    def test_what_a_body_enqueues_runs_after_it_and_not_inside(self):
        self.run_jobs_immediately()
        samples.fan_out.enqueue("a", "b")
        assert effects() == ["fanned out", "a", "b"]

    def test_what_is_not_due_waits(self):
        self.run_jobs_immediately()
        clock = self.freeze_clock()
        samples.write.using(run_after=60).enqueue("later")
        assert effects() == []
        clock.move(60)
        samples.write.enqueue("now")
        assert effects() == ["later", "now"]

    def test_whoever_enqueues_hears_of_no_error(self):
        self.run_jobs_immediately()
        job = samples.fail.using(max_attempts=1).enqueue("a")
        job.refresh()
        assert (job.state, job.error) == ("failed", "ValueError: a is wrong.")

    def test_the_first_error_is_raised_where_the_block_ends_if_that_is_asked_for(self):
        def enqueue_in_a_block():
            with immediate(raise_errors=True):
                samples.fail.enqueue("a")
                samples.fail.enqueue("b")

        with pytest.raises(ValueError, match="a is wrong"):
            enqueue_in_a_block()
        assert effects() == ["a 1", "b 1"]

    def test_of_a_test_case_that_end_is_the_end_of_the_test(self):
        class Case(JobsTestMixin, unittest.TestCase):
            def runTest(self):  # noqa: N802 (as unittest names it)
                self.run_jobs_immediately(raise_errors=True)
                samples.fail.enqueue("a")

        result = unittest.TestResult()
        Case().run(result)
        ((_, told),) = result.errors
        assert "a is wrong" in told

    def test_jobs_without_end_are_ended(self):
        with pytest.raises(EndlessDrain), immediate(limit=5):
            samples.again.enqueue()

    def test_a_paused_queue_stays_paused(self):
        self.run_jobs_immediately()
        queues["mail"].pause()
        samples.mail.enqueue("a")
        assert effects() == []


@override_settings(DJANGO_JOBS=OPTIONS)
class TestImmediateInATestCase(JobsTestMixin, TestCase):
    def test_nothing_is_committed_and_so_nothing_runs(self):
        self.run_jobs_immediately()
        samples.write.enqueue("a")
        assert effects() == []

    def test_jobs_run_where_callbacks_of_the_commit_run(self):
        self.run_jobs_immediately()
        with self.captureOnCommitCallbacks(execute=True):
            samples.write.enqueue("a")
            assert effects() == []
        assert effects() == ["a"]

    def test_that_holds_for_every_commit_of_a_test(self):
        self.run_jobs_immediately()
        for name in "abc":
            with self.captureOnCommitCallbacks(execute=True):
                samples.write.enqueue(name)
            assert effects()[-1] == name
        assert effects() == ["a", "b", "c"]

    def test_what_is_enqueued_in_a_callback_runs(self):
        self.run_jobs_immediately()
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: samples.write.enqueue("a"))
        assert effects() == ["a"]

    def test_a_savepoint_that_was_rolled_back_took_its_jobs_along(self):
        self.run_jobs_immediately()
        with self.captureOnCommitCallbacks(execute=True):
            with transaction.atomic():
                samples.write.enqueue("a")
                transaction.set_rollback(True)
            samples.write.enqueue("b")
        assert effects() == ["b"]
        assert Job.objects.count() == 1
