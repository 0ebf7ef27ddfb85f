"""What the database itself says; only where Django was told to connect: `check --database`, `migrate`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage
from django.db import connections

from django_jobs.check_messages import error, warning
from django_jobs.conf import get_settings
from django_jobs.errors import ConfigurationError
from django_jobs.transitions.counting import connection_counts

# SKIP LOCKED came with these.
OLDEST_MARIADB = (10, 6)
OLDEST_MYSQL = (8, 0, 1)
# UPDATE ... RETURNING came with this.
OLDEST_SQLITE = (3, 35)


def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Ask the database of the jobs whether it can do what is needed."""
    try:
        alias = get_settings().DATABASE
    except ConfigurationError:
        return []
    if alias not in (databases or ()) or alias not in connections:
        return []
    ask: dict[str, Callable[[str], Iterator[CheckMessage]]] = {
        "mysql": _check_mysql,
        "postgresql": _check_postgresql,
        "sqlite": _check_sqlite,
    }
    vendor = connections[alias].vendor
    return [*ask[vendor](alias)] if vendor in ask else []


def is_too_old(version: tuple[int, ...], *, mariadb: bool) -> bool:
    """Tell whether a MySQL or MariaDB lacks SKIP LOCKED."""
    return version < (OLDEST_MARIADB if mariadb else OLDEST_MYSQL)


def _check_mysql(alias: str) -> Iterator[CheckMessage]:
    connection: Any = connections[alias]
    mariadb, version = connection.mysql_is_mariadb, connection.mysql_version
    if is_too_old(version, mariadb=mariadb):
        yield error(
            "E008",
            f"The database {alias!r} is {connection.display_name} {'.'.join(map(str, version))}, which cannot skip "
            "rows that others have locked: workers would wait for each other.",
            "Use MariaDB 10.6 or later, or MySQL 8.0.1 or later.",
        )
    if not connection.features.supports_transactions:
        yield error(
            "E018",
            f"Tables of the database {alias!r} know no transactions: its default storage engine is "
            f"{connection.features._mysql_storage_engine}.",
            "Set default_storage_engine = InnoDB on the server, and convert the tables that are there.",
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@log_bin, @@binlog_format")
        is_logged, form = cursor.fetchone()
    if is_logged and form == "STATEMENT":
        yield error(
            "E019",
            f"The database {alias!r} replicates statements (binlog_format is STATEMENT), which it refuses for the "
            "READ COMMITTED transactions of workers.",
            "Set binlog_format = ROW, or MIXED, on the server.",
        )


def _check_postgresql(alias: str) -> Iterator[CheckMessage]:
    options = connections[alias].settings_dict["OPTIONS"]
    prepares = options.get("prepare_threshold") is not None
    if prepares and connection_counts(alias) is None:
        yield warning(
            "W008",
            f"Statements are prepared in the database {alias!r}, and a PgBouncer stands before it. Before "
            "its version 1.21 it forgets them in transaction mode, and statements fail.",
            f"Take 'prepare_threshold' out of DATABASES[{alias!r}]['OPTIONS'], unless your PgBouncer has "
            "max_prepared_statements.",
        )


def _check_sqlite(alias: str) -> Iterator[CheckMessage]:
    connection: Any = connections[alias]
    version = connection.Database.sqlite_version_info
    if version < OLDEST_SQLITE:
        yield error(
            "E008",
            f"The database {alias!r} is SQLite {'.'.join(map(str, version))}, which cannot return the rows that it "
            "changes.",
            "Use a Python that brings SQLite 3.35 or later.",
        )
        return
    options = connection.settings_dict["OPTIONS"]
    is_eager = str(options.get("transaction_mode")).upper() in ("IMMEDIATE", "EXCLUSIVE")
    if is_eager and _journal_mode(connection) in ("wal", "memory"):
        return
    told = (
        "has no write-ahead log, so that whoever reads a page keeps workers from writing, and the other way round."
        if is_eager
        else "starts transactions as readers, and those that want to write later fail at once with "
        '"database is locked" when a worker writes.'
    )
    yield warning(
        "W001",
        f"Several processes share the SQLite database {alias!r}, which {told}",
        f'Write in DATABASES[{alias!r}]: "OPTIONS": {{"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": '
        '"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}. WAL lets readers and a writer work side by side.',
    )


def _journal_mode(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0])
