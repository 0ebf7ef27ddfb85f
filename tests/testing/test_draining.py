"""drain runs what is due as a worker would, inside of a TestCase's transaction and outside of any."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from django_jobs import Deduplicate, queues
from django_jobs.errors import EndlessDrain, InvalidOption
from django_jobs.models import Job, Worker
from django_jobs.testing import JobsTestMixin, adrain, drain
from tests.testing import samples
from tests.testing.samples import effects

OPTIONS = {"TRANSPORT": "memory:", "PREFIX": "testing"}


def states(jobs):
    return [str(job.state) for job in jobs]


def session():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings")
        return dict(cursor.fetchall())


class Draining(JobsTestMixin):
    def test_what_is_due_runs_and_its_row_tells_so(self):
        job = samples.write.enqueue("a")
        assert effects() == []
        assert drain() == [job]
        job.refresh()
        assert (job.state, job.attempt, job.starts, job.result) == ("successful", 1, 1, "A")
        assert None not in (job.started_at, job.finished_at)
        assert Worker.objects.get().dead_at is not None
        assert effects() == ["a"]

    def test_of_all_queues_priority_goes_first_and_then_who_came_first(self):
        samples.mail.enqueue("first")
        samples.write.enqueue("second")
        samples.mail.enqueue("third")
        samples.write.using(priority=5).enqueue("urgent")
        samples.write.using(priority=5, lifo=True).enqueue("newest")
        drain()
        assert effects() == ["newest", "urgent", "first", "second", "third"]

    def test_named_queues_are_emptied_in_their_order_and_others_left_alone(self):
        samples.write.using(priority=100).enqueue("default")
        samples.mail.enqueue("mail")
        drain("mail")
        assert effects() == ["mail"]
        samples.mail.enqueue("more mail")
        drain(["mail", "default"])
        assert effects() == ["mail", "more mail", "default"]

    def test_a_queue_that_nobody_knows_is_refused(self):
        with pytest.raises(InvalidOption, match=r"No queue is called 'mial'\. Did you mean 'mail'"):
            drain("mial")

    def test_a_paused_queue_is_left_alone(self):
        samples.mail.enqueue("mail")
        queues["mail"].pause()
        assert drain() == drain("mail") == []
        queues["mail"].resume()
        assert len(drain()) == 1

    def test_what_is_not_due_stays(self):
        samples.write.using(run_after=3600).enqueue("later")
        assert drain() == []

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="Only there a worker has settings for a transaction.")
    def test_the_session_is_left_as_it_was(self):
        before = session()
        samples.write.using(deduplicate=Deduplicate(key="one")).enqueue("a")
        samples.write.using(deduplicate=Deduplicate(key="one")).enqueue("b")
        assert len(drain()) == 1
        assert session() == before

    def test_what_jobs_enqueue_runs_too(self):
        samples.fan_out.enqueue("a", "b")
        assert [job.name for job in drain()] == ["testing.fan_out", "testing.write", "testing.write"]
        assert effects() == ["fanned out", "a", "b"]

    def test_an_error_is_recorded_and_what_was_written_before_it_stays(self):
        for function in (samples.fail, samples.afail):
            job = function.using(max_attempts=1).enqueue(function.name)
            assert drain() == [job]
            job.refresh()
            assert (job.state, job.error) == ("failed", f"ValueError: {function.name} is wrong.")
            (attempt,) = job.attempts.all()
            assert "is wrong" in attempt.traceback
        assert effects() == ["testing.fail 1", "testing.afail"]

    def test_the_first_error_is_raised_where_that_is_asked_for_and_recorded_all_the_same(self):
        first, second = samples.fail.enqueue("a"), samples.write.enqueue("b")
        with pytest.raises(ValueError, match="a is wrong") as caught:
            drain(raise_errors=True)
        assert f"It ended attempt 1 of job {first.id} (testing.fail)." in caught.value.__notes__
        first.refresh()
        assert (first.state, first.error) == ("ready", "ValueError: a is wrong.")
        assert states(drain(raise_errors=True)) == ["successful"]
        second.refresh()
        assert second.result == "B"

    def test_steering_is_no_error_unless_it_gives_up(self):
        jobs = [samples.steer.using(max_attempts=2).enqueue(how) for how in ("later", "snooze", "cancel")]
        assert states(drain(raise_errors=True)) == ["ready", "ready", "cancelled"]
        assert [job.attempt for job in Job.objects.filter(pk__in=[job.pk for job in jobs]).order_by("pk")] == [1, 0, 1]
        samples.steer.enqueue("give up")
        with pytest.raises(Exception, match="Hopeless"):
            drain(raise_errors=True)

    def test_a_job_under_which_a_worker_died_runs_too(self):
        job = samples.write.enqueue("a")
        Job.objects.update(suspect=True)
        assert drain() == [job]
        job.refresh()
        assert (job.state, job.suspect) == ("successful", False)

    def test_retries_at_once_are_attempts_of_one_job(self):
        samples.retried_at_once.enqueue()
        (job,) = drain()
        assert (job.state, job.attempt, job.result, job.attempts.count()) == ("successful", 3, 3, 3)

    def test_retries_with_a_backoff_wait_until_the_clock_says_so(self):
        clock = self.freeze_clock()
        job = samples.fail.enqueue("a")
        drain()
        assert drain() == []
        clock.move(59)
        assert drain() == []
        clock.move(1)
        assert drain() == [job]
        clock.move(timedelta(minutes=2))
        assert states(drain()) == ["failed"]
        assert effects() == ["a 1", "a 2", "a 3"]

    def test_time_passes_from_one_due_time_to_the_next_until_the_end_is_reached(self):
        clock = self.freeze_clock()
        start = clock.now()
        failed, late = samples.fail.enqueue("a"), samples.write.using(run_after=90.0005).enqueue("b")
        samples.write.using(run_after=timedelta(days=1)).enqueue("c")
        assert drain(until=timedelta(hours=1)) == [failed, late]
        assert clock.now() == start + timedelta(hours=1)
        failed.refresh()
        assert (failed.state, failed.attempt) == ("failed", 3)
        assert failed.finished_at == start + timedelta(seconds=180)
        assert effects() == ["a 1", "a 2", "b", "a 3"]
        assert states(drain(until=start + timedelta(days=2))) == ["successful"]

    def test_without_a_frozen_clock_no_time_can_pass(self):
        with pytest.raises(InvalidOption, match="needs a FrozenClock"):
            drain(until=60)

    def test_a_job_that_was_not_started_in_time_has_expired(self):
        clock = self.freeze_clock()
        job = samples.write.using(expires=60).enqueue("a")
        clock.move(61)
        assert drain() == []
        job.refresh()
        assert (job.state, effects()) == ("cancelled", [])

    def test_jobs_without_end_are_ended_with_the_name_of_who_does_it(self):
        samples.again.enqueue()
        with pytest.raises(EndlessDrain, match=r"20 attempts, and testing.again is due: .* testing.again \(20 times\)"):
            drain(limit=20)
        (left,) = Job.objects.ready()
        assert (left.attempt, left.starts) == (0, 0)

    def test_a_limit_that_is_just_reached_is_no_error(self):
        samples.write.enqueue("a")
        assert len(drain(limit=1)) == 1

    def test_what_is_rolled_back_around_a_drain_never_was(self):
        job = samples.write.enqueue("a")
        with transaction.atomic():
            drain()
            transaction.set_rollback(True)
        job.refresh()
        assert (job.state, effects()) == ("ready", [])

    async def test_an_async_test_drains_too(self):
        await samples.awrite.aenqueue("a")
        await samples.write.aenqueue("b")
        assert states(await adrain()) == ["successful"] * 2
        assert [job.result async for job in Job.objects.order_by("pk")] == ["A", "B"]


@override_settings(DJANGO_JOBS=OPTIONS)
class TestInATestCase(Draining, TestCase):
    def test_the_transaction_is_still_that_of_the_test(self):
        samples.write.enqueue("a")
        drain()
        assert connection.in_atomic_block
        assert not connection.needs_rollback

    def test_callbacks_that_the_test_left_are_not_run(self):
        ran = []
        transaction.on_commit(lambda: ran.append("test"))
        samples.at_commit.enqueue("a")
        drain()
        assert ran == []
        assert effects() == ["a", "a is committed"]

    def test_callbacks_that_a_drain_has_run_are_not_run_again(self):
        with self.captureOnCommitCallbacks(execute=True):
            samples.at_commit.enqueue("a")
            drain()
        assert effects() == ["a", "a is committed"]


@override_settings(DJANGO_JOBS=OPTIONS)
class TestCommitted(Draining, TransactionTestCase):
    def test_nothing_is_left_open(self):
        samples.write.enqueue("a")
        drain()
        assert not connection.in_atomic_block
