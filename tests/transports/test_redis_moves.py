"""A server that is somewhere else by now: a former primary that has become a replica, one that hangs."""

from collections.abc import Iterator

import pytest
from redis import ConnectionPool, RedisError

from django_jobs.errors import TransportError
from django_jobs.transports.redis.connection import Patience
from django_jobs.transports.redis.moving import KnownServer, Place
from tests.redis_servers import RedisWithOptions
from tests.transports.test_redis_failures import hanging

pytestmark = pytest.mark.once

IMPATIENT = Patience(connect_seconds=5, answer_seconds=0.1)


class Wanderer(KnownServer):
    """Is where the test says; `searches` counts how often it was looked for."""

    def __init__(self, server: RedisWithOptions) -> None:
        super().__init__("The wanderer", ConnectionPool(), [])
        self.server, self.searches = server, 0

    def _find(self, error: RedisError | None) -> Place:
        self.searches += 1
        return {"host": "127.0.0.1", "port": self.server.port}

    def _ask_for_place(self, client: object) -> Place:
        raise AssertionError


@pytest.fixture
def servers() -> Iterator[tuple[RedisWithOptions, RedisWithOptions]]:
    with RedisWithOptions() as one, RedisWithOptions() as other:
        yield one, other


def test_a_server_that_has_not_moved_is_looked_for_once(servers: tuple[RedisWithOptions, RedisWithOptions]):
    wanderer = Wanderer(servers[0])
    for number in range(3):
        assert wanderer.ask(lambda client: client.incr("count")) == number + 1
    assert wanderer.searches == 1
    wanderer.close()


def test_a_former_primary_that_takes_no_more_writes_is_left_at_once(
    servers: tuple[RedisWithOptions, RedisWithOptions],
):
    former, current = servers
    wanderer = Wanderer(former)
    wanderer.ask(lambda client: client.set("key", "former"))
    with former.client() as client:
        client.replicaof("127.0.0.1", current.port)
    wanderer.server = current
    wanderer.ask(lambda client: client.set("key", "current"))
    with current.client() as client:
        assert client.get("key") == b"current"
    assert wanderer.describe().startswith(f"The wanderer at redis://127.0.0.1:{current.port}/0 (Redis ")
    wanderer.close()


def test_one_that_hangs_is_not_waited_for_twice_and_left_with_the_next_question(
    servers: tuple[RedisWithOptions, RedisWithOptions],
):
    former, current = servers
    wanderer = Wanderer(former)
    wanderer.ask(lambda client: client.ping())
    with hanging(former):
        wanderer.server = current
        with pytest.raises(TransportError):
            wanderer.ask(lambda client: client.incr("count"), IMPATIENT)
        assert wanderer.searches == 1
        assert wanderer.ask(lambda client: client.incr("count")) == 1
    assert wanderer.searches == 2
    wanderer.close()


def test_one_that_is_nowhere_is_looked_for_once_a_question(servers: tuple[RedisWithOptions, RedisWithOptions]):
    wanderer = Wanderer(servers[0])
    wanderer.ask(lambda client: client.ping())
    servers[0].kill()
    for number in range(2, 4):
        with pytest.raises(TransportError, match="Connection refused"):
            wanderer.ask(lambda client: client.ping())
        assert wanderer.searches == number
    servers[0].start()
    assert wanderer.ask(lambda client: client.ping())
    wanderer.close()
