"""The transport that the settings name: one a process, made at first use, made anew after a fork or a change."""

import os
import threading

from django.core.signals import setting_changed

from django_jobs.conf import SETTING, did_you_mean, get_settings
from django_jobs.errors import ConfigurationError
from django_jobs.transports.base import Transport

IN_REDIS = (
    *("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
    *("cache", "embedded"),
)
SCHEMES = ("database", "memory", *IN_REDIS)

_lock = threading.Lock()
_transports: dict[tuple[int, str, str], Transport] = {}


def get_transport() -> Transport:
    """Return this process's transport. Connects to nothing. Raises ConfigurationError."""
    settings = get_settings()
    key = (os.getpid(), settings.TRANSPORT, settings.PREFIX)
    transport = _transports.get(key)
    if transport is None:
        with _lock:
            transport = _transports.get(key)
            if transport is None:
                transport = _transports[key] = _make(settings.TRANSPORT, settings.PREFIX)
    return transport


def close_transports() -> None:
    """Close every transport of this process; the next use makes a new one."""
    with _lock:
        mine = [key for key in _transports if key[0] == os.getpid()]
        for key in mine:
            _transports.pop(key).close()


def _make(address: str, prefix: str) -> Transport:
    """Import late: a project that rings through the database never pays for the Redis client."""
    scheme = address.partition(":")[0]
    if scheme == "database":
        from django_jobs.transports.database import DatabaseTransport

        return DatabaseTransport()
    if scheme == "memory":
        from django_jobs.transports.memory import MemoryTransport

        return MemoryTransport()
    if scheme in IN_REDIS:
        from django_jobs.transports.redis import RedisTransport

        return RedisTransport(address, prefix)
    if scheme.startswith("kombu+"):
        raise ConfigurationError(f"The transport {scheme!r} is not available yet.")
    raise ConfigurationError(
        f"{SETTING}['TRANSPORT'] starts with {scheme!r}, which is no transport."
        f"{did_you_mean(scheme, SCHEMES)} Known are: {', '.join(SCHEMES)}."
    )


def _start_afresh() -> None:
    """Leave the parent's sockets alone: closing them here would end them for the parent as well."""
    global _lock
    _lock = threading.Lock()


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting in (SETTING, "CACHES"):
        close_transports()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_start_afresh)
setting_changed.connect(_forget, dispatch_uid="django_jobs.transports")
