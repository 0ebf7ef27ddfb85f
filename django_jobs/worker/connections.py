"""Database connections of a worker: its own, which decide, and those of the bodies, which are kept between jobs."""

import copy
import logging
import threading
from math import ceil

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from django_jobs import clock
from django_jobs.conf import OWN_CONNECTION, get_settings

logger = logging.getLogger("django_jobs")

OLDEST_SECONDS = 300.0
IDLE_SECONDS = 60.0

_ages = threading.local()


def use_own_connection(alias: str) -> None:
    """Give this thread a connection of the worker's own: READ COMMITTED whatever the settings say, kept, not pooled."""
    settings = copy.deepcopy(connections.settings[alias])
    settings["ATOMIC_REQUESTS"] = False
    settings["CONN_MAX_AGE"] = None
    settings["CONN_HEALTH_CHECKS"] = False
    settings[OWN_CONNECTION] = True
    options = settings.setdefault("OPTIONS", {})
    options.pop("pool", None)
    backend = load_backend(settings["ENGINE"]).DatabaseWrapper
    match backend.vendor:
        case "postgresql":
            options["isolation_level"] = _read_committed()
            # Who lets the driver prepare statements gets the worker's, the same few over and over, prepared.
            if options.get("prepare_threshold") is not None:
                options["server_side_binding"] = True
        case "mysql":
            options["isolation_level"] = "read committed"
            options["init_command"] = _limiting_idleness(options.get("init_command", ""))
        case "sqlite":
            options["transaction_mode"] = "IMMEDIATE"
    connections[alias] = backend(settings, alias)


def _limiting_idleness(command: str) -> str:
    """Have MariaDB end the session of a process that is frozen in the middle of a transaction, with what it locks.

    PostgreSQL is told so with the transactions. Added to what the settings say, if that is a SET; for MySQL a comment.
    """
    command = command.strip().rstrip(";") or "SET @django_jobs = 1"
    if not command.upper().startswith("SET "):
        return command
    return f"{command} /*M!100301 , SESSION idle_transaction_timeout = {ceil(get_settings().DEAD_AFTER_SECONDS)} */"


def leave_pools() -> None:
    """Let each thread of this process have connections of its own, whatever the settings say of psycopg's pool.

    JobTimeout strikes a body wherever it is. Inside of the pool it would cost it a connection, each time, until none
    was left. And a pool with fewer connections than jobs run at once would have them wait for each other.
    """
    connections.close_all()
    for database in connections.settings.values():
        database["OPTIONS"].pop("pool", None)


def close_connections() -> None:
    """Close every connection of this thread."""
    connections.close_all()


def care_for_connections(*, distrust: bool = False) -> None:
    """Leave this thread's connections clean after a body, and open: a reconnect per job would cost more than the job.

    Closed is what a body left in a transaction, what broke, what is old, and with `distrust` all. Whatever a body did
    to a connection: this raises nothing, for the thread has more jobs to run.
    """
    for connection in connections.all(initialized_only=True):
        try:
            _care(connection, distrust)
        except Exception:
            logger.exception("A job left the connection %r in a state that cannot be mended.", connection.alias)
            connection.connection = None


def _care(connection: BaseDatabaseWrapper, distrust: bool) -> None:
    ages: dict[str, tuple[object, float]] = _ages.__dict__
    now = clock.monotonic()
    raw = connection.connection
    if raw is None:
        return
    known, since = ages.get(connection.alias, (None, now))
    if known is not raw:
        ages[connection.alias] = (raw, now)
        since = now
    if connection.in_atomic_block or not connection.get_autocommit():
        _abandon(connection)
    elif distrust or now - since > OLDEST_SECONDS or (connection.errors_occurred and not connection.is_usable()):
        connection.close()
    connection.errors_occurred = False
    connection.queries_log.clear()


def _abandon(connection: BaseDatabaseWrapper) -> None:
    """Close a connection in the middle of a transaction; the server rolls back what was open."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.run_on_commit = []
    connection.needs_rollback = False
    connection.close()


def _read_committed() -> object:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    return IsolationLevel.READ_COMMITTED
