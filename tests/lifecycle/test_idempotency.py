"""A key is promised once: twice the same key gives the same row, whatever has become of it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unicodedata import normalize

import pytest
from django.db import connection, transaction

from django_jobs import Deduplicate, enqueue_many, remove, retry
from django_jobs.errors import IdempotencyConflict
from django_jobs.models import Job
from django_jobs.states import State
from tests.rows import columns, fresh, now
from tests.samples import mail, note

pytestmark = pytest.mark.django_db


def test_the_second_call_gets_the_row_of_the_first():
    first = note.using(idempotency_key="order 7").enqueue(7)
    second = note.using(idempotency_key="order 7").enqueue(7)
    assert (first.created, second.created) == (True, False)
    assert columns(second) == columns(fresh(first))
    assert Job.objects.count() == 1


@pytest.mark.parametrize("state", State)
def test_the_row_is_given_back_in_any_state(state):
    first = note.using(idempotency_key="order 7").enqueue(7)
    Job.objects.filter(pk=first.pk).update(state=state)
    second = note.using(idempotency_key="order 7").enqueue(7)
    assert (second.pk, second.state, second.created) == (first.pk, state, False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Order", "order"),
        ("résumé", "resume"),
        ("order", "order "),
        ("order", " order"),
        ("order", "order\t"),
        (normalize("NFC", "é"), normalize("NFD", "é")),
        ("straße", "strasse"),
        ("ß", "ss"),
        ("1", "１"),  # noqa: RUF001 (that is the point)
        ("😀", "😁"),
        ("a", "a\u200b"),
    ],
    ids=ascii,
)
def test_keys_that_only_look_alike_are_different(one, other):
    jobs = [note.using(idempotency_key=key).enqueue() for key in (one, other)]
    assert all(job.created for job in jobs)
    assert [fresh(job).idempotency_key for job in jobs] == [one, other]


def flat(parameters: Any) -> Iterator[Any]:
    for each in parameters or ():
        if isinstance(each, list | tuple):
            yield from flat(each)
        else:
            yield each.lower() if isinstance(each, str) else each


@pytest.mark.parametrize("kind", ["idempotency_key", "deduplicate"])
def test_keys_of_a_bulk_are_taken_in_one_order_so_that_two_bulks_cannot_deadlock(kind: str):
    keys = [f"order {number}" for number in range(20)]
    requests = [
        (
            note.using(idempotency_key=key)
            if kind == "idempotency_key"
            else note.using(deduplicate=Deduplicate(key=key))
        ).request(key)
        for key in keys
    ]
    sent: list[Any] = []

    def listen(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT"):
            sent.extend(flat(parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(listen):
        jobs = enqueue_many(requests)
    assert [job.args for job in jobs] == [[key] for key in keys]
    column = "key_digest" if kind == "idempotency_key" else "deduplication_digest"
    digests = [bytes(digest) for digest in Job.objects.values_list(column, flat=True)]
    # Some databases get them as hexadecimal digits.
    places = {digest: sent.index(digest if digest in sent else digest.hex()) for digest in digests}
    assert sorted(digests, key=places.__getitem__) == sorted(digests)
    assert len(digests) == len(keys)


def test_keys_that_only_look_alike_are_different_in_one_bulk():
    keys = ["order", "Order", "órder", "order ", "ORDER"]
    jobs = enqueue_many(note.using(idempotency_key=key).request() for key in keys)
    assert all(job.created for job in jobs)
    assert len({job.pk for job in jobs}) == len(keys)


def test_a_key_belongs_to_the_name_of_its_job():
    jobs = [function.using(idempotency_key="7").enqueue("a@example.org") for function in (note, mail)]
    assert all(job.created for job in jobs)


def test_the_longest_key_is_kept_whole():
    key = "🗝" * 1000
    assert fresh(note.using(idempotency_key=key).enqueue()).idempotency_key == key
    assert not note.using(idempotency_key=key).enqueue().created
    assert note.using(idempotency_key=key[:-1]).enqueue().created


def test_the_same_key_with_other_arguments_is_a_conflict_that_names_both():
    first = note.using(idempotency_key="order 7").enqueue(7)
    with pytest.raises(IdempotencyConflict) as caught:
        note.using(idempotency_key="order 7").enqueue(8)
    for part in ("'order 7'", "'samples.note'", str(first.pk), "[[7],{}]", "[[8],{}]"):
        assert part in str(caught.value)


def test_the_order_of_keyword_arguments_is_no_difference():
    note.using(idempotency_key="order 7").enqueue(a=1, b={"x": 1, "y": 2})
    assert not note.using(idempotency_key="order 7").enqueue(b={"y": 2, "x": 1}, a=1).created


@pytest.mark.parametrize("others", [(True,), (1.0,), ("1",)])
def test_arguments_that_are_equal_in_python_alone_are_a_conflict(others):
    note.using(idempotency_key="order 7").enqueue(1)
    with pytest.raises(IdempotencyConflict):
        note.using(idempotency_key="order 7").enqueue(*others)


def test_the_conflict_can_be_turned_off(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "IDEMPOTENCY_CHECKS_ARGUMENTS": False}
    first = note.using(idempotency_key="order 7").enqueue(7)
    second = note.using(idempotency_key="order 7").enqueue(8)
    assert (second.pk, second.created, second.args) == (first.pk, False, [7])


def test_a_conflict_leaves_the_callers_transaction_usable():
    note.using(idempotency_key="order 7").enqueue(7)
    with transaction.atomic():
        with pytest.raises(IdempotencyConflict):
            note.using(idempotency_key="order 7").enqueue(8)
        other = note.enqueue()
    assert Job.objects.filter(pk=other.pk).exists()


def test_a_conflict_in_a_bulk_stores_nothing_of_it():
    note.using(idempotency_key="order 7").enqueue(7)
    with pytest.raises(IdempotencyConflict):
        enqueue_many([note.request(), note.using(idempotency_key="order 7").request(8)])
    assert Job.objects.count() == 1


def test_duplicates_in_a_bulk_are_told_for_each_item():
    stored = note.using(idempotency_key="stored").enqueue()
    keys = ["stored", "a", None, "a", "b", "stored", None, "b"]
    jobs = enqueue_many(note.using(idempotency_key=key).request() for key in keys)
    assert [job.created for job in jobs] == [False, True, True, False, True, False, True, False]
    assert [job.idempotency_key for job in jobs] == keys
    assert jobs[0].pk == jobs[5].pk == stored.pk
    assert (jobs[3].pk, jobs[7].pk) == (jobs[1].pk, jobs[4].pk)
    assert Job.objects.count() == 5


def test_duplicates_far_apart_in_a_bulk_are_told_too():
    keys = [str(number) for number in range(1500)]
    jobs = enqueue_many(note.using(idempotency_key=key).request() for key in [*keys, *keys])
    assert [job.created for job in jobs] == [True] * 1500 + [False] * 1500
    assert [job.pk for job in jobs[1500:]] == [job.pk for job in jobs[:1500]]


def test_a_duplicate_in_a_bulk_with_other_arguments_is_a_conflict():
    with pytest.raises(IdempotencyConflict):
        enqueue_many([note.using(idempotency_key="a").request(1), note.using(idempotency_key="a").request(2)])
    assert Job.objects.count() == 0


def test_a_key_is_promised_for_its_time():
    first = note.using(idempotency_key="a", idempotency_ttl=60).enqueue()
    assert first.key_expires_at == first.enqueued_at + timedelta(seconds=60)
    assert not note.using(idempotency_key="a", idempotency_ttl=60).enqueue().created


def test_a_key_past_its_time_is_taken_over_and_the_old_row_stays():
    first = note.using(idempotency_key="a", idempotency_ttl=60).enqueue(1)
    Job.objects.update(key_expires_at=now() - timedelta(seconds=1))
    second = note.using(idempotency_key="a").enqueue(2)
    assert second.created
    assert second.pk != first.pk
    old = fresh(first)
    assert (old.key_digest, old.idempotency_key, old.state) == (None, "a", State.READY)
    assert note.using(idempotency_key="a").enqueue(2).pk == second.pk


def test_a_key_without_a_time_is_promised_as_long_as_the_row_is_kept():
    first = note.using(idempotency_key="a").enqueue()
    assert first.key_expires_at is None
    Job.objects.update(state=State.SUCCESSFUL, finished_at=now() - timedelta(days=3650))
    assert not note.using(idempotency_key="a").enqueue().created
    remove(first)
    assert note.using(idempotency_key="a").enqueue().created


def test_a_ttl_of_zero_promises_nothing():
    first = note.using(idempotency_key="a", idempotency_ttl=0).enqueue()
    assert note.using(idempotency_key="a", idempotency_ttl=0).enqueue().pk != first.pk


def test_a_ttl_without_a_key_means_nothing():
    job = note.using(idempotency_ttl=60).enqueue()
    assert (job.idempotency_key, job.key_digest, job.key_expires_at) == (None, None, None)


def test_a_job_that_is_run_again_keeps_its_key():
    first = note.using(idempotency_key="a").enqueue()
    Job.objects.update(state=State.FAILED)
    assert retry(first) == 1
    assert not note.using(idempotency_key="a").enqueue().created
