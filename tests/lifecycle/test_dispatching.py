"""Bells ring once a transaction, after its commit, for what is really there; and never in the way of the caller."""

import logging
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from itertools import product

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_jobs import enqueue_many, reprioritize, retry, run_now
from django_jobs.errors import TransportError
from django_jobs.models import Job
from django_jobs.signals import jobs_enqueued
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_ids
from django_jobs.transports import Bell
from tests.bells import install
from tests.rows import NAMES, fresh, now, put, worker
from tests.samples import mail, note

pytestmark = pytest.mark.django_db(transaction=True)


class Undone(Exception):
    """Raised to roll back."""


@contextmanager
def undone(**options):
    """A block of statements that is rolled back: to its savepoint, or whole if it is the outermost."""
    with suppress(Undone), transaction.atomic(**options):
        yield
        raise Undone


@pytest.fixture
def told():
    """What the signal told: a list of ids for each time."""
    seen = []

    def receiver(jobs, **kwargs):
        seen.append([job.pk for job in jobs])

    jobs_enqueued.connect(receiver)
    yield seen
    jobs_enqueued.disconnect(receiver)


def test_without_a_transaction_the_bell_rings_at_once(transport):
    job = mail.enqueue("a@example.org")
    assert transport.announced == [[Bell(job.pk, "mail", job.rank)]]


def test_a_transaction_rings_once_whatever_it_enqueued(transport):
    with transaction.atomic():
        jobs: list[Job] = [note.enqueue(), mail.enqueue("a@example.org")]
        jobs += enqueue_many([note.request(), mail.request("b@example.org")])
        jobs.append(note.enqueue())
        assert transport.announced == []
    assert transport.announced == [[Bell(job.pk, job.queue_name, job.rank) for job in jobs]]


def test_a_transaction_without_savepoints_asks_nothing_at_its_end(transport):
    with transaction.atomic():
        note.enqueue()
        note.enqueue()
        queries = CaptureQueriesContext(connection)
        queries.__enter__()
    queries.__exit__(None, None, None)
    assert [each["sql"] for each in queries if each["sql"] != "COMMIT"] == []
    assert len(transport.announced) == 1


def test_transactions_do_not_share_their_bells(transport):
    for _ in range(3):
        with transaction.atomic():
            note.enqueue()
    assert [len(bells) for bells in transport.announced] == [1, 1, 1]


def test_a_rollback_rings_nothing_and_leaves_nothing_for_the_next_transaction(transport, told):
    with undone():
        note.enqueue()
        enqueue_many([note.request()])
    with transaction.atomic():
        job = note.enqueue()
    assert transport.rung == [job.pk]
    assert told == [[job.pk]]


def test_a_rollback_of_the_database_itself_rings_nothing(transport):
    def enqueue_twice():
        with transaction.atomic():
            job = note.enqueue()
            Job.objects.bulk_create([job])

    with pytest.raises(IntegrityError):
        enqueue_twice()
    assert transport.asked == 0


@pytest.mark.parametrize("kept", [pattern for pattern in product([True, False], repeat=3) if any(pattern)], ids=str)
def test_a_savepoint_that_is_rolled_back_takes_no_other_bell_along(transport, told, kept):
    """Whether it was the first, the middle or the last that enqueued."""
    jobs = []
    with transaction.atomic():
        for keep in kept:
            if keep:
                jobs.append(note.enqueue())
            else:
                with undone():
                    note.enqueue()
    assert transport.announced == [[Bell(job.pk, job.queue_name, job.rank) for job in jobs]]
    assert told == [[job.pk for job in jobs]]


@pytest.mark.parametrize("kept", [pattern for pattern in product([True, False], repeat=3) if any(pattern)], ids=str)
def test_savepoints_that_are_kept_ring_with_the_rest(transport, told, kept):
    jobs = []
    with transaction.atomic():
        for keep in kept:
            if keep:
                with transaction.atomic():
                    jobs.append(note.enqueue())
            else:
                with undone():
                    note.enqueue()
    assert transport.announced == [[Bell(job.pk, job.queue_name, job.rank) for job in jobs]]
    assert told == [[job.pk for job in jobs]]


def test_all_savepoints_rolled_back_ring_nothing(transport, told):
    with transaction.atomic():
        for _ in range(2):
            with undone():
                note.enqueue()
    assert (transport.announced, told) == ([], [])


def test_nested_savepoints_ring_what_is_left_of_them(transport):
    with transaction.atomic():
        with undone():
            note.enqueue()
            with transaction.atomic():
                note.enqueue()
        with transaction.atomic():
            outer = note.enqueue()
            with undone():
                note.enqueue()
                with transaction.atomic():
                    note.enqueue()
            with transaction.atomic(), transaction.atomic():
                inner = note.enqueue()
        last = note.enqueue()
    assert [set(bells) for bells in ([bell.id for bell in each] for each in transport.announced)] == [
        {outer.pk, inner.pk, last.pk}
    ]


def test_a_savepoint_rolled_back_by_hand_takes_no_other_bell_along(transport):
    """Django does not know of it, so a bell for nothing may ring; the claim finds no row, and that is all."""
    with transaction.atomic():
        before = note.enqueue()
        savepoint = str(connection.savepoint())
        note.enqueue()
        connection.savepoint_rollback(savepoint)
        after = note.enqueue()
    assert {before.pk, after.pk} <= set(transport.rung)
    assert [claim.id for claim in claim_ids("default", worker(), transport.rung, NAMES)] == [before.pk, after.pk]


def test_a_bulk_in_a_savepoint_is_asked_for_in_portions(transport):
    with transaction.atomic():
        with transaction.atomic():
            jobs = enqueue_many(note.request(number) for number in range(2500))
        with undone():
            note.enqueue()
    assert transport.rung == [job.pk for job in jobs]


def test_what_a_callback_of_the_commit_enqueues_rings_too(transport):
    late = []
    with transaction.atomic():
        transaction.on_commit(lambda: late.append(note.enqueue("before")))
        first = note.enqueue()
        transaction.on_commit(lambda: late.append(note.enqueue("after")))
    assert sorted(transport.rung) == sorted([first.pk, *(job.pk for job in late)])


def test_a_callback_of_the_commit_that_fails_before_stops_no_bell(transport):
    def fail():
        raise Undone

    with transaction.atomic():
        transaction.on_commit(fail, robust=True)
        job = note.enqueue()
    assert transport.rung == [job.pk]


def test_a_row_that_was_there_before_is_not_rung_again(transport, told):
    first = note.using(idempotency_key="a").enqueue()
    note.using(idempotency_key="a").enqueue()
    assert transport.rung == [first.pk]
    assert told == [[first.pk]]


@pytest.mark.parametrize(
    ("run_after", "rings"),
    [(0, True), (timedelta(minutes=9, seconds=50), True), (timedelta(minutes=10, seconds=10), False), (86400, False)],
)
def test_what_is_due_in_more_than_ten_minutes_is_rung_by_the_sweep(transport, told, run_after, rings):
    job = note.using(run_after=run_after).enqueue()
    assert transport.rung == ([job.pk] if rings else [])
    assert told == [[job.pk]]


def test_a_transport_that_is_away_is_told_once_and_stops_nobody(transport, caplog, told):
    transport.away = True
    jobs = [note.enqueue() for _ in range(3)]
    with transaction.atomic():
        jobs.append(note.enqueue())
    assert [fresh(job).state for job in jobs] == [State.READY] * 4
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Nobody is there." in caplog.text
    assert told == [[job.pk] for job in jobs]


@pytest.mark.parametrize("in_a_block", [False, True])
def test_where_the_settings_want_it_the_producer_hears_that_its_jobs_could_not_be_rung(
    transport, settings, told, in_a_block
):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "RAISE_TRANSPORT_ERRORS": True}
    install(transport)
    transport.away = True
    with pytest.raises(TransportError, match="Nobody is there"), transaction.atomic() if in_a_block else nullcontext():
        note.enqueue()
    (job,) = Job.objects.all()
    assert (job.state, told) == (State.READY, [[job.pk]])
    transport.away = False
    note.enqueue()
    assert len(transport.announced) == 1


def test_a_transport_that_comes_back_and_goes_again_is_told_again(transport, caplog):
    for transport.away in (True, True, False, True, True):
        note.enqueue()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert len(transport.announced) == 1


def test_the_signal_comes_after_the_commit_with_all_jobs_of_the_transaction(told):
    with transaction.atomic():
        one = note.enqueue()
        others = enqueue_many([note.request(), mail.request("a@example.org")])
        assert told == []
    assert told == [[one.pk, *(job.pk for job in others)]]


def test_a_receiver_that_fails_harms_neither_the_caller_nor_the_other_receivers(transport, told, caplog):
    def fail(**kwargs):
        raise Undone

    jobs_enqueued.connect(fail)
    try:
        with caplog.at_level(logging.CRITICAL, logger="django.dispatch"):
            job = note.enqueue()
    finally:
        jobs_enqueued.disconnect(fail)
    assert transport.rung == [job.pk]
    assert told == [[job.pk]]


def test_a_verb_in_a_transaction_rings_after_its_commit(transport):
    failed, scheduled, waiting = put(State.FAILED), put(run_after=now() + timedelta(hours=1)), put()
    with transaction.atomic():
        assert (retry(failed), run_now(scheduled), reprioritize(waiting, 7)) == (1, 1, 1)
        assert transport.announced == []
    assert transport.announced == [[Bell(job.pk, "default", fresh(job).rank) for job in (failed, scheduled, waiting)]]


def test_a_verb_that_is_rolled_back_rings_nothing(transport):
    failed = put(State.FAILED)
    with undone():
        retry(failed)
    assert transport.announced == []
