"""Getters: jobs by what is known of them, and counts that are exact for what lives and bounded for what has ended."""

from datetime import timedelta

import pytest

from django_jobs import Job, enqueue_many, handles, job, queues, remove
from django_jobs.definitions.metadata import Fact
from django_jobs.handles import CappedCount
from django_jobs.models import Attempt, Metadata
from django_jobs.states import ENDED, State
from tests.rows import HOUR, now, put, worker
from tests.samples import mail, note

pytestmark = pytest.mark.django_db


def found(jobs):
    return set(jobs.values_list("pk", flat=True))


def test_jobs_are_found_by_their_metadata():
    mine = note.using(metadata={"customer": 42, "plan": "gold", "paid": True}).enqueue()
    other = note.using(metadata={"customer": 421, "plan": "gold", "paid": False}).enqueue()
    note.enqueue()
    assert found(Job.objects.with_metadata(customer=42)) == {mine.pk}
    assert found(Job.objects.with_metadata(customer="42")) == {mine.pk}
    assert found(Job.objects.with_metadata(plan="gold")) == {mine.pk, other.pk}
    assert found(Job.objects.with_metadata(plan="gold", paid=False)) == {other.pk}
    assert found(Job.objects.with_metadata(plan="Gold")) == set()
    assert found(Job.objects.with_metadata(plan="gold").filter(name="samples.mail")) == set()


def test_metadata_stays_with_the_row_as_it_was_given():
    facts: dict[str, Fact] = {"customer": 42, "rate": 1.5, "paid": True, "name": 'Zoë "x" <b>'}
    row = note.using(metadata=facts).enqueue()
    assert row.metadata == Job.objects.get(pk=row.pk).metadata == facts
    assert note.enqueue().metadata == {}


def test_a_function_and_a_queue_may_say_it_and_the_call_counts_first(settings):
    @job(name="getters.tagged", metadata={"team": "shop"})
    def tagged(): ...

    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"default": {"METADATA": {"team": "all"}}}}
    assert tagged.enqueue().metadata == {"team": "shop"}
    assert tagged.using(metadata={"customer": 1}).enqueue().metadata == {"customer": 1}
    assert note.enqueue().metadata == {"team": "all"}


def test_jobs_with_and_without_metadata_are_stored_together():
    requests = [note.using(metadata={"n": 1}).request(), note.using(keep=60).request(), mail.request("x")]
    jobs = enqueue_many(requests * 2)
    assert [each.metadata for each in jobs] == [{"n": 1}, {}, {}] * 2
    assert Metadata.objects.count() == 2


def test_a_job_that_was_there_already_keeps_its_metadata():
    first = note.using(idempotency_key="a", metadata={"n": 1}).enqueue()
    again = note.using(idempotency_key="a", metadata={"n": 2}).enqueue()
    assert (again.pk, again.metadata) == (first.pk, {"n": 1})
    assert found(Job.objects.with_metadata(n=2)) == set()


def test_metadata_goes_with_its_job():
    remove(note.using(metadata={"n": 1}).enqueue())
    assert not Metadata.objects.exists()


def test_jobs_are_found_by_the_class_of_an_error():
    failed, other = put(State.FAILED), put(State.FAILED)
    for row, path in ((failed, "builtins.ValueError"), (failed, "builtins.ValueError"), (other, "builtins.TypeError")):
        Attempt.objects.create(job=row, number=1, finished_at=now(), outcome="failed", error_class=path)
    assert found(Job.objects.failed().with_error("builtins.ValueError")) == {failed.pk}
    assert Job.objects.with_error("builtins.ValueError").count() == 1


def test_jobs_are_found_by_when_they_were_enqueued():
    row = note.enqueue()
    moment = Job.objects.get(pk=row.pk).enqueued_at
    assert found(Job.objects.enqueued_between(moment, moment + HOUR)) == {row.pk}
    assert found(Job.objects.enqueued_between(moment - HOUR, moment)) == set()
    assert found(Job.objects.enqueued_between(moment - 48 * HOUR, moment - 24 * HOUR)) == set()


def test_jobs_that_run_on_the_dead_are_stalled():
    alive, dead = worker(), worker(dead_at=now())
    put(State.RUNNING, owner=alive), put(owner=None)
    stalled = {put(State.RUNNING, owner=dead).pk, put(State.RUNNING).pk}
    assert found(Job.objects.stalled()) == stalled


def ended(number: int) -> None:
    for state in ENDED:
        for _ in range(number):
            put(state, keep_until=now() + HOUR)


def test_what_has_ended_is_counted_as_far_as_it_is_bounded(monkeypatch):
    ended(4)
    put(State.FAILED, queue_name="mail", keep_until=now())
    counts = queues["default"].counts()
    assert (counts.successful, counts.failed, counts.cancelled) == (4, 4, 4)
    monkeypatch.setattr(handles, "MOST_COUNTED", 3)
    failed = queues["default"].counts().failed
    assert failed == 3
    assert str(failed) == "3+"
    exact = queues["default"].counts(exact=True).failed
    assert (exact, str(exact)) == (4, "4")


def test_a_bounded_count_is_told_with_a_plus():
    assert str(CappedCount(100_000, has_more=True)) == "100,000+"
    assert f"{CappedCount(100_000)}" == "100,000"
    assert CappedCount(5) + 1 == 6


def test_what_waits_is_counted_by_priority():
    put(priority=5), put(priority=5, run_after=now() + HOUR), put(), put(State.RUNNING), put(queue_name="mail")
    assert queues["default"].counts_by_priority() == {5: 2, 0: 1}
    assert list(queues["default"].counts_by_priority()) == [5, 0]
    assert queues["nothing"].counts_by_priority() == {}


@pytest.mark.parametrize("fields", [{}, {"lifo": True}, {"suspect": True}, {"priority": -7}], ids=str)
def test_the_oldest_due_job_is_found_wherever_it_stands(fields):
    put(run_after=now() - HOUR, priority=90), put(run_after=now() - HOUR, lifo=True)
    put(run_after=now() - 3 * HOUR, **fields), put(run_after=now() + HOUR, **fields)
    age = queues["default"].oldest_age()
    assert age is not None
    assert abs(age - 3 * HOUR) < timedelta(seconds=5)
