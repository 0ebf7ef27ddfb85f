"""Assertions about what was enqueued; a failure shows what comes nearest."""

import unittest
from datetime import UTC, date, datetime, timedelta
from unittest.mock import ANY

import pytest
from django.test import TestCase, override_settings

from django_jobs import Deduplicate, Exponential
from django_jobs.errors import InvalidArguments, InvalidOption
from django_jobs.testing import JobsTestMixin, assert_enqueued, assert_nothing_enqueued, drain, enqueued
from tests.testing import samples
from tests.testing.test_draining import OPTIONS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def transport(settings):
    settings.DJANGO_JOBS = OPTIONS


def failure_of(act, *args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        act(*args, **kwargs)
    return str(caught.value)


def test_a_job_is_found_by_its_function_and_its_arguments():
    job = samples.mail.enqueue("ada@example.org", copies=2)
    assert assert_enqueued(samples.mail) == [job]
    assert assert_enqueued(samples.mail, "ada@example.org", 2) == [job]
    assert_nothing_enqueued(samples.write)
    assert_nothing_enqueued(samples.mail, "ada@example.org")
    assert (enqueued(), enqueued(samples.mail), enqueued(samples.mail, "bob@example.org")) == ([job], [job], [])


def test_it_does_not_matter_how_arguments_were_passed_and_whether_defaults_were_said():
    samples.mail.enqueue(address="ada@example.org")
    assert_enqueued(samples.mail, "ada@example.org")
    assert_enqueued(samples.mail, "ada@example.org", copies=1)


def test_arguments_are_compared_as_json_has_them():
    samples.remind.enqueue(date(2031, 5, 17), "a", "b", place=("x", {"at": datetime(2031, 5, 17, tzinfo=UTC)}))
    place = ["x", {"at": datetime(2031, 5, 17, tzinfo=UTC)}]
    assert_enqueued(samples.remind, date(2031, 5, 17), "a", "b", place=place)
    assert_enqueued(samples.remind, "2031-05-17", "a", "b", place=["x", {"at": "2031-05-17T00:00:00Z"}])
    assert_nothing_enqueued(samples.remind, date(2031, 5, 18), "a", "b", place=place)


def test_a_matcher_stands_for_what_it_matches():
    samples.remind.enqueue(date(2031, 5, 17), place={"x": 1, "y": [2]})
    assert_enqueued(samples.remind, ANY, place={"x": 1, "y": [ANY]})


def test_what_using_says_is_compared_too():
    samples.write.using(
        queue_name="mail",
        priority=5,
        run_after=timedelta(minutes=1),
        expires=120,
        max_attempts=3,
        backoff=Exponential(2),
        timeout=30,
        metadata={"order": 42},
        idempotency_key="a",
    ).enqueue("a")
    for said in (
        {"queue_name": "mail", "priority": 5},
        {"run_after": 60, "expires": timedelta(minutes=2)},
        {"backoff": Exponential(2), "timeout": 30, "max_attempts": 3},
        {"metadata": {"order": 42}, "idempotency_key": "a"},
    ):
        assert_enqueued(samples.write.using(**said), "a")
    for other in ({"priority": 4}, {"run_after": 61}, {"backoff": Exponential(3)}, {"metadata": {"order": 43}}):
        assert_nothing_enqueued(samples.write.using(**other), "a")


def test_a_moment_is_compared_as_such():
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    samples.write.using(run_after=tomorrow).enqueue("a")
    assert_enqueued(samples.write.using(run_after=tomorrow))
    assert_nothing_enqueued(samples.write.using(run_after=tomorrow + timedelta(seconds=1)))


def test_tasks_of_django_are_found_as_well():
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    samples.shout.using(queue_name="mail", priority=3, run_after=tomorrow).enqueue("a")
    assert_enqueued(samples.shout.using(queue_name="mail", priority=3, run_after=tomorrow), "a")
    assert_nothing_enqueued(samples.shout, "a")


def test_a_row_under_a_former_name_is_one_of_the_job():
    job = samples.speak_german.enqueue()
    type(job).objects.update(name="testing.speak")
    assert_enqueued(samples.speak_german)


def test_jobs_that_have_run_were_enqueued_all_the_same():
    samples.write.enqueue("a")
    drain()
    assert_enqueued(samples.write, "a")


def test_they_are_counted():
    for name in "aab":
        samples.write.enqueue(name)
    assert_enqueued(samples.write, "a", times=2)
    assert_enqueued(samples.write, times=3)
    assert failure_of(assert_enqueued, samples.write, "a", times=1).startswith(
        "Enqueued 2 times, not 1 time: testing.write('a')\nStored: 3 jobs, the nearest first:\n"
    )


def test_a_failure_shows_what_is_there_and_the_nearest_first():
    samples.write.enqueue("x")
    samples.mail.using(queue_name="default").enqueue("bob@example.org")
    samples.mail.enqueue("bob@example.org", 3)
    samples.mail.using(priority=7).enqueue("bob@example.org")
    wanted = samples.mail.using(queue_name="mail")
    assert failure_of(assert_enqueued, wanted, "ada@example.org").splitlines() == [
        "Not enqueued: testing.mail('ada@example.org') with queue_name='mail'",
        "Stored: 4 jobs, the nearest first:",
        "  testing.mail('bob@example.org') on 'mail', ready, priority 7: "
        "address is 'bob@example.org', not 'ada@example.org'",
        "  testing.mail('bob@example.org') on 'default', ready: "
        "address is 'bob@example.org', not 'ada@example.org'; queue_name is 'default', not 'mail'",
        "  testing.mail('bob@example.org', 3) on 'mail', ready: "
        "address is 'bob@example.org', not 'ada@example.org'; copies is 3, not 1",
        "  testing.write('x') on 'default', ready",
    ]


def test_a_failure_tells_when_a_job_is_due():
    job = samples.write.using(run_after=60).enqueue("a")
    due = job.run_after.isoformat()
    told = failure_of(assert_enqueued, samples.write.using(run_after=30))
    assert f"testing.write('a') on 'default', ready, due at {due}: run_after is {due}, not " in told


def test_a_failure_hides_what_is_sensitive():
    samples.mail.enqueue("ada@example.org", password="secret")
    told = failure_of(assert_enqueued, samples.mail, "ada@example.org", password="other secret")
    assert "secret" not in told
    assert "password is another, [hidden]" in told


def test_a_failure_shows_no_more_than_one_can_read():
    for number in range(15):
        samples.write.enqueue(str(number))
    lines = failure_of(assert_enqueued, samples.mail).splitlines()
    assert (len(lines), lines[-1]) == (13, "  and 5 more")


def test_where_nothing_is_a_failure_says_so():
    assert failure_of(assert_enqueued, samples.mail).endswith(
        "No job is stored at all. Was the transaction rolled back?"
    )


def test_nothing_enqueued_means_nothing():
    assert_nothing_enqueued()
    samples.write.enqueue("a")
    assert failure_of(assert_nothing_enqueued) == (
        "Something was enqueued.\nStored: 1 job:\n  testing.write('a') on 'default', ready"
    )
    assert failure_of(assert_nothing_enqueued, samples.write, "a").startswith("Enqueued 1 time, not 0 times")


def test_a_row_from_before_a_change_of_the_signature_is_no_match():
    job = samples.mail.enqueue("ada@example.org")
    type(job).objects.filter(pk=job.pk).update(arguments='[[],{"former":1}]')
    assert "its arguments do not fit" in failure_of(assert_enqueued, samples.mail, "ada@example.org")


def test_a_call_that_cannot_be_is_an_error_of_the_test():
    with pytest.raises(InvalidArguments, match=r"testing.mail\(.* cannot be called like this: .*'copys'"):
        assert_nothing_enqueued(samples.mail, "ada@example.org", copys=2)
    with pytest.raises(InvalidOption, match="no row tells deduplicate"):
        assert_enqueued(samples.write.using(deduplicate=Deduplicate()))
    with pytest.raises(InvalidOption, match="is neither a @job nor a @task"):
        assert_enqueued(samples.effects)  # type: ignore[arg-type]


@override_settings(DJANGO_JOBS=OPTIONS)
class TestMethods(JobsTestMixin, TestCase):
    def test_they_are_those_of_unittest(self):
        self.assertNothingEnqueued()
        job = samples.write.enqueue("a")
        assert self.assertEnqueued(samples.write, "a", times=1) == [job]
        assert "Not enqueued: testing.write('b')" in failure_of(self.assertEnqueued, samples.write, "b")

    def test_a_traceback_ends_where_the_test_asserts(self):
        result = unittest.TestResult()

        class Case(JobsTestMixin, unittest.TestCase):
            def runTest(self):  # noqa: N802 (as unittest names it)
                self.assertEnqueued(samples.write, "b")

        Case().run(result)
        ((_, told),) = result.failures
        assert "in runTest" in told
        assert "in assertEnqueued" not in told
