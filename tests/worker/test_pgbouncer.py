"""Behind a PgBouncer that lends sessions out for one transaction each: nothing needs a session of its own."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from django_jobs import enqueue_many
from django_jobs.checks.database import check_database
from django_jobs.decorators import JobFunction
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.transactions import in_transaction
from django_jobs.worker.connections import close_connections, use_own_connection
from tests.conftest import StartWorkers
from tests.pgbouncer import PgBouncer
from tests.processes import worker_environment
from tests.project.jobs import add, leave_effect_async, succeed_at, wait_at
from tests.project.sessions import take_steps, tell_session, write_together
from tests.rows import columns, fresh
from tests.servers import is_there
from tests.worker.watching import Gate, effects, end_of, runs

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="stands before PostgreSQL"),
    pytest.mark.skipif(not is_there("pgbouncer"), reason="needs pgbouncer"),
]

SESSIONS = 2
# What a client left behind in a session. Locks would be seen by all, the rest only here.
LEFT = """
    SELECT (SELECT COUNT(*) FROM pg_prepared_statements), (SELECT COUNT(*) FROM pg_cursors WHERE is_holdable),
    (SELECT COUNT(*) FROM pg_listening_channels()), (SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'),
    (SELECT COUNT(*) FROM pg_class WHERE relpersistence = 't'),
    (SELECT STRING_AGG(name, ' ') FROM pg_settings WHERE source = 'session' AND name NOT IN
    ('application_name', 'client_encoding', 'DateStyle', 'standard_conforming_strings', 'TimeZone')), pg_backend_pid()
"""
# A web process: it stores, steers, looks and waits.
WEB = """
import django
django.setup()

from django.core.management import call_command
from django.db import connection, transaction
from django_jobs import Deduplicate, enqueue_many, queues
from django_jobs.lifecycle.control import cancel, retry
from django_jobs.lifecycle.health import examine
from django_jobs.models import Job
from tests.project.jobs import add

with transaction.atomic():
    job = add.using(idempotency_key="once").enqueue(1, 2)
assert not add.using(idempotency_key="once").enqueue(1, 2).created
for number in range(3):
    add.using(queue_name="mail", deduplicate=Deduplicate(key="same")).enqueue(number, 0)
enqueue_many(add.using(queue_name="mail").request(number, 0) for number in range(2000))
queues["mail"].pause()
queues["mail"].resume()
assert job.wait(60) == 3
assert cancel(Job.objects.filter(queue_name="mail")) == 2001
assert retry(Job.objects.filter(queue_name="mail")[:10]) == 10
assert queues["mail"].drain() == 10
queues["mail"].obliterate()
call_command("jobs", "list")
(connections,) = (each for each in examine() if each.part == "connections")
assert "limit" not in connections.facts, connections
"""


@pytest.fixture
def bouncer(transactional_db: None) -> Iterator[PgBouncer]:
    with PgBouncer(connection.settings_dict, size=SESSIONS) as bouncer:
        yield bouncer


@pytest.fixture
def behind(bouncer: PgBouncer) -> dict[str, str]:
    """Give the environment of a process that reaches the database only through PgBouncer."""
    return {"DJANGO_JOBS_TEST_DATABASE": bouncer.url, "DJANGO_JOBS_TEST_IMPORTS": "tests.project.sessions"}


def left_in_sessions(bouncer: PgBouncer) -> list[tuple[object, ...]]:
    """Return what was left in each session: as many transactions at once as there are."""
    with ExitStack() as ends:
        clients = [ends.enter_context(psycopg.connect(bouncer.url, prepare_threshold=None)) for _ in range(SESSIONS)]
        rows = [client.execute(LEFT).fetchone() for client in clients]
    assert len({row[-1] for row in rows if row is not None}) == SESSIONS
    return [row[:-1] for row in rows if row is not None]


NOTHING = (0, 0, 0, 0, 0, None)


def test_workers_share_few_sessions_and_leave_nothing_in_them(start_workers: StartWorkers, bouncer, behind, gate: Gate):
    workers = start_workers("--processes", "2", "--concurrency", "8", environment=behind)
    stays = wait_at.enqueue(gate.path)
    bodies: list[JobFunction[..., Any]] = [tell_session, leave_effect_async, write_together, take_steps]
    jobs = enqueue_many([body.request() for body in bodies for _ in range(15)])
    again = enqueue_many([succeed_at.request(2) for _ in range(5)])
    assert {end_of(job).state for job in (*jobs, *again)} == {State.SUCCESSFUL}
    # Far more clients than sessions: each transaction has the one that is free.
    assert len({fresh(job).result for job in jobs[:15]}) <= SESSIONS
    runs(stays)
    gate.open()
    assert end_of(stays).state == State.SUCCESSFUL
    assert effects() == dict.fromkeys([stays.pk, *(job.pk for job in jobs)], 1)
    assert workers.stop() == 0
    assert left_in_sessions(bouncer) == [NOTHING] * SESSIONS


def test_a_web_process_stores_steers_and_waits(start_workers: StartWorkers, bouncer, behind):
    start_workers("--queue", "default", environment=behind)
    environment = {**worker_environment({}), **behind}
    web = [sys.executable, "-c", WEB]
    done = subprocess.run(web, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert left_in_sessions(bouncer) == [NOTHING] * SESSIONS


def store_bulks(times: int) -> list[list[Job[Any]]]:
    try:
        return [enqueue_many([add.request(number, 0) for number in range(150)]) for _ in range(times)]
    finally:
        connection.close()


def test_bulks_whose_halves_are_sent_at_once_arrive_whole(bouncer, monkeypatch):
    behind = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": str(bouncer.port)}
    monkeypatch.setitem(connections.settings, "default", behind)
    with ThreadPoolExecutor(4) as threads:  # each has a connection of its own, and there are fewer sessions
        bulks = [bulk for some in threads.map(store_bulks, [3] * 4) for bulk in some]
    assert Job.objects.count() == 12 * 150
    for jobs in bulks:
        stored = Job.objects.in_bulk([job.pk for job in jobs])
        assert [columns(job) for job in jobs] == [columns(stored[job.pk]) for job in jobs]
        assert [job.args for job in jobs] == [[number, 0] for number in range(150)]
    assert left_in_sessions(bouncer) == [NOTHING] * SESSIONS


# What a transaction of the worker's is told, as another client of PgBouncer sees it.
LIMITS = "SELECT CURRENT_SETTING('idle_in_transaction_session_timeout'), CURRENT_SETTING('lock_timeout')"


def limits_in_sessions(bouncer: PgBouncer) -> list[tuple[Any, ...]]:
    with ExitStack() as ends:
        clients = [ends.enter_context(psycopg.connect(bouncer.url, prepare_threshold=None)) for _ in range(SESSIONS)]
        rows = [client.execute(f"{LIMITS}, pg_backend_pid()").fetchone() for client in clients]
    assert len({row[-1] for row in rows if row is not None}) == SESSIONS
    return [row[:-1] for row in rows if row is not None]


def limits_inside(times: int) -> list[tuple[Any, ...]]:
    """Return the limits of so many transactions on a connection of the worker's own."""

    def work() -> tuple[Any, ...]:
        with connection.cursor() as cursor:
            cursor.execute(LIMITS)
            return tuple(cursor.fetchone())

    use_own_connection("default")
    try:
        return [in_transaction("default", work, lock_wait_milliseconds=50) for _ in range(times)]
    finally:
        close_connections()


def test_what_a_transaction_of_the_workers_own_is_told_holds_for_nobody_after_it(bouncer, monkeypatch, settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DEAD_AFTER_SECONDS": 2, "HEARTBEAT_SECONDS": 0.5}
    before = limits_in_sessions(bouncer)
    behind = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": str(bouncer.port)}
    monkeypatch.setitem(connections.settings, "default", behind)
    with ThreadPoolExecutor(1) as thread:  # it has connections of its own
        assert thread.submit(limits_inside, 5).result() == [("2s", "50ms")] * 5
    assert ("2s", "50ms") not in before
    assert limits_in_sessions(bouncer) == before
    assert left_in_sessions(bouncer) == [NOTHING] * SESSIONS


def test_statements_that_are_prepared_are_a_warning_only_behind_it(bouncer, monkeypatch):
    told = {}
    for place, values in {"direct": {}, "behind": {"HOST": "127.0.0.1", "PORT": str(bouncer.port)}}.items():
        monkeypatch.setitem(
            connections.settings,
            "default",
            {**connection.settings_dict, **values, "OPTIONS": {"prepare_threshold": 5}},
        )
        with ThreadPoolExecutor(1) as thread:  # it has a connection of its own
            told[place] = thread.submit(ask_database).result()
    assert told == {"direct": [], "behind": ["django_jobs.W008"]}


def ask_database() -> list[str | None]:
    try:
        return [each.id for each in check_database(databases=["default"])]
    finally:
        connection.close()
