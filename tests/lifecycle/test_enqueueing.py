"""A call becomes a row, in the caller's transaction: whole or not at all."""

import asyncio
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_jobs import Exponential, Fixed, aenqueue_many, enqueue_many
from django_jobs.definitions.options import JobOptions
from django_jobs.definitions.rank import due_at, rank
from django_jobs.errors import InvalidArguments, PayloadTooLarge
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.sql import sqlite
from tests.rows import columns, fresh, now
from tests.samples import mail, note, with_context

pytestmark = pytest.mark.django_db

IN_SUMMER = datetime(2050, 7, 1, 12, 30, 15, 123456, tzinfo=UTC)


class Cancelled(Exception):
    """The caller's own reason to roll back."""


SAID: list[dict[str, Any]] = [
    {},
    {"priority": -100},
    {"priority": 100, "lifo": True},
    {"run_after": 0},
    {"run_after": 12.3456},
    {"run_after": timedelta(days=400)},
    {"run_after": IN_SUMMER},
    {"run_after": datetime(2001, 2, 3, tzinfo=UTC)},
    {"run_after": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    {"run_after": datetime(1, 1, 1, tzinfo=UTC)},
    {"lifo": True, "run_after": IN_SUMMER},
    {"expires": 0},
    {"expires": 12.3456},
    {"expires": IN_SUMMER},
    {"max_starts": 7},
    {"timeout": timedelta(minutes=1.5)},
    {"max_attempts": 7, "backoff": Fixed(3), "max_stalls": 0},
    {"backoff": Exponential(timedelta(minutes=1), maximum=600, jitter=0.3, factor=1.5)},
    {"queue_name": "mail"},
    {"idempotency_key": "key\n'\"\\ 🗝", "idempotency_ttl": 3600.5},
]


@pytest.mark.parametrize("options", SAID, ids=str)
def test_the_returned_row_is_the_stored_row(options):
    job = note.using(**options).enqueue(1, "zwei", drei=[3.5, None, {"vier": True}])
    stored = fresh(job)
    assert columns(job) == columns(stored)
    assert job.created
    before = columns(job)
    job.refresh_from_db()
    assert columns(job) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "ünïcödé",
        "😀🏳️‍🌈",
        "\\ \\\\ \\u0041 \\n",
        "'\"`;--",
        "%s %% {}",
        "\x01\x1f\x7f",
        "\u2028",
        "\n\r\t",
        "a" * 70_000,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_any_text_arrives_as_it_was(text):
    job = note.enqueue(text, key={text or "empty": text})
    assert fresh(job).args == [text]
    assert fresh(job).kwargs == {"key": {text or "empty": text}}


def test_a_new_job_is_ready_and_has_done_nothing():
    before = now() - timedelta(seconds=1)
    job = mail.enqueue("a@example.org", copies=2)
    assert (job.name, job.queue_name, job.state, job.priority) == ("samples.mail", "mail", State.READY, 5)
    assert (job.fence, job.attempt, job.starts, job.stalls, job.owner, job.suspect) == (0, 0, 0, 0, None, False)
    assert (job.args, job.kwargs, job.result, job.error) == (["a@example.org"], {"copies": 2}, None, "")
    assert before < job.enqueued_at == job.run_after < now() + timedelta(seconds=1)


def test_a_delay_counts_from_the_insert_by_the_clock_of_the_database():
    job = note.using(run_after=90).enqueue()
    assert job.run_after == job.enqueued_at + timedelta(seconds=90)


def test_a_moment_in_the_past_means_now_in_the_order():
    late = note.using(run_after=datetime(2024, 1, 1, tzinfo=UTC)).enqueue()
    assert late.run_after == datetime(2024, 1, 1, tzinfo=UTC)
    assert abs(due_at(late.rank) - late.enqueued_at) <= timedelta(milliseconds=1)


def test_later_calls_stand_behind_earlier_ones_and_lifo_before():
    first, second = note.enqueue(), note.enqueue()
    assert (first.rank, first.pk) < (second.rank, second.pk)
    assert note.using(lifo=True).enqueue().rank < first.rank
    assert note.using(priority=1).enqueue().rank < first.rank < note.using(priority=-1).enqueue().rank


def test_one_call_is_one_statement():
    with CaptureQueriesContext(connection) as queries:
        note.enqueue(1)
    statements = [each for each in queries if "SAVEPOINT" not in each["sql"]]
    assert len(statements) == {"mysql": 2}.get(connection.vendor, 1)  # MySQL does not return what it inserted


def test_a_context_is_no_argument():
    assert with_context.enqueue(5).args == [5]
    with pytest.raises(InvalidArguments, match="too many positional"):
        with_context.enqueue("context", 5)  # type: ignore[call-arg, arg-type]


def test_what_cannot_travel_stops_before_any_write():
    with CaptureQueriesContext(connection) as queries:
        with pytest.raises(InvalidArguments):
            note.enqueue(object())
        with pytest.raises(PayloadTooLarge):
            note.using(max_payload_bytes=10).enqueue("a long text")
    assert len(queries) == 0


def test_the_limit_counts_bytes_not_characters():
    exactly = len('[["ää"],{}]'.encode())
    assert note.using(max_payload_bytes=exactly).enqueue("ää").args == ["ää"]
    with pytest.raises(PayloadTooLarge, match=f"{exactly} bytes as JSON, and {exactly - 1} are allowed"):
        note.using(max_payload_bytes=exactly - 1).enqueue("ää")


def test_a_rollback_leaves_nothing():
    with suppress(Cancelled), transaction.atomic():
        note.enqueue()
        raise Cancelled
    assert Job.objects.count() == 0


def test_a_bulk_keeps_the_order_across_queues_and_chunks():
    functions = (note, mail.using(priority=1), note.using(run_after=60), mail.using(lifo=True))
    jobs = enqueue_many(functions[number % 4].request(str(number)) for number in range(2345))
    assert [job.args for job in jobs] == [[str(number)] for number in range(2345)]
    assert [job.queue_name for job in jobs] == ["default", "mail"] * 1172 + ["default"]
    assert sorted(job.pk for job in jobs) == [job.pk for job in jobs]
    stored = Job.objects.in_bulk([job.pk for job in jobs])
    assert [columns(job) for job in jobs] == [columns(stored[job.pk]) for job in jobs]


def test_each_of_a_bulk_is_stored_as_it_was_said():
    jobs = enqueue_many(note.using(**options).request(number) for number, options in enumerate(SAID))
    alone = [note.using(**options).enqueue(number) for number, options in enumerate(SAID)]
    for job, single, options in zip(jobs, alone, SAID, strict=True):
        assert columns(job) == columns(fresh(job))
        for name in ("arguments", "queue_name", "priority", "lifo", "max_attempts", "max_stalls", "backoff"):
            assert getattr(job, name) == getattr(single, name)
        if isinstance(options.get("run_after"), datetime):
            assert job.run_after == options["run_after"]


def test_a_bulk_is_stored_as_a_whole_or_not_at_all():
    def requests():
        for number in range(1500):
            yield note.request(number)
        raise Cancelled

    with pytest.raises(Cancelled):
        enqueue_many(requests())
    assert Job.objects.count() == 0


def test_a_bulk_reads_its_iterable_in_chunks():
    stored_meanwhile = []

    def requests():
        for number in range(2500):
            if number % 500 == 0:
                stored_meanwhile.append(Job.objects.count())
            yield note.request(number)

    enqueue_many(requests())
    assert stored_meanwhile == [0, 0, 1000, 1000, 2000]


def test_what_is_no_request_is_refused_with_how_to_make_one():
    with pytest.raises(InvalidArguments, match=r"takes requests.*request\(7\)\. Not"):
        enqueue_many([note])  # type: ignore[list-item]
    assert not Job.objects.exists()


def test_a_bulk_of_nothing_is_nothing():
    assert enqueue_many([]) == []


def test_a_bulk_larger_than_a_packet_of_the_database_is_stored():
    # 30 MB: MariaDB takes statements of 16 MB unless told otherwise.
    jobs = enqueue_many(note.request("x" * 200_000) for _ in range(150))
    assert Job.objects.filter(pk__in=[job.pk for job in jobs]).count() == 150


@pytest.mark.django_db(transaction=True)
def test_async_callers_enqueue_too():
    async def enqueue():
        one = await note.aenqueue(1, two=2)
        many = await aenqueue_many([note.request(3), mail.request("a@example.org")])
        await sync_to_async(connections.close_all)()  # those of the thread in which async callers meet the database
        return [one, *many]

    jobs = asyncio.run(enqueue())
    assert [columns(job) for job in jobs] == [columns(fresh(job)) for job in jobs]


def test_jobs_go_to_the_database_of_the_settings_whatever_routers_say(settings):
    settings.DATABASE_ROUTERS = ["tests.lifecycle.test_enqueueing.Elsewhere"]
    assert note.enqueue()._state.db == "default"


class Elsewhere:
    """A router that would send everything to where nothing is."""

    def db_for_read(self, model, **hints):
        return "nowhere"

    db_for_write = db_for_read


def test_rank_is_that_of_the_formula():
    for options in ({}, {"priority": 7}, {"lifo": True, "priority": -7}, {"run_after": IN_SUMMER}):
        job = note.using(**options).enqueue()
        milliseconds = job.run_after.replace(microsecond=job.run_after.microsecond // 1000 * 1000)
        exact = milliseconds if connection.vendor == "sqlite" else job.run_after
        assert job.rank == rank(job.priority, job.lifo, exact)


def test_options_of_a_request_are_plain_data():
    assert note.using(priority=3).request().options == JobOptions(priority=3)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Only SQLite counts the variables of a statement.")
@pytest.mark.django_db
def test_a_bulk_that_holds_more_variables_than_sqlite_takes_is_stored_in_parts(monkeypatch: pytest.MonkeyPatch):
    most = 90
    monkeypatch.setattr(sqlite, "MOST_VARIABLES", most)
    connection.ensure_connection()
    before = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, most)
    try:
        jobs = enqueue_many(note.using(priority=number % 7).request(number) for number in range(100))
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)
    assert [fresh(job).args for job in jobs] == [[number] for number in range(100)]
