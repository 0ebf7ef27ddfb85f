"""Private servers on free loopback ports, with their data in temporary folders; gone at the end, data and all.

    python -m tests.servers postgresql mariadb redis -- pytest

starts the named servers, tells the command where they are (DJANGO_JOBS_TEST_POSTGRESQL, ..._MARIADB, ..._REDIS),
and ends with its status. As root the databases run under the account that their packages made.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.waiting import wait_until

START_SECONDS = STOP_SECONDS = 60
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")


class Server(ABC):
    """One server: `start` returns when it answers, `stop` ends it in peace, `kill` where it stands."""

    name: ClassVar[str]
    account: ClassVar[str | None] = None
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, *, durable: bool = True) -> None:
        """Choose a folder and a port. `durable=False` does not wait for the disk: faster, and no crash is survived."""
        self.durable = durable
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.data = self.folder / "data"
        self.identity: dict[str, Any] = {}
        # Only root may become somebody else, and databases refuse to run as root.
        if self.account and os.geteuid() == 0:
            shutil.chown(self.folder, self.account, self.account)
            self.identity = {"user": self.account, "group": self.account, "extra_groups": ()}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @abstractmethod
    def prepare(self) -> Sequence[str]:
        """Return the command that makes the data folder, or nothing."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def probe(self) -> Sequence[str]:
        """Return a command that succeeds when the server answers."""

    def start(self) -> None:
        if not self.data.exists() and (prepare := self.prepare()):
            subprocess.run(prepare, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **self.identity)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True, **self.identity
            )
        wait_until(self._answers, START_SECONDS, what=f"{self.name} answers")

    def stop(self) -> None:
        self._end(self.stop_signal)

    def kill(self) -> None:
        self._end(self.kill_signal)

    def restart(self) -> None:
        """Stop if it runs, and start on the same port with the same data."""
        self.stop()
        self.start()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with status {self.process.returncode}:\n{self.log()}")
        return subprocess.run(self.probe(), capture_output=True, timeout=START_SECONDS).returncode == 0

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


class PostgreSQL(Server):
    name = "postgresql"
    account = "postgres"
    # "Fast": ends sessions. "Immediate": every process stops where it stands, and the next start recovers.
    stop_signal = signal.SIGINT
    kill_signal = signal.SIGQUIT

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/django_jobs"

    def prepare(self) -> Sequence[str]:
        return (
            *(binary("initdb"), "--pgdata", str(self.data), "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        )

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "256MB",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [word for each in settings.items() for word in ("-c", "=".join(each))]
        return (binary("postgres"), "-D", str(self.data), "-p", str(self.port), *options)

    def probe(self) -> Sequence[str]:
        return (binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")


class MariaDB(Server):
    name = "mariadb"
    account = "mysql"

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/django_jobs"

    def prepare(self) -> Sequence[str]:
        return (
            *(binary("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )

    def command(self) -> Sequence[str]:
        flush = ("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0") if not self.durable else ()
        return (
            *(binary("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--port={self.port}"),
            *("--bind-address=127.0.0.1", f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
            *("--max-connections=200", "--innodb-buffer-pool-size=128M", *flush),
        )

    def probe(self) -> Sequence[str]:
        where = ("-h", "127.0.0.1", "-P", str(self.port), "-u", "root")
        return (binary("mariadb-admin"), "--no-defaults", *where, "ping")


class Redis(Server):
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> Sequence[str]:
        self.data.mkdir()
        return ()

    def command(self) -> Sequence[str]:
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.data))
        return (binary("redis-server"), *where, "--save", "", "--appendonly", "no")

    def probe(self) -> Sequence[str]:
        return (binary("redis-cli"), "-e", "-h", "127.0.0.1", "-p", str(self.port), "ping")


SERVERS: dict[str, type[Server]] = {each.name: each for each in (PostgreSQL, MariaDB, Redis)}


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary(name: str) -> str:
    """Return the path of a server's program. Raises FileNotFoundError."""
    # Debian keeps PostgreSQL's programs out of PATH, a folder for each version; the newest is taken.
    versions = sorted(DEBIAN_POSTGRESQL.glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", *map(str, versions)))
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(f"The program {name!r} is not installed. On Debian: see .ci/run for the packages.")
    return found


def is_there(name: str) -> bool:
    """Tell whether a server's program is installed. Where CI runs it must be: `binary` says so."""
    try:
        binary(name)
    except FileNotFoundError:
        return "CI" in os.environ
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("servers", nargs="+", choices=SERVERS)
    parser.add_argument("--fast", action="store_true", help="do not wait for the disk; no crash is survived")
    ours, command = split_at_dashes(sys.argv[1:])
    options = parser.parse_args(ours)
    if not command:
        parser.error("write the command to run behind --")
    with ExitStack() as running:
        # A stop from outside unwinds the stack, so that no server is left behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        servers = [running.enter_context(SERVERS[name](durable=not options.fast)) for name in options.servers]
        urls = {f"DJANGO_JOBS_TEST_{each.name.upper()}": each.url for each in servers}
        return run(command, {**os.environ, **urls})


def split_at_dashes(words: list[str]) -> tuple[list[str], list[str]]:
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run the command and pass stops on to it: it ends first, then the servers."""
    with subprocess.Popen(command, env=environment) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        # The terminal sends Ctrl-C to the child as well.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
