"""A transport in Redis of its own for each test, on the server of the run, which may be shared with others."""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest
from django.conf import settings
from redis import Redis

from django_jobs.transports.redis import RedisTransport
from django_jobs.transports.redis.keys import Keys
from tests.redis_servers import Cluster, Watched
from tests.servers import Redis as RedisServer


@pytest.fixture(scope="session")
def address() -> str:
    """Where the run's Redis is: redis://..., or embedded:."""
    return settings.DJANGO_JOBS["TRANSPORT"]


@pytest.fixture
def prefix() -> str:
    return f"test_{uuid4().hex}"


@pytest.fixture
def keys(prefix: str) -> Keys:
    return Keys(prefix)


@pytest.fixture
def client(address: str, prefix: str) -> Iterator[Redis]:
    """A plain client of that server, to look and to do harm; takes the test's keys away at the end, and no others."""
    if address.startswith("embedded:"):
        from django_jobs.transports.redis.embedded import join

        address = f"unix://{join()}"
    with Redis.from_url(address, protocol=3) as client:
        yield client
        for key in client.scan_iter(f"{{{prefix}:*"):
            client.delete(key)


@pytest.fixture
def redis_transport(address: str, prefix: str, client: Redis) -> Iterator[RedisTransport]:
    transport = RedisTransport(address, prefix)
    yield transport
    transport.close()


@pytest.fixture(scope="session")
def servers_and_sentinels() -> Iterator[Watched]:
    """Servers for all tests of a run; whichever of the two is the primary, the other one follows it, or is about to."""
    with ExitStack() as stack:
        yield Watched(stack)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes for all tests of a run, whichever of them has which slots."""
    with ExitStack() as stack:
        yield Cluster(stack)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server for this test alone, which may be stopped, killed and changed."""
    with RedisServer() as server:
        yield server
