"""Reach one server: where it stands, how long to wait for it, and one name for everything that can go wrong."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redis import ConnectionError as RedisConnectionError
from redis import ConnectionPool, Redis, RedisError, SSLConnection, UnixDomainSocketConnection
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from django_jobs.conf import SETTING
from django_jobs.errors import ConfigurationError, TransportError
from django_jobs.transports.base import ServerFacts

Answer = TypeVar("Answer")

# The client's own default of 100 would refuse the bells of a process with more threads.
MOST_CONNECTIONS = 100_000
# What a pool adds to the options of its connections by itself.
OF_THE_POOL = ("himport_", "maint_", "orig_")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a connection, and for each answer."""

    connect_seconds: float
    answer_seconds: float


# Who stores a job stands in a web request, and the job is safe in the table already.
HURRIED = Patience(connect_seconds=0.5, answer_seconds=1.0)
# A worker has nothing better to do.
PATIENT = Patience(connect_seconds=2.0, answer_seconds=5.0)


class Server:
    """One server, spoken to through a pool of connections for each kind of patience. Connects at first use."""

    def __init__(self, name: str, where: ConnectionPool) -> None:
        """Speak like the connections of `where`, a pool that itself is not used."""
        self.name = name
        self._where = where
        self._clients: dict[Patience, Redis] = {}
        self._lock = threading.Lock()

    def ask(self, act: Callable[[Redis], Answer], patience: Patience = PATIENT) -> Answer:
        """Return what `act` answers when given a client. Raises TransportError, whatever went wrong."""
        try:
            return act(self._client(patience))
        except RedisError as error:
            text = str(error)
            harmless = self._without_secrets(text)
            raise TransportError(
                f"{self.name} could not do its part: {harmless.rstrip('.')}. Jobs are safe in the database; "
                f"if this lasts, look after that server or change {SETTING}['TRANSPORT']."
            ) from (error if harmless == text else None)

    def describe(self) -> str:
        return f"{self.name} ({self.facts().product})"

    def facts(self) -> ServerFacts:
        # Of managed servers many refuse CONFIG, none INFO.
        info: dict[str, Any] = self.ask(lambda client: client.info("server") | client.info("memory"))
        version = str(info["redis_version"])
        return ServerFacts(
            product=f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}",
            redis_version=tuple(int(part) for part in re.findall(r"\d+", version)),
            eviction_policy=str(info.get("maxmemory_policy", "noeviction")),
        )

    def close(self) -> None:
        with self._lock:
            while self._clients:
                self._clients.popitem()[1].connection_pool.disconnect()

    def _client(self, patience: Patience) -> Redis:
        with self._lock:
            if patience not in self._clients:
                self._clients[patience] = Redis(connection_pool=_make_pool(self._where, patience))
            return self._clients[patience]

    def _without_secrets(self, text: str) -> str:
        """Some servers quote the command that they refuse, and the first one carries the password."""
        secret = self._where.connection_kwargs.get("password")
        return text.replace(secret, "***") if secret else text


class EmbeddedServer(Server):
    """The private server of the project: started or joined at first use, and again when it has vanished."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        super().__init__("The embedded server", ConnectionPool(connection_class=UnixDomainSocketConnection))

    def ask(self, act: Callable[[Redis], Answer], patience: Patience = PATIENT) -> Answer:
        if "path" not in self._where.connection_kwargs:
            self._join()
        try:
            return super().ask(act, patience)
        except TransportError as error:
            if not isinstance(error.__cause__, RedisConnectionError):
                raise
        self._join()
        return super().ask(act, patience)

    def describe(self) -> str:
        return f"embedded {self.facts().product}"

    def _join(self) -> None:
        # Late: what it needs exists only where somebody wants it.
        from django_jobs.transports.redis import embedded

        self._where.connection_kwargs["path"] = embedded.join(self._directory)


def connect(address: str) -> Server:
    """Return the server that an address means, without asking it anything. Raises ConfigurationError."""
    scheme, _, rest = address.partition(":")
    if scheme == "embedded":
        return EmbeddedServer(Path(rest) if rest else None)
    where = _pool_of_cache(rest) if scheme == "cache" else _pool_of_url(address)
    place = _place(where)
    return Server(f"{address} at {place}" if scheme == "cache" else place, where)


def _pool_of_url(address: str) -> ConnectionPool:
    try:
        pool = ConnectionPool.from_url(address)
        # An option that does not exist shows only here; nothing is connected yet.
        pool.make_connection()
    except (ValueError, TypeError, RedisError):
        # What the client says, and the address itself, may hold a password.
        scheme = address.partition(":")[0]
        raise ConfigurationError(
            f"{SETTING}['TRANSPORT'] starts with {scheme!r} but the rest is no address with options that the Redis "
            f"client knows. Write {scheme}://{'/path/of/socket' if scheme == 'unix' else 'host:6379/0'}, and special "
            "characters of a password as %XX."
        ) from None
    return pool


def _pool_of_cache(alias: str) -> ConnectionPool:
    """Ask django-redis, because a cache's password, certificates and socket may stand in five places."""
    try:
        from django_redis import get_redis_connection
    except ImportError:
        raise ConfigurationError(
            f"{SETTING}['TRANSPORT'] is 'cache:{alias}', which needs django-redis. "
            "Install django-durable-jobs[django-redis], or write the address of the server itself."
        ) from None
    from django.core.cache import InvalidCacheBackendError

    try:
        pool: ConnectionPool = get_redis_connection(alias).connection_pool
    except (InvalidCacheBackendError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{SETTING}['TRANSPORT'] is 'cache:{alias}', but CACHES[{alias!r}] is no cache of django-redis. "
            "Name the alias of one that is, or write the address of the server itself."
        ) from error
    if "connection_pool" in pool.connection_kwargs:
        raise ConfigurationError(
            f"{SETTING}['TRANSPORT'] is 'cache:{alias}', which asks Redis Sentinel; that is not available yet. "
            "Write the address of the server itself."
        )
    return pool


def _make_pool(where: ConnectionPool, patience: Patience) -> ConnectionPool:
    """Say everything that matters explicitly: an address or a cache may say otherwise, and defaults change."""
    options = {
        **{name: value for name, value in where.connection_kwargs.items() if not name.startswith(OF_THE_POOL)},
        "protocol": 3,
        "decode_responses": False,
        "socket_connect_timeout": patience.connect_seconds,
        "socket_timeout": patience.answer_seconds,
        # A take that the client repeats would be a second take.
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        # With it the client would use connections again that still hold the rest of an answer.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "max_connections": MOST_CONNECTIONS,
    }
    return ConnectionPool(connection_class=where.connection_class, **options)


def _place(pool: ConnectionPool) -> str:
    """Return where a pool connects to, made from harmless parts only, so that no secret can slip through."""
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}?db={options.get('db', 0)}"
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"
