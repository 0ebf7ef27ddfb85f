"""Speak with one server: how long to wait for it, and one name for everything that can go wrong."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from redis import ConnectionPool, Redis, RedisError, SSLConnection
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from django_jobs.conf import SETTING
from django_jobs.errors import TransportError
from django_jobs.transports.base import ServerFacts

Answer = TypeVar("Answer")

# The client's own default of 100 would refuse the bells of a process with more threads.
MOST_CONNECTIONS = 100_000
# What a pool adds to the options of its connections by itself.
OF_THE_POOL = ("himport_", "maint_", "orig_")
HIDDEN = "***"
# The user of those who name none.
EVERYBODY = "default"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a connection, and for each answer."""

    connect_seconds: float
    answer_seconds: float


# Who stores a job stands in a web request, and the job is safe in the table already.
HURRIED = Patience(connect_seconds=0.5, answer_seconds=1.0)
# A worker has nothing better to do.
PATIENT = Patience(connect_seconds=2.0, answer_seconds=5.0)
# Who is asked for the way answers at once, or the next one is asked.
FLEETING = Patience(connect_seconds=0.5, answer_seconds=0.5)


class Server:
    """One server, spoken to through a pool of connections for each kind of patience. Connects at first use."""

    def __init__(self, name: str, where: ConnectionPool) -> None:
        """Speak like the connections of `where`, a pool that itself is not used."""
        self.name = name
        self._where = where
        # Whose passwords and users must not be told.
        self._secretive = [where]
        self._clients: dict[Patience, Redis] = {}
        self._lock = threading.Lock()

    def ask(self, act: Callable[[Redis], Answer], patience: Patience = PATIENT) -> Answer:
        """Return what `act` answers when given a client. Raises TransportError, whatever went wrong."""
        try:
            return self._act(act, patience)
        except RedisError as error:
            text = str(error)
            harmless = self._without_secrets(text)
            raise TransportError(
                f"{self.name} could not do its part: {harmless.rstrip('.')}. Jobs are safe in the database; "
                f"if this lasts, look after that server or change {SETTING}['TRANSPORT']."
            ) from (error if harmless == text else None)

    def describe(self) -> str:
        product = self.facts().product
        # Only now a server that had to be looked for knows where it is.
        return f"{self.name} ({product})"

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

    def _act(self, act: Callable[[Redis], Answer], patience: Patience) -> Answer:
        return act(self._client(patience))

    def _client(self, patience: Patience) -> Redis:
        with self._lock:
            if patience not in self._clients:
                self._clients[patience] = Redis(connection_pool=make_pool(self._where, patience))
            return self._clients[patience]

    def _without_secrets(self, text: str) -> str:
        """Some servers quote the command that they refuse, and the first one carries the password; some name users."""
        for pool in self._secretive:
            if password := pool.connection_kwargs.get("password"):
                text = text.replace(password, HIDDEN)
            user = pool.connection_kwargs.get("username")
            if user and user != EVERYBODY:
                text = re.sub(rf"(?<!\w){re.escape(user)}(?!\w)", HIDDEN, text)
        return text


def make_pool(where: ConnectionPool, patience: Patience) -> ConnectionPool:
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


def place_of(pool: ConnectionPool) -> str:
    """Return where a pool connects to, made from harmless parts only, so that no secret can slip through."""
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}?db={options.get('db', 0)}"
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"
