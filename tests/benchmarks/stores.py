"""The private servers of a run, a database for each system on them, and what the servers count."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import redis

from tests.benchmarks.systems import MARIADB, POSTGRESQL, SQLITE, System
from tests.servers import SERVERS, Server
from tests.waiting import wait_until

Counts = dict[str, float]

# Counted when a client asks for the counts themselves.
OWN_COMMANDS = {"info", "ping", "client|setinfo", "client|setname", "hello"}


class Stores:
    """The servers that the given systems need, durable as in production; `with` starts and ends them."""

    def __init__(self, systems: Collection[System], folder: Path) -> None:
        names = {each.database for each in systems if each.database in SERVERS} | {
            "redis" for each in systems if each.redis
        }
        self.servers: dict[str, Server] = {str(name): SERVERS[str(name)](durable=True) for name in names}
        self.systems, self.folder = systems, folder

    @contextmanager
    def running(self) -> Iterator["Stores"]:
        with ExitStack() as stack:
            for server in self.servers.values():
                stack.enter_context(server)
            if POSTGRESQL in self.servers:
                self._count_statements(self.servers[POSTGRESQL])
            for system in self.systems:
                self._make_database(system)
            if "redis" in self.servers:
                # One session, made before anything is counted.
                stack.callback(self._redis.close)
                self._redis.ping()
            yield self

    def url(self, system: System) -> str:
        """Return where the database of a system is; it has one of its own."""
        if system.database == SQLITE:
            return f"sqlite://{self.folder / system.key}.sqlite3"
        if system.database is None:
            return f"sqlite://{self.folder / 'nowhere'}.sqlite3"
        return urlsplit(self.servers[system.database].url)._replace(path=f"/{_name(system)}").geturl()

    def pids(self, system: System) -> dict[str, int]:
        """Return the server processes that a system keeps busy."""
        kinds = {"database": system.database, "redis": "redis" if system.redis else None}
        processes = {role: self.servers[name].process for role, name in kinds.items() if name in self.servers}
        return {role: process.pid for role, process in processes.items() if process is not None}

    def versions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if POSTGRESQL in self.servers:
            found["PostgreSQL"] = self._ask_postgresql("SHOW server_version")[0][0].split()[0]
        if MARIADB in self.servers:
            found["MariaDB"] = self._ask_mariadb("SELECT version()")[0][0].split("-")[0]
        if "redis" in self.servers:
            found["Redis"] = self._redis_info("server")["redis_version"]
        return found

    def count_statements(self, system: System, wanted: bool) -> None:
        """Have PostgreSQL count the statements of connections that are made from now on; it costs a little."""
        if system.database == POSTGRESQL:
            kind = "top" if wanted else "none"
            self._ask_postgresql(f"ALTER DATABASE {_name(system)} SET pg_stat_statements.track = '{kind}'")

    def counts(self, system: System) -> Counts:
        """Return what the servers have counted so far. A session's counts are complete once it has ended."""
        counts: Counts = {}
        if system.database == POSTGRESQL:
            counts |= self._count_postgresql(system)
        if system.database == MARIADB:
            counts |= self._count_mariadb()
        if system.redis:
            counts |= self._count_redis()
        return counts

    def checkpoint(self, system: System) -> None:
        """Have what was just filled in written to disk, so that it is not written during the measurement."""
        if system.database == POSTGRESQL:
            self._ask_postgresql("CHECKPOINT")

    def _count_postgresql(self, system: System) -> Counts:
        name = _name(system)
        sessions = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}'"
        wait_until(lambda: not self._ask_postgresql(sessions), what=f"the end of all sessions of {name}")
        (commits,) = self._ask_postgresql(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'")[0]
        (statements,) = self._ask_postgresql(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements "
            f"WHERE dbid = (SELECT oid FROM pg_database WHERE datname = '{name}')"
        )[0]
        wal, syncs = self._ask_postgresql("SELECT wal_bytes, wal_sync FROM pg_stat_wal")[0]
        (rows,) = self._ask_postgresql(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables", database=name
        )[0]
        numbers = (commits, statements, wal, syncs, rows)
        names = ("commits", "SQL statements", "WAL bytes", "WAL syncs", "row writes")
        return {name: float(number) for name, number in zip(names, numbers, strict=True)}

    def _count_mariadb(self) -> Counts:
        status = dict(self._ask_mariadb("SHOW GLOBAL STATUS"))
        names = {
            "Questions": "SQL statements",
            "Innodb_os_log_written": "WAL bytes",
        }
        found = {title: float(status[name]) for name, title in names.items()}
        return found | {"commits": float(status["Handler_commit"])}

    def _count_redis(self) -> Counts:
        statistics = self._redis_info("commandstats")
        calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in statistics.items()}
        commands = sum(number for name, number in calls.items() if name not in OWN_COMMANDS)
        reads = self._redis_info("stats")["total_reads_processed"]
        return {"Redis commands": float(commands), "Redis reads": float(reads)}

    def _count_statements(self, server: Server) -> None:
        """The module must be there from the server's start; it counts only where `count_statements` says so."""
        self._ask_postgresql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        server.restart()
        self._ask_postgresql("CREATE EXTENSION pg_stat_statements")

    def _make_database(self, system: System) -> None:
        if system.database == POSTGRESQL:
            self._ask_postgresql(f"CREATE DATABASE {_name(system)}")
            self.count_statements(system, False)
            if not system.synchronous_commit:
                self._ask_postgresql(f"ALTER DATABASE {_name(system)} SET synchronous_commit = off")
        elif system.database == MARIADB:
            self._ask_mariadb(f"CREATE DATABASE {_name(system)} CHARACTER SET utf8mb4")

    def _ask_postgresql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        url = urlsplit(self.servers[POSTGRESQL].url)._replace(path=f"/{database}").geturl()
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _ask_mariadb(self, statement: str) -> list[tuple[Any, ...]]:
        with pymysql.connect(host="127.0.0.1", port=self.servers[MARIADB].port, user="root") as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    @cached_property
    def _redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.servers["redis"].url)

    def _redis_info(self, section: str) -> dict[str, Any]:
        return dict(self._redis.info(section))


def _name(system: System) -> str:
    return f"benchmarks_{system.key.replace('-', '_')}"
