"""psycopg's pool: web processes give back what they took, and workers do without it."""

import subprocess
import sys

import pytest
from django.db import connection

from django_jobs import enqueue_many
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.processes import worker_environment
from tests.project.sessions import (
    hang_in_the_database,
    meet_in_the_database,
    tell_session,
    tell_session_in_a_sandbox,
)
from tests.rows import fresh
from tests.worker.pooled_settings import SIZE
from tests.worker.watching import effects, end_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="psycopg has the pool"),
]

POOLED = {
    "DJANGO_SETTINGS_MODULE": "tests.worker.pooled_settings",
    "DJANGO_JOBS_TEST_IMPORTS": "tests.project.sessions",
}
# Threads as those of a web server, more than there are connections: each takes requests, one after the other.
WEB = """
import asyncio
from concurrent.futures import ThreadPoolExecutor

import django
django.setup()

from asgiref.sync import sync_to_async
from django.core.signals import request_finished, request_started
from django.db import connection, connections, transaction
from tests.project.jobs import add


def request(number):
    request_started.send(None)
    with transaction.atomic():
        job = add.enqueue(number, 0)
    assert job.wait(30) == number
    request_finished.send(None)


async def await_many():
    jobs = [await add.aenqueue(number, 0) for number in range(20)]
    await sync_to_async(connections.close_all)()
    assert await asyncio.gather(*(job.await_result(30) for job in jobs)) == [*range(20)]
    await sync_to_async(connections.close_all)()


with ThreadPoolExecutor(8) as threads:
    list(threads.map(request, range(40)))
asyncio.run(await_many())
pool = connection.pool
pool.wait(10)
told = pool.get_stats()
assert told["pool_available"] == told["pool_size"] and not told.get("requests_waiting"), told
pool.close()
"""


def test_workers_are_not_bound_by_a_pool_and_a_timeout_costs_them_nothing(start_workers: StartWorkers):
    start_workers("--concurrency", "8", environment=POOLED)
    hanging = enqueue_many([hang_in_the_database.request() for _ in range(8 * SIZE)])
    assert {end_of(job).error.partition(":")[0] for job in hanging} == {"JobTimeout"}
    meeting = enqueue_many([meet_in_the_database.request(8) for _ in range(8)])
    assert {end_of(job).state for job in meeting} == {State.SUCCESSFUL}
    assert len({fresh(job).result for job in meeting}) == 8
    telling = enqueue_many([tell_session.request() for _ in range(20)])
    assert {end_of(job).state for job in telling} == {State.SUCCESSFUL}
    assert effects() == dict.fromkeys([job.pk for job in (*meeting, *telling)], 1)
    assert end_of(tell_session_in_a_sandbox.enqueue()).result is False


def test_threads_of_a_web_process_give_every_connection_back(start_workers: StartWorkers):
    start_workers()
    environment = {**worker_environment({}), **POOLED}
    web = [sys.executable, "-c", WEB]
    done = subprocess.run(web, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
