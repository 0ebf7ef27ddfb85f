"""Redis behind sentinels: the contract, a primary that dies, and what a replica that takes its place may lack."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.test import override_settings

from django_jobs.errors import TransportError
from django_jobs.models import Job
from django_jobs.testing.transports import HandingOutContract, Taker, bell, ids
from django_jobs.transports import get_transport
from django_jobs.transports.base import Transport
from django_jobs.transports.redis import RedisTransport
from django_jobs.transports.redis.keys import Keys
from tests.conftest import StartWorkers
from tests.project.jobs import add
from tests.redis_servers import SECRET, SERVICE, USER, Watched
from tests.servers import free_port
from tests.waiting import wait_until
from tests.worker.watching import all_successful

pytestmark = pytest.mark.once


@pytest.fixture
def servers(servers_and_sentinels: Watched) -> Watched:
    return servers_and_sentinels


@pytest.fixture
def transport(servers: Watched, prefix: str) -> Iterator[RedisTransport]:
    transport = RedisTransport(servers.url, prefix)
    yield transport
    transport.close()


class TestBehindSentinels(HandingOutContract):
    @pytest.fixture
    def transport(self, transport: RedisTransport) -> Transport:
        return transport


def test_the_description_names_the_primary_of_today(servers: Watched, transport: RedisTransport):
    assert transport.describe().startswith(f"{servers.url} at redis://127.0.0.1:{servers.current().port}/0 (Redis ")


def test_a_cache_behind_sentinels_can_be_used(servers: Watched, prefix: str):
    pytest.importorskip("django_redis")
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{SERVICE}/3",
        "OPTIONS": {
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": servers.hosts,
            "CONNECTION_POOL_KWARGS": {"socket_timeout": 0.001, "decode_responses": True},
        },
    }
    with override_settings(CACHES={"default": cache}):
        transport, only = RedisTransport("cache:default", prefix), bell()
        transport.announce([only])
        assert Taker(transport).take().ids == ids(only)
        assert transport.describe().startswith(f"cache:default at redis://127.0.0.1:{servers.current().port}/3 (Redis ")
        transport.close()


def test_a_sentinel_that_does_not_answer_is_passed_over(servers: Watched, prefix: str):
    transport, only = RedisTransport(servers.url.replace("://", f"://127.0.0.1:{free_port()},"), prefix), bell()
    transport.announce([only])
    assert Taker(transport).take().ids == ids(only)
    transport.close()


def test_sentinels_that_do_not_know_the_service_say_so(servers: Watched):
    transport = RedisTransport(servers.url.replace(f"/{SERVICE}/", "/shop/"), "test")
    with pytest.raises(TransportError, match="No sentinel that was asked knows a primary of 'shop'"):
        transport.announce([bell()])


def test_sentinels_that_are_all_away_are_a_transport_error_that_names_them():
    address = f"redis+sentinel://{USER}:open%2Fsesame%231@127.0.0.1:{free_port()}/shop"
    transport = RedisTransport(address, "test")
    with pytest.raises(TransportError, match=r"redis\+sentinel://127.0.0.1:\d+/shop could not") as caught:
        transport.announce([bell()])
    assert SECRET not in str(caught.value)
    assert USER not in str(caught.value)


def test_sentinels_have_a_user_and_a_password_of_their_own(servers: Watched, prefix: str):
    sentinel = servers.sentinels[0]
    with redis.Redis(port=sentinel.port) as client:
        client.execute_command("ACL", "SETUSER", USER, "on", f">{SECRET}", "+@all")
        client.execute_command("ACL", "SETUSER", "default", "resetpass", ">other")
    address = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}"
    try:
        with pytest.raises(TransportError, match="HELLO must be called with the client already authenticated"):
            RedisTransport(address, prefix).announce([bell()])
        options = f"sentinel_username={USER}&sentinel_password=open%2Fsesame%231"
        transport, only = RedisTransport(f"{address}?{options}", prefix), bell()
        transport.announce([only])
        assert Taker(transport).take().ids == ids(only)
        transport.close()
    finally:
        with redis.Redis(port=sentinel.port, username=USER, password=SECRET) as client:
            client.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.django_db(transaction=True)
def test_jobs_enqueued_before_during_and_after_a_failover_all_run_once(
    servers: Watched, settings: Any, start_workers: StartWorkers
):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": servers.url}
    workers = start_workers("--processes", "2")
    wait_until(lambda: not get_transport().is_flushed(), what="the transport is open")
    former = servers.current()
    jobs = [add.enqueue(number, 1) for number in range(50)]

    former.kill()

    def enqueue_another_and_see_who_is_primary() -> bool:
        jobs.append(add.enqueue(len(jobs), 1))
        return servers.current() is not former

    wait_until(enqueue_another_and_see_who_is_primary, what="a successor")
    successor = servers.current()
    wait_until(lambda: workers.output().count("The transport is back.") == 2, what="both workers find the successor")
    # What it had not received yet when the former one died is as good as deleted.
    with successor.client() as client:
        client.delete(Keys(settings.DJANGO_JOBS["PREFIX"]).queue("default"))
        client.config_resetstat()
    jobs += [add.enqueue(len(jobs) + number, 1) for number in range(50)]

    all_successful(jobs)
    assert Job.objects.count() == len(jobs)
    assert set(Job.objects.values_list("starts", flat=True)) == {1}
    with successor.client() as client:
        assert "cmdstat_rpush" in client.info("commandstats")
    former.start()
