"""Every way to write where the server is. Nothing is connected here."""

import re
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from redis import Connection, ConnectionPool, RedisError, SSLConnection
from redis.sentinel import SentinelConnectionPool

from django_jobs.conf import SETTING
from django_jobs.errors import ConfigurationError
from django_jobs.transports.redis.connection import Server, place_of
from django_jobs.transports.redis.moving import ClusterServer, EmbeddedServer, SentinelServer

SENTINEL_PORT, REDIS_PORT = 26379, 6379

# Of a missing one TLS says only that something is missing.
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
# What a right address looks like.
SHAPES = {
    "unix": "unix:///path/of/socket",
    "redis": "redis://host:6379/0",
    "rediss": "rediss://host:6379/0",
    "redis+sentinel": "redis+sentinel://host:26379,host2:26379/service/0",
    "rediss+sentinel": "rediss+sentinel://host:26379,host2:26379/service/0",
    "redis+cluster": "redis+cluster://host:6379,host2:6379",
    "rediss+cluster": "rediss+cluster://host:6379,host2:6379",
}


def connect(address: str, key: str = "") -> Server:
    """Return the server that an address means, without asking it anything. Raises ConfigurationError.

    `key` is any of those that it will be asked for; in a Cluster it is the slot of this one that counts.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "embedded":
        return EmbeddedServer(Path(rest) if rest else None)
    if scheme == "cache":
        return _server_of_cache(address, rest)
    try:
        if scheme.endswith("+sentinel"):
            return _sentinel_server(_split(address))
        if scheme.endswith("+cluster"):
            return _cluster_server(_split(address), key)
        where = _pool(address)
    except ConfigurationError:
        raise
    except (ValueError, TypeError, RedisError):
        _refuse(scheme)
    return Server(place_of(where), where)


def _refuse(scheme: str) -> NoReturn:
    # What the client says, and the address itself, may hold a password.
    raise ConfigurationError(
        f"{SETTING}['TRANSPORT'] starts with {scheme!r} but the rest is no address with options that the Redis "
        f"client knows. Write {SHAPES[scheme]}, and special characters of a password as %XX."
    ) from None


def _split(address: str) -> SplitResult:
    """Split an address of several hosts: urlsplit, lately, refuses an IPv6 address that has others beside it."""
    scheme, _, rest = address.partition("://")
    rest, _, query = rest.partition("?")
    hosts, slash, path = rest.partition("/")
    return SplitResult(scheme, hosts, slash + path, query, "")


def _pool(address: str) -> ConnectionPool:
    pool = ConnectionPool.from_url(address)
    # An option that does not exist shows only here; nothing is connected yet.
    pool.make_connection()
    for option in FILES:
        file = pool.connection_kwargs.get(option)
        if file and not Path(file).is_file():
            raise ConfigurationError(
                f"{SETTING}['TRANSPORT'] says {option}={file!r}, but this process sees no such file. Write its whole "
                "path, and let the user of this process read it."
            )
    return pool


def _sentinel_server(address: SplitResult) -> Server:
    """User, password and database are the server's; all other options are those of the sentinels too."""
    path = re.fullmatch(r"/([^/]+)(/\d+)?/?", address.path)
    if path is None:
        raise ValueError("no service")
    options = dict(parse_qsl(address.query, strict_parsing=bool(address.query)))
    user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    scheme, credentials, hosts = _parts(address, SENTINEL_PORT)
    where = _pool(f"{scheme}://{credentials}{hosts[0]}{path[2] or ''}?{urlencode(options)}")
    options.pop("db", None)
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    sentinels = [_pool(f"{scheme}://{credentials}{host}?{urlencode(options)}") for host in hosts]
    return SentinelServer(f"{address.scheme}://{','.join(hosts)}{path[0]}", where, sentinels, path[1])


def _cluster_server(address: SplitResult, key: str) -> Server:
    scheme, credentials, hosts = _parts(address, REDIS_PORT)
    nodes = [_pool(f"{scheme}://{credentials}{host}?{address.query}") for host in hosts]
    where = _pool(f"{scheme}://{credentials}{hosts[0]}?{address.query}")
    if address.path not in ("", "/", "/0") or where.connection_kwargs.get("db"):
        raise ConfigurationError(f"{SETTING}['TRANSPORT'] names a database, but a Cluster has only one. Leave it out.")
    return ClusterServer(f"{address.scheme}://{','.join(hosts)}", where, nodes, key)


def _parts(address: SplitResult, port: int) -> tuple[str, str, list[str]]:
    """Return the scheme of one server, user and password up to the "@", and each host with its port."""
    credentials, at, hosts = address.netloc.rpartition("@")
    all_hosts = []
    for host in hosts.split(","):
        each = urlsplit(f"//{host}")
        if not each.hostname:
            raise ValueError("no host")
        all_hosts.append(host if each.port else f"{host.rstrip(':')}:{port}")
    return address.scheme.partition("+")[0], credentials + at, all_hosts


def _server_of_cache(address: str, alias: str) -> Server:
    pool = _pool_of_cache(alias)
    if isinstance(pool, SentinelConnectionPool):
        kind = SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection
        options = {name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"}
        where = ConnectionPool(connection_class=kind, **options)
        sentinels = [each.connection_pool for each in pool.sentinel_manager.sentinels]
        return SentinelServer(address, where, sentinels, pool.service_name)
    return Server(f"{address} at {place_of(pool)}", pool)


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
    return pool
