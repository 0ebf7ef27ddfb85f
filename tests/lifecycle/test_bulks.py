"""A bulk of any jobs: each row is stored as it was said and each instance tells what its row says, or nothing is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from django_jobs import enqueue_many
from django_jobs.definitions.arguments import decode_headers
from django_jobs.definitions.requests import JobRequest
from django_jobs.errors import IdempotencyConflict, InvalidArguments, PayloadTooLarge
from django_jobs.middleware import JobMiddleware
from django_jobs.models import Job, Metadata
from django_jobs.states import State
from django_jobs.transitions.sql import postgresql
from tests.project.models import Effect
from tests.rows import columns
from tests.samples import mail, note

pytestmark = pytest.mark.django_db

# So many that the database may store the first half while the second one is made.
MANY = 200
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="This is how PostgreSQL is spoken to.")

# No two of them say the same.
KINDS: list[dict[str, Any]] = [
    {},
    {"priority": -100},
    {"priority": 100, "queue_name": "mail"},
    {"run_after": 12.5},
    {"run_after": 3600, "expires": 7200},
    {"expires": 60},
    {"timeout": 90},
    {"max_attempts": 7, "priority": 3},
    {"lifo": True},
    {"lifo": True, "run_after": 5, "queue_name": "mail"},
]
WITH_METADATA: list[dict[str, Any]] = [
    {"metadata": {"order": 7}},
    {"metadata": {"order": 8, "customer": "Ünal"}, "priority": 1},
]


def assert_told(jobs: list[Job[Any]]) -> None:
    """Compare each returned instance with its row, read anew."""
    stored = Job.objects.in_bulk([job.pk for job in jobs])
    assert len(stored) == len(jobs)
    assert [columns(job) for job in jobs] == [columns(stored[job.pk]) for job in jobs]


def seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


@pytest.mark.parametrize(
    "kinds", [KINDS, [*KINDS, *WITH_METADATA]], ids=["rows alone", "with rows of metadata beside them"]
)
def test_each_of_several_kinds_has_its_own_values(kinds: list[dict[str, Any]]):
    said = [kinds[number % len(kinds)] for number in range(MANY)]
    jobs = enqueue_many([note.using(**options).request(number) for number, options in enumerate(said)])
    assert_told(jobs)
    for number, (job, options) in enumerate(zip(jobs, said, strict=True)):
        assert (job.args, job.state) == ([number], State.READY)
        assert job.priority == options.get("priority", 0)
        assert job.queue_name == options.get("queue_name", "default")
        assert job.lifo == options.get("lifo", False)
        assert job.max_attempts == options.get("max_attempts", 1)
        assert seconds(job.timeout) == seconds(options.get("timeout"))
        assert job.run_after - job.enqueued_at == seconds(options.get("run_after", 0))
        assert (job.expires_at and job.expires_at - job.enqueued_at) == seconds(options.get("expires"))
        assert job.metadata == options.get("metadata", {})
    found = [(fact.job_id, fact.key) for fact in Metadata.objects.all()]
    assert sorted(found) == sorted(
        (job.pk, key) for job, options in zip(jobs, said, strict=True) for key in options.get("metadata", {})
    )


@pytest.mark.parametrize("count", [1, 2, 99, 100, 150, 1_000, 1_001])
@pytest.mark.parametrize("options", [{}, {"run_after": 30, "expires": 90, "lifo": True}], ids=["plain", "delayed"])
def test_instances_of_one_kind_tell_what_the_database_decided(count: int, options: dict[str, Any]):
    jobs = enqueue_many([note.using(**options).request(number) for number in range(count)])
    assert [job.args for job in jobs] == [[number] for number in range(count)]
    assert_told(jobs)
    stored = Job.objects.in_bulk([job.pk for job in jobs])
    for job in jobs:
        row = stored[job.pk]
        assert (job.rank, job.enqueued_at, job.run_after) == (row.rank, row.enqueued_at, row.run_after)
        assert job.run_after - job.enqueued_at == seconds(options.get("run_after", 0))


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 3},
        {"lifo": True},
        {"run_after": 5},
        {"run_after": datetime(2050, 7, 1, 12, 30, 15, 123456, tzinfo=UTC)},
        {"expires": 60},
        {"expires": datetime(2050, 7, 1, 12, 30, 15, 123456, tzinfo=UTC)},
        {"timeout": 9},
        {"queue_name": "mail"},
        {"idempotency_key": "only"},
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [0, 60, MANY - 1])
def test_one_that_says_something_else_changes_nothing_of_the_others(options: dict[str, Any], number: int):
    jobs = enqueue_many([(note.using(**options) if n == number else note).request(n) for n in range(MANY)])
    assert_told(jobs)
    other = jobs.pop(number)
    assert other.args == [number]
    assert {(job.priority, job.lifo, job.timeout, job.expires_at, job.queue_name, job.key_digest) for job in jobs} == {
        (0, False, None, None, "default", None)
    }
    assert all(job.run_after == job.enqueued_at for job in jobs)


def test_every_job_of_a_bulk_rings_once_on_commit(transport, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        jobs = enqueue_many([(note if number % 3 else mail).request(str(number)) for number in range(MANY)])
    rung = [(bell.id, bell.queue_name, bell.rank) for bells in transport.announced for bell in bells]
    assert rung == [(job.pk, job.queue_name, job.rank) for job in jobs]


class SomeAreTraced(JobMiddleware):
    def enqueue(self, request: JobRequest) -> JobRequest:
        return request if request.args[0] % 3 else request.with_headers(trace=f"of {request.args[0]}")


@pytest.mark.parametrize("kinds", [[{}], KINDS], ids=["one kind", "several kinds"])
def test_each_has_the_headers_that_middleware_gave_to_it_alone(kinds: list[dict[str, Any]], settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MIDDLEWARE": [f"{__name__}.SomeAreTraced"]}
    jobs = enqueue_many([note.using(**kinds[number % len(kinds)]).request(number) for number in range(MANY)])
    assert_told(jobs)
    given = [decode_headers(job.headers) if job.headers else {} for job in jobs]
    assert given == [{} if number % 3 else {"trace": f"of {number}"} for number in range(MANY)]


def request(number: int) -> JobRequest:
    """Return one of a bulk in which every other has a key of its own."""
    return (note.using(idempotency_key=f"key {number}") if number % 2 else note).request(number)


def test_keys_that_are_taken_come_to_their_holders_and_all_others_are_stored():
    taken = {number: enqueue_many([request(number)])[0].pk for number in range(1, MANY, 10)}
    jobs = enqueue_many([request(number) for number in range(MANY)])
    assert_told(jobs)
    assert [job.args for job in jobs] == [[number] for number in range(MANY)]
    assert [number for number, job in enumerate(jobs) if not job.created] == list(taken)
    assert {number: jobs[number].pk for number in taken} == taken
    assert [job.idempotency_key for job in jobs] == [f"key {n}" if n % 2 else None for n in range(MANY)]
    assert Job.objects.count() == MANY


@pytest.mark.parametrize("kinds", [[{}], KINDS], ids=["one kind", "several kinds"])
def test_texts_too_long_for_one_statement_arrive_whole(kinds: list[dict[str, Any]]):
    def text(number: int) -> str:
        # One is longer than a statement shall be, the others fill several together; non-ASCII takes most on its way.
        return f"{number} ä" * (400_000 if number == 60 else 8_000)

    notes = [note.using(max_payload_bytes=10_000_000, **options) for options in kinds]
    jobs = enqueue_many([notes[number % len(notes)].request(text(number)) for number in range(120)])
    assert sum(len(job.arguments) for job in jobs) > 4_000_000
    assert [job.args for job in jobs] == [[text(number)] for number in range(120)]
    assert_told(jobs)


# What fails leaves nothing


@contextmanager
def nothing() -> Iterator[None]:
    """Stand outside of any transaction."""
    yield


PLACES = pytest.mark.parametrize(
    "place", [nothing, transaction.atomic], ids=["outside of a transaction", "in the caller's transaction"]
)

HARM = {
    "cannot travel": (lambda: note.request(object()), InvalidArguments),
    "is too large": (lambda: note.using(max_payload_bytes=5).request("a text"), PayloadTooLarge),
    "has a key with other arguments": (lambda: note.using(idempotency_key="taken").request(2), IdempotencyConflict),
    "is no request": (lambda: note, InvalidArguments),
}


@PLACES
@pytest.mark.parametrize("number", [0, 30, 150, MANY - 1])
@pytest.mark.parametrize("harm", HARM)
@pytest.mark.django_db(transaction=True)
def test_one_that_fails_takes_all_with_it_and_nothing_else(harm: str, number: int, place: Any):
    note.using(idempotency_key="taken").enqueue(1)
    make, error = HARM[harm]
    requests: list[Any] = [note.request(number) for number in range(MANY)]
    requests[number] = make()
    with place():
        Effect.objects.create(job_id=uuid4())
        with pytest.raises(error):
            enqueue_many(requests)
        assert Job.objects.count() == 1
        assert_told(enqueue_many([note.request(number) for number in range(MANY)]))
    assert Job.objects.count() == 1 + MANY
    assert Effect.objects.count() == 1


REFUSING = """
    CREATE FUNCTION refuse_job() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'Not this one.'; END $$ LANGUAGE plpgsql;
    CREATE TRIGGER refuse_job BEFORE INSERT ON django_jobs_job FOR EACH ROW
    WHEN (NEW.arguments = '[["refused"],{}]') EXECUTE FUNCTION refuse_job();
"""


@pytest.fixture
def refusing(transactional_db: None) -> Iterator[None]:
    """Let the database refuse every job whose argument is "refused"."""
    with connection.cursor() as cursor:
        cursor.execute(REFUSING)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse_job CASCADE")


@ON_POSTGRESQL
@PLACES
@pytest.mark.parametrize("can_pipeline", [True, False], ids=["in a pipeline", "one after the other"])
@pytest.mark.parametrize("places", [[0], [30], [150], [MANY - 1], [30, 150]], ids=str)
@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_is_its_error_and_nothing_is_stored(
    refusing: None, places: list[int], can_pipeline: bool, place: Any, monkeypatch: pytest.MonkeyPatch
):
    if not can_pipeline:
        monkeypatch.setattr(postgresql, "_can_pipeline", lambda session: False)
    requests = [note.request("refused" if number in places else number) for number in range(MANY)]
    with place():
        before = note.enqueue("before")
        with pytest.raises(DatabaseError, match=r"Not this one\."):
            enqueue_many(requests)
        assert list(Job.objects.all()) == [before]
        assert_told(enqueue_many([note.request(number) for number in range(MANY)]))
    assert Job.objects.count() == 1 + MANY


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_who_catches_nothing_in_a_transaction_has_it_rolled_back(refusing: None):
    requests = [note.request("refused" if number == 150 else number) for number in range(MANY)]

    @transaction.atomic
    def store() -> None:
        note.enqueue("before")
        enqueue_many(requests)

    with pytest.raises(DatabaseError, match=r"Not this one\."):
        store()
    assert not Job.objects.exists()
    assert note.enqueue("after").pk


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_of_two_errors_the_callers_own_is_told_and_the_connection_lives(refusing: None):
    # The database refuses the first half while the second one is made, which cannot travel.
    requests = [note.request("refused" if number == 30 else number) for number in range(MANY)]
    requests[150] = note.request(object())
    with pytest.raises(InvalidArguments):
        enqueue_many(requests)
    assert not Job.objects.exists()
    assert_told(enqueue_many([note.request(number) for number in range(MANY)]))


# How it is sent


@ON_POSTGRESQL
@pytest.mark.parametrize("kinds", [[{}], KINDS], ids=["one kind", "several kinds"])
def test_a_client_that_cannot_pipeline_stores_the_same(kinds: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgresql, "_can_pipeline", lambda session: False)
    jobs = enqueue_many([note.using(**kinds[number % len(kinds)]).request(number) for number in range(1_001)])
    assert [job.args for job in jobs] == [[number] for number in range(1_001)]
    assert_told(jobs)


TELLING = """
import django
django.setup()

from django.db import connection
from django_jobs import enqueue_many
from tests.samples import mail, note


class Told(Exception):
    pass


def tell(execute, sql, parameters, many, context):
    if not sql.startswith("INSERT"):
        return execute(sql, parameters, many, context)
    print(sql)
    raise Told


kinds = [{"priority": 3, "timeout": 9}, {"expires": 60, "run_after": 5}, {"queue_name": "mail", "lifo": True}]
with connection.execute_wrapper(tell):
    for requests in (
        [note.request(1)],
        [note.using(**kinds[0], idempotency_key="key").request(1)],
        [note.request(number) for number in range(3)],
        [note.using(**kind).request(1) for kind in kinds],
    ):
        try:
            enqueue_many(requests)
        except Told:
            pass
"""


@pytest.mark.once
def test_all_processes_tell_the_database_the_same_texts(tmp_path):
    """A server that keeps plans by their texts has one for all of them."""
    texts = []
    for seed in "12":
        told = {"DJANGO_JOBS_TEST_DATABASE": f"sqlite://{tmp_path}/none.sqlite3", "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", TELLING]
        done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout.splitlines())
    assert len(set(texts[0])) == 4
    assert texts[0] == texts[1]
