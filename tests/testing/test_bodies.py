"""What a body does in a drain comes out as in a worker, inside of a TestCase's transaction and outside of any."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils import translation

from django_jobs import job
from django_jobs.errors import JobTimeout
from django_jobs.models import Job
from django_jobs.testing import JobsTestMixin, drain, draining
from tests.testing import samples
from tests.testing.samples import effects
from tests.testing.test_draining import OPTIONS, states
from tests.threads import elsewhere


class Bodies(JobsTestMixin):
    def test_an_async_body_sees_what_the_test_wrote_and_the_test_what_it_wrote(self):
        samples.write("before")
        job = samples.awrite.enqueue("a")
        assert states(drain()) == ["successful"]
        job.refresh()
        assert job.result == "A"
        assert effects() == ["before", "a"]

    def test_callbacks_of_a_bodys_commits_run_once_it_is_over(self):
        job = samples.at_commit.enqueue("a")
        drain()
        job.refresh()
        assert job.state == "successful"
        assert effects() == ["a", "a is committed"]

    def test_a_callback_that_fails_is_an_error_of_the_body(self):
        job = samples.at_commit.enqueue("a", error="Nobody listens.")
        drain()
        job.refresh()
        assert (job.state, job.error) == ("failed", "ValueError: Nobody listens.")

    def test_a_robust_callback_that_fails_is_none(self):
        samples.at_commit_robustly.enqueue()
        with self.assertLogs("django", "ERROR") as logs:
            assert states(drain()) == ["successful"]
        assert "Nobody listens." in "".join(logs.output)

    def test_what_a_body_leaves_active_is_gone_with_it(self):
        for function in (samples.speak_german, samples.aspeak_german):
            function.enqueue()
        assert states(drain()) == ["successful"] * 2
        assert translation.get_language() == "en-us"

    def test_an_atomic_job_is_whole_or_has_left_nothing(self):
        jobs = [samples.whole.enqueue("a"), samples.whole.enqueue("b", error="No.")]
        assert states(drain()) == ["successful", "failed"]
        assert effects() == ["a"]
        assert jobs

    def test_a_broken_transaction_breaks_nothing_but_its_own_part(self):
        samples.write.enqueue("before")
        broken = samples.break_transaction.enqueue("twice")
        swallowed = samples.swallow_database_error.enqueue("unheard")
        samples.write.enqueue("after")
        drain()
        broken.refresh()
        swallowed.refresh()
        assert (broken.state, swallowed.state) == ("failed", "successful")
        assert "IntegrityError" in broken.error
        assert [name for name in effects() if name != "twice"] == ["before", "after"]

    def test_a_timeout_is_kept(self):
        job = samples.wait_long.enqueue()
        with pytest.raises(JobTimeout, match="longer than its timeout"):
            drain(raise_errors=True)
        job.refresh()
        assert job.state == "failed"

    def test_an_interrupt_is_for_who_runs_the_test_and_the_job_goes_back(self):
        job = samples.steer.enqueue("interrupt")
        with pytest.raises(KeyboardInterrupt):
            drain()
        job.refresh()
        assert (job.state, job.attempt, job.starts) == ("ready", 0, 1)

    def test_an_exit_is_an_error_of_the_job_alone(self):
        samples.steer.enqueue("exit")
        assert states(drain()) == ["failed"]

    def test_batches_are_gathered_from_what_is_due(self):
        for name in "abcde":
            samples.together.enqueue(name)
        assert states(drain()) == ["successful"] * 5
        assert effects() == ["a+b+c", "d+e"]

    def test_members_of_a_batch_are_alike_and_one_of_no_kind_fails_alone(self):
        jobs = [samples.by_kind.enqueue(name) for name in ("a", "b", "A", "none")]
        Job.objects.filter(pk=jobs[-1].pk).update(arguments="[[null],{}]")
        drain()
        assert states(Job.objects.get(pk=job.pk) for job in jobs) == ["successful"] * 3 + ["failed"]
        assert effects() == ["a+A", "b"]

    def test_only_alike_jobs_share_a_body(self):
        for name, to in (("a", 1), ("b", 2), ("c", 1)):
            samples.alike.enqueue(name, to=to)
        assert states(drain()) == ["successful"] * 3
        assert effects() == ["a+c", "b"]

    def test_a_body_with_a_sandbox_runs_here(self):
        samples.shut_in.enqueue("a")
        assert states(drain()) == ["successful"]
        assert effects() == ["a"]

    def test_what_a_body_tells_of_itself_is_kept(self):
        samples.report.enqueue(3)
        (job,) = drain()
        assert job.result == {"step": 3, "attempt": 1}
        assert job.progress is not None
        assert (job.progress.current, [line.text for line in job.log], job.data) == (3, ["Counted."], {"total": 3})

    def test_tasks_of_django_run_too(self):
        results = [samples.shout.enqueue("a"), samples.ashout.enqueue("b")]
        drain()
        for each in results:
            each.refresh()
        assert [each.return_value for each in results] == ["A", "B 0"]


@override_settings(DJANGO_JOBS=OPTIONS)
class TestInATestCase(Bodies, TestCase):
    pass


@override_settings(DJANGO_JOBS=OPTIONS)
class TestCommitted(Bodies, TransactionTestCase):
    pass


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for all rows")
@pytest.mark.django_db(transaction=True)
def test_the_end_of_a_body_waits_for_who_has_locked_the_row(monkeypatch, settings):
    settings.DJANGO_JOBS = OPTIONS

    @job(name="testing.be_locked", takes_context=True)
    def be_locked(context):
        locks.enter_context(elsewhere(lambda: Job.objects.select_for_update().get(pk=context.id)))

    be_locked.enqueue()
    with ExitStack() as locks:
        monkeypatch.setattr(draining, "time", SimpleNamespace(sleep=lambda seconds: locks.close()))
        assert states(drain()) == ["successful"]
