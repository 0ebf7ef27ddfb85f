"""The stage of a trial: private servers that may be killed, proxies before them, and `runworkers` in the open."""

import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import connections
from django.db.utils import ConnectionHandler
from django.test import override_settings
from redis import Redis as Client

from tests.acceptance.faults.effects import VARIABLE, Log
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.fleet import FLEET, LIMITS, Fleet
from tests.databases import database
from tests.processes import Workers
from tests.servers import SERVERS, PostgreSQL, Redis, Server, binary

PREFIX = "faults"
JOBS = "tests.acceptance.faults.jobs"
ORDERED = "ordered"
# As with LIMITS: what a production system does within half a minute is done within a second.
OPTIONS: dict[str, Any] = {"PREFIX": PREFIX, "GRACE_SECONDS": 5.0, "QUEUES": {ORDERED: {}}, **LIMITS}

REGULAR = ("--queue", "default", *FLEET)


class Stage:
    """One database, one Redis, and two `runworkers`, of which the second reaches the database through a proxy.

    While it is entered the connection `default` and the transport of this process are those of the stage.
    """

    def __init__(self, kind: str, chance: random.Random, size: int = 2, arguments: tuple[str, ...] = REGULAR) -> None:
        self.kind, self.chance, self._size, self._arguments = kind, chance, size, arguments
        self._ends = ExitStack()
        self._started = 0
        # What the next workers are spoiled by.
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ends.close()

    def _build(self) -> None:
        enter = self._ends.enter_context
        self.folder = Path(enter(tempfile.TemporaryDirectory(prefix="faults-")))
        self.log = Log(self.folder / "effects")
        self.database: Server = enter(SERVERS[self.kind]())
        self.redis: Redis = enter(Redis())
        self.database_proxy, self.redis_proxy = enter(Proxy(self.database.port)), enter(Proxy(self.redis.port))
        create_database(self.database)
        enter(self.connection())
        options = {**OPTIONS, "TRANSPORT": f"redis://127.0.0.1:{self.redis_proxy.port}/0"}
        enter(override_settings(DJANGO_JOBS=options))
        call_command("migrate", verbosity=0)
        self._ends.callback(self.stop_workers)
        self._all: list[Workers] = []
        self.fleet = Fleet(self.start, self._size, self.chance, self._arguments)

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Let this thread ask the stage's database."""
        former = connections["default"]
        connections["default"] = ConnectionHandler({"default": database(self.database.url)})["default"]
        try:
            yield
        finally:
            connections["default"].close()
            connections["default"] = former

    def start(
        self,
        *arguments: str,
        options: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> Workers:
        """Start a `runworkers`; every second one reaches the database through the proxy."""
        self._started += 1
        port = self.database_proxy.port if self._started % 2 == 0 else self.database.port
        known = {
            "DJANGO_JOBS_TEST_DATABASE": with_port(self.database.url, port),
            "DJANGO_JOBS_TEST_IMPORTS": JOBS,
            VARIABLE: str(self.log.path),
        }
        log = self.folder / f"workers-{self._started}.log"
        workers = Workers(arguments, options or {}, log, {**known, **self.environment, **(environment or {})})
        self._all.append(workers)
        return workers

    def stop_workers(self) -> None:
        """Ask all to end, and wait for them."""
        workers, self._all = self._all, []
        for each in workers:
            # Whoever a failed trial left paused could not hear it.
            with suppress(ProcessLookupError):
                os.killpg(each.process.pid, signal.SIGCONT)
            if each.process.poll() is None:
                each.process.terminate()
        for each in workers:
            with suppress(subprocess.TimeoutExpired):
                each.stop()

    def retire(self, workers: Workers) -> None:
        """Forget a command that has ended, or is to end now."""
        workers.stop()
        self._all.remove(workers)

    def output(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("workers-*.log")))

    def client(self) -> Client:
        """Return a client that reaches Redis past the proxy."""
        return Client(port=self.redis.port, socket_timeout=5)

    def left_in_redis(self) -> set[str]:
        """Return all keys but the epoch, marks to wake somebody, and last answers that expire."""
        start = f"{{{PREFIX}:1}}:"
        kept = ("epoch", "wake", "wake-process")
        with self.client() as client:
            keys = {key.decode(errors="replace") for key in client.scan_iter()}
            keys = {key for key in keys if key.removeprefix(start).partition(":")[0] not in kept}
            # -1: it never expires.
            return {key for key in keys if not key.startswith(f"{start}batch:") or client.ttl(key) == -1}


def create_database(server: Server) -> None:
    name = urlsplit(server.url).path.removeprefix("/")
    where = ["-h", "127.0.0.1"]
    if isinstance(server, PostgreSQL):
        command = [binary("createdb"), *where, "-p", str(server.port), "-U", "postgres", name]
    else:
        statement = f"CREATE DATABASE {name} CHARACTER SET utf8mb4"
        options = ["--no-defaults", *where, "-P", str(server.port), "-u", "root"]
        command = [binary("mariadb"), *options, "-e", statement]
    subprocess.run(command, check=True)


def with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}").geturl()
