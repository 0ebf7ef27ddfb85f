"""Stories of outages: Redis forgets, dies or never comes; the database restarts under load. The table is the truth."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from redis import Redis

from django_jobs import enqueue_many
from django_jobs.models import Attempt, Job, Worker
from django_jobs.states import State
from tests.acceptance.jobs import rest, work, work_async
from tests.conftest import StartWorkers
from tests.project.jobs import add
from tests.project.models import Effect
from tests.servers import PostgreSQL, binary
from tests.servers import Redis as RedisServer
from tests.waiting import wait_until
from tests.worker.watching import all_successful, end_of, living_workers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def redis_server(settings: Any) -> Iterator[RedisServer]:
    """Give a server of our own, which the test and its workers ring through."""
    with RedisServer() as server:
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": server.url}
        yield server


def starts() -> set[int]:
    return set(Job.objects.values_list("starts", flat=True))


def test_a_flush_with_many_ready_jobs_loses_none_and_each_runs_once(
    redis_server: RedisServer, start_workers: StartWorkers
):
    jobs = enqueue_many([add.request(number, 1) for number in range(20_000)])
    start_workers("--processes", "2")
    wait_until(lambda: Job.objects.successful().count() > 100, what="the first of many")
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        # Until all has been rung again nothing is handed out, and jobs are found in the table.
        wait_until(lambda: any(b":epoch" in key for key in client.scan_iter()), what="the transport is open again")
    wait_until(lambda: Job.objects.successful().count() == len(jobs), what="the end of all jobs")
    assert starts() == {1}


def test_producers_and_workers_go_on_while_redis_dies_and_comes_back(
    redis_server: RedisServer, start_workers: StartWorkers
):
    start_workers("--processes", "2")
    jobs = [add.enqueue(1, 1)]
    end_of(jobs[0])
    for _ in range(2):
        redis_server.kill()
        away = [work.enqueue(0) for _ in range(50)]
        all_successful(away)
        redis_server.start()
        back = [work_async.enqueue(0) for _ in range(50)]
        all_successful(back)
        jobs += away + back
    assert starts() == {1}
    assert Job.objects.count() == len(jobs)
    ends = Effect.objects.filter(worker__contains=" ends ").values_list("job_id", flat=True)
    assert Counter(ends) == {job.pk: 1 for job in jobs[1:]}


def test_a_burst_without_redis_does_all_there_is(redis_server: RedisServer, start_workers: StartWorkers):
    redis_server.kill()
    enqueue_many([add.request(number, 1) for number in range(500)])
    workers = start_workers("--burst")
    assert workers.wait() == 0
    assert set(Job.objects.values_list("state", "starts")) == {(State.SUCCESSFUL, 1)}
    assert workers.output().count("Working from the table until the transport is back.") == 1


def test_a_redis_that_came_up_late_is_used(redis_server: RedisServer, start_workers: StartWorkers):
    redis_server.kill()
    workers = start_workers()
    end_of(add.enqueue(1, 1))
    redis_server.start()
    wait_until(lambda: "The transport is back." in workers.output(), what="the workers notice")
    all_successful(enqueue_many([work.request(0) for _ in range(200)]))
    assert starts() == {1}


@pytest.fixture
def postgresql_server(transactional_db: None) -> Iterator[PostgreSQL]:
    """Give a server of our own, which holds the database of the test and its workers."""
    if connection.vendor != "postgresql":
        pytest.skip("This run is not on PostgreSQL: nothing was shown of what a restart of it does.")
    name = connection.settings_dict["NAME"]
    with PostgreSQL() as server:
        subprocess.run(
            [binary("createdb"), "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", name], check=True
        )
        former = connection.settings_dict
        connection.close()
        connection.settings_dict = {**former, "HOST": "127.0.0.1", "PORT": str(server.port), "USER": "postgres"}
        try:
            call_command("migrate", verbosity=0)
            yield server
        finally:
            connection.close()
            connection.settings_dict = former


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_database_that_restarts_under_load_costs_time_and_nothing_else(
    postgresql_server: PostgreSQL, start_workers: StartWorkers, end: str
):
    limits = {"HEARTBEAT_SECONDS": 0.25, "DEAD_AFTER_SECONDS": 1.0}
    url = postgresql_server.url.rpartition("/")[0] + "/" + connection.settings_dict["NAME"]
    workers = [
        start_workers("--processes", "2", options=limits, environment={"DJANGO_JOBS_TEST_DATABASE": url})
        for _ in range(2)
    ]
    lives = {each.pk for each in living_workers(4)}
    jobs = enqueue_many([rest.request(0.01 * (number % 10)) for number in range(3000)])
    wait_until(lambda: Job.objects.successful().count() > 200, what="the first of many")
    finished = dict(Job.objects.successful().values_list("pk", "finished_at"))
    connection.close()
    getattr(postgresql_server, end)()
    with pytest.raises(OperationalError, match="refused"):
        add.enqueue(1, 1)
    connection.close()
    # An outage beyond the limit: those who come back first find everybody else silent.
    away_since = monotonic()
    wait_until(lambda: monotonic() - away_since > 3 * limits["DEAD_AFTER_SECONDS"])
    postgresql_server.start()
    wait_until(lambda: Job.objects.successful().count() == len(jobs), what="the end of all jobs")
    assert all("The database is away" in each.output() for each in workers)
    assert starts() == {1}
    assert dict(Job.objects.filter(pk__in=finished).values_list("pk", "finished_at")) == finished
    assert not Attempt.objects.exists()
    assert {each.pk for each in living_workers(4)} == lives
    assert Worker.objects.count() == len(lives)
