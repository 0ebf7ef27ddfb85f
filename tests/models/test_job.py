"""What a row tells, and what the tables promise on every database."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from django_jobs.definitions.arguments import key_digest
from django_jobs.models import Attempt, Chore, Job, Queue, Worker
from django_jobs.states import ALIVE, ENDED, State
from tests.rows import HOUR, fresh, new, now, put, worker

pytestmark = pytest.mark.django_db


def test_the_querysets_divide_the_jobs_by_what_they_wait_for():
    jobs = {state: put(state) for state in State}
    scheduled, retrying = put(run_after=now() + HOUR), put(run_after=now() + HOUR, attempt=1)
    assert list(Job.objects.ready()) == [jobs[State.READY]]
    assert set(Job.objects.scheduled()) == {scheduled, retrying}
    assert list(Job.objects.retrying()) == [retrying]
    for state in set(State) - {State.READY}:
        assert list(getattr(Job.objects, state.value)()) == [jobs[state]]
    assert set(Job.objects.alive()) == {jobs[state] for state in ALIVE} | {scheduled, retrying}
    assert set(Job.objects.ended()) == {jobs[state] for state in ENDED}


def test_what_was_due_a_moment_ago_is_ready_and_what_will_be_in_a_moment_is_not():
    put(run_after=now() - timedelta(milliseconds=50)), put(run_after=now() + timedelta(seconds=5))
    assert (Job.objects.ready().count(), Job.objects.scheduled().count()) == (1, 1)


@pytest.mark.parametrize("state", State)
def test_a_job_tells_whether_it_has_ended(state):
    assert new(state).is_finished == (state in ENDED)


def test_a_job_tells_what_it_waits_for():
    present = now()
    phases = [new(run_after=present + HOUR), new(run_after=present + HOUR, attempt=1), new(), new(State.FAILED)]
    assert [job.phase(present) for job in phases] == ["scheduled", "retrying", "ready", "failed"]


def test_a_job_tells_its_call_and_its_result():
    job = put(arguments='[[1,"zwei"],{"drei":3}]', result_text='{"vier":[4]}')
    row = fresh(job)
    assert (row.args, row.kwargs, row.result) == ([1, "zwei"], {"drei": 3}, {"vier": [4]})
    assert new().result is None
    assert str(row) == f"samples.note {row.pk}"
    assert row.pk.hex.endswith(row.short_id)


def test_numbers_and_the_order_of_keys_are_kept_as_they_were_written():
    text = '[[1.10,1e2,10000000000000000000000001],{"b":1,"a":2}]'
    assert fresh(put(arguments=text)).arguments == text


def test_a_key_digest_stands_in_one_row():
    digest = key_digest("samples.note", "a")
    put(key_digest=digest)
    with pytest.raises(IntegrityError), transaction.atomic():
        put(key_digest=digest)
    assert bytes(Job.objects.get(key_digest=digest).key_digest) == digest


def test_any_number_of_rows_have_no_key():
    put(), put()
    assert Job.objects.filter(key_digest=None).count() == 2


@pytest.mark.parametrize(("one", "other"), [("Mail", "mail"), ("é", "e"), ("ß", "ss")])
@pytest.mark.parametrize("field", ["name", "queue_name", "group"])
def test_names_are_equal_byte_for_byte(field, one, other):
    job = put(**{field: one})
    assert list(Job.objects.filter(**{field: one})) == [job]
    assert not Job.objects.filter(**{field: other}).exists()


def test_names_of_queues_are_unique_byte_for_byte():
    for name in ("mail", "Mail", "máil"):
        Queue.objects.create(name=name)
    with pytest.raises(IntegrityError), transaction.atomic():
        Queue.objects.create(name="mail")


@pytest.mark.django_db(transaction=True)
def test_an_attempt_asks_for_no_row_of_its_job():
    """A real foreign key would lock the job while the attempt is written."""
    job = put()
    attempt = Attempt.objects.create(job=job, number=1, finished_at=now(), outcome="failed")
    Job.objects.filter(pk=job.pk)._raw_delete("default")
    attempt.refresh_from_db()
    assert attempt.job_id == job.pk
    attempt.delete()


def test_the_attempts_of_a_job_come_in_order():
    job = put(State.FAILED)
    for number in (1, 2, 3):
        Attempt.objects.create(job=job, number=number, finished_at=now(), outcome="failed")
    assert [str(attempt) for attempt in job.attempts.all()] == [f"attempt {number}: failed" for number in (1, 2, 3)]


def test_rows_say_what_they_are():
    assert str(Worker.objects.get(pk=worker(host="web-1", pid=7))) == "web-1:7"
    assert str(Queue(name="mail")) == "mail"
    assert str(Chore(name="sweep")) == "sweep"


def test_indexes_cover_only_what_their_query_asks_for_where_the_database_can():
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, Job._meta.db_table)
    indexes = {name: each for name, each in constraints.items() if name.startswith("django_jobs_") and each["index"]}
    expected = {index.name: index for index in Job._meta.indexes}
    assert set(expected) <= set(indexes)
    partial = connection.features.supports_partial_indexes
    for name, index in expected.items():
        assert indexes[name]["columns"] == list(index.fields if partial else index.otherwise)
        assert indexes[name]["unique"] == index.unique


def test_the_largest_texts_fit():
    text = "é" * 300_000
    job = put(arguments=f'[["{text}"],{{}}]', result_text=f'"{text}"', idempotency_key="k" * 1000, error="e" * 500)
    row = fresh(job)
    assert (row.args, row.result) == ([text], text)
