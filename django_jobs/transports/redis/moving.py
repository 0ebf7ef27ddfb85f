"""Servers whose place only others know: it is asked for at first use, and again when nobody is there any more."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from redis import ConnectionError as RedisConnectionError
from redis import ConnectionPool, Redis, RedisError, UnixDomainSocketConnection
from redis import TimeoutError as RedisTimeoutError
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, TryAgainError
from redis.utils import str_if_bytes

from django_jobs.transports.redis.connection import FLEETING, Answer, Patience, Server, make_pool, place_of

# The options of a connection that say where it goes.
Place: TypeAlias = dict[str, Any]

# Said at once, so there is time for another try. It does no harm if the first one was heard: bells may be rung twice,
# and a take carries the number of the answer that it wants.
ELSEWHERE = (RedisConnectionError, MovedError, ReadOnlyError)
# Nothing to wait for a second time now; the next one shall ask for the way.
PERHAPS_ELSEWHERE = (*ELSEWHERE, RedisTimeoutError, ClusterDownError)


class MovingServer(Server):
    """A server that is looked for before anything is asked, and once more when it turns out to be elsewhere."""

    _is_found = False

    @abstractmethod
    def _find(self, error: RedisError | None) -> Place:
        """Return where it is now; `error` is what the former place said."""

    def _act(self, act: Callable[[Redis], Answer], patience: Patience) -> Answer:
        error: RedisError | None = None
        if self._is_found:
            try:
                return super()._act(act, patience)
            except ELSEWHERE as answer:
                error = answer
        self._move(self._find(error))
        return super()._act(act, patience)

    def _move(self, place: Place) -> None:
        with self._lock:
            options = self._where.connection_kwargs
            if not place.items() <= options.items():
                options.update(place)
                while self._clients:
                    # What other threads still use at the old place ends by itself.
                    self._clients.popitem()[1].connection_pool.disconnect(inuse_connections=False)
            self._is_found = True


class EmbeddedServer(MovingServer):
    """The private server of the project: started or joined at first use, and again when it has vanished."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        super().__init__("The embedded server", ConnectionPool(connection_class=UnixDomainSocketConnection))

    def describe(self) -> str:
        return f"embedded {self.facts().product}"

    def _find(self, error: RedisError | None) -> Place:
        # Late: what it needs exists only where somebody wants it.
        from django_jobs.transports.redis import embedded

        return {"path": embedded.join(self._directory)}


class KnownServer(MovingServer):
    """A server that others know of, who are asked one after the other; who does not answer is passed over."""

    def __init__(self, name: str, where: ConnectionPool, known: Sequence[ConnectionPool]) -> None:
        super().__init__(name, where)
        self._known = known
        self._address = name
        self._secretive += known

    def _act(self, act: Callable[[Redis], Answer], patience: Patience) -> Answer:
        try:
            return super()._act(act, patience)
        except PERHAPS_ELSEWHERE:
            self._is_found = False
            raise

    @abstractmethod
    def _ask_for_place(self, client: Redis) -> Place:
        """Return the place that this one names. Raises RedisError."""

    def _find(self, error: RedisError | None) -> Place:
        # No connection is kept: this happens seldom, and there are many workers.
        for pool in self._known:
            try:
                with Redis.from_pool(make_pool(pool, FLEETING)) as client:
                    return self._ask_for_place(client)
            except RedisError as answer:
                error = answer
        assert error is not None
        raise error

    def _move(self, place: Place) -> None:
        super()._move(place)
        self.name = f"{self._address} at {place_of(self._where)}"


class SentinelServer(KnownServer):
    """The primary of a service, as sentinels see it."""

    def __init__(self, name: str, where: ConnectionPool, sentinels: Sequence[ConnectionPool], service: str) -> None:
        super().__init__(name, where, sentinels)
        self._service = service

    def _ask_for_place(self, client: Redis) -> Place:
        found: Any = client.sentinel_get_master_addr_by_name(self._service)
        if found is None:
            raise RedisError(f"No sentinel that was asked knows a primary of {self._service!r}")
        host, port = found
        return {"host": str_if_bytes(host), "port": port}


class ClusterServer(KnownServer):
    """The node of a Cluster that has the slot of `key`. All our keys lie there, so nobody else is ever spoken with."""

    def __init__(self, name: str, where: ConnectionPool, nodes: Sequence[ConnectionPool], key: str) -> None:
        super().__init__(name, where, nodes)
        self._key = key

    def _act(self, act: Callable[[Redis], Answer], patience: Patience) -> Answer:
        try:
            return super()._act(act, patience)
        except (AskError, TryAgainError) as error:
            raise RedisError(f"The slot of {self._key!r} is on its way to another node ({error})") from error

    def _find(self, error: RedisError | None) -> Place:
        # The node that had the slot knows before all others who has it now.
        if isinstance(error, MovedError):
            return _named(error, self._where)
        return super()._find(error)

    def _ask_for_place(self, client: Redis) -> Place:
        pool = client.connection_pool
        try:
            client.exists(self._key)
        except MovedError as moved:
            return _named(moved, pool)
        return {each: pool.connection_kwargs[each] for each in ("host", "port")}


def _named(moved: MovedError, asked: ConnectionPool) -> Place:
    """Return the place that an answer names; one that does not know its own host means that of who was asked."""
    return {"host": moved.host or asked.connection_kwargs["host"], "port": moved.port}
