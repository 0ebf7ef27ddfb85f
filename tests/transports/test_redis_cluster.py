"""Redis as a Cluster: the contract, and a slot that moves or forgets. All keys of a prefix lie in one slot."""

from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs import enqueue_many
from django_jobs.errors import ConfigurationError, TransportError
from django_jobs.models import Job
from django_jobs.testing.transports import HandingOutContract, Taker, bell, ids, waiting
from django_jobs.transports import get_transport
from django_jobs.transports.base import Transport
from django_jobs.transports.redis import RedisTransport
from django_jobs.transports.redis.keys import Keys
from tests.conftest import StartWorkers
from tests.project.jobs import add
from tests.redis_servers import Cluster
from tests.servers import Redis, free_port
from tests.waiting import wait_until
from tests.worker.watching import all_successful

pytestmark = pytest.mark.once


@pytest.fixture
def nodes(cluster: Cluster) -> Cluster:
    return cluster


@pytest.fixture
def transport(nodes: Cluster, prefix: str) -> Iterator[RedisTransport]:
    transport = RedisTransport(nodes.url, prefix)
    yield transport
    transport.close()


class TestInACluster(HandingOutContract):
    @pytest.fixture
    def transport(self, transport: RedisTransport) -> Transport:
        return transport


def test_a_prefix_whose_keys_would_lie_in_many_slots_is_refused(settings: Any):
    settings.DJANGO_JOBS = {"PREFIX": "}shop"}
    with pytest.raises(ConfigurationError, match="must not start with a closing brace"):
        get_transport()


def test_prefixes_spread_over_the_nodes(nodes: Cluster):
    described = {}
    for prefix in ("one", "three", "eleven"):
        transport, only = RedisTransport(nodes.url, prefix), bell()
        transport.announce([only])
        assert Taker(transport).take().ids == ids(only)
        described[transport.describe()] = nodes.owner(Keys(prefix).epoch)
        transport.close()
    assert described.keys() == {
        f"{nodes.url} at redis://127.0.0.1:{node.port}/0 (Redis {node.version()})" for node in nodes.nodes
    }
    assert sorted(described.values()) == [0, 1, 2]


def test_a_node_that_does_not_answer_is_passed_over(nodes: Cluster, prefix: str):
    transport, only = RedisTransport(nodes.url.replace("://", f"://127.0.0.1:{free_port()},"), prefix), bell()
    transport.announce([only])
    assert Taker(transport).take().ids == ids(only)
    transport.close()


def test_a_server_that_is_no_cluster_is_used_as_it_is(server: Redis, prefix: str):
    transport, only = RedisTransport(f"redis+cluster://127.0.0.1:{server.port}", prefix), bell()
    transport.announce([only])
    assert Taker(transport).take().ids == ids(only)
    transport.close()


def test_a_slot_that_has_moved_is_followed_by_all(nodes: Cluster, transport: RedisTransport, prefix: str, keys: Keys):
    other, first, second = RedisTransport(nodes.url, prefix), bell(), bell(seconds=-1)
    taker = Taker(transport)
    other.announce([first])
    source = nodes.owner(keys.epoch)
    nodes.move(keys.epoch, (source + 1) % 3)
    assert not transport.is_flushed()
    other.announce([second])
    assert taker.take().ids == ids(second, first)
    with waiting(transport, ["elsewhere"]):
        nodes.move(keys.epoch, (source + 2) % 3)
        other.announce([bell("elsewhere")])
    other.close()


def test_a_slot_on_its_way_is_away_until_it_has_arrived(nodes: Cluster, transport: RedisTransport, keys: Keys):
    taker, before = Taker(transport), bell(seconds=-1)
    transport.announce([before])

    def look() -> None:
        with pytest.raises(TransportError, match=r"The slot of .* is on its way to another node"):
            taker.take()

    nodes.move(keys.epoch, (nodes.owner(keys.epoch) + 1) % 3, between=look)
    assert taker.take().ids == ids(before)


@pytest.mark.django_db(transaction=True)
def test_workers_go_on_when_the_node_forgets_and_when_the_slot_moves(
    nodes: Cluster, settings: Any, start_workers: StartWorkers
):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": nodes.url}
    key = Keys(settings.DJANGO_JOBS["PREFIX"]).epoch
    jobs = enqueue_many([add.request(number, 1) for number in range(300)])
    start_workers()
    wait_until(lambda: not get_transport().is_flushed(), what="the transport is open")

    with nodes.nodes[nodes.owner(key)].client() as client:
        client.flushall()
    jobs += enqueue_many([add.request(number, 1) for number in range(300)])
    wait_until(lambda: not get_transport().is_flushed(), what="the transport is open again")

    target = (nodes.owner(key) + 1) % 3
    nodes.move(key, target)
    with nodes.nodes[target].client() as client:
        client.config_resetstat()
    jobs += enqueue_many([add.request(number, 1) for number in range(300)])
    all_successful(jobs)
    assert set(Job.objects.values_list("starts", flat=True)) == {1}
    with nodes.nodes[target].client() as client:
        assert "cmdstat_rpush" in client.info("commandstats")
