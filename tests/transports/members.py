"""Processes that join an embedded server, and a look at what runs for it."""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import django_jobs

PACKAGE_HOME = Path(django_jobs.__file__).parents[1]

# Joins once for each line that it is sent and says whom it met; ends at the end of its input.
# A forking one joins at once and has a child, which does all the rest.
MEMBER = """
import json, os, signal, sys
from pathlib import Path
from redis import Redis
from django_jobs.transports.redis.embedded import join

directory, linger_seconds, forks = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "forks"

def say_whom_it_met(address):
    with Redis(unix_socket_path=address) as client:
        found = client.info("server")
    print(json.dumps([found["run_id"], found["process_id"]]), flush=True)

if forks:
    address = join(directory, linger_seconds)
    if os.fork():
        signal.pause()
    say_whom_it_met(address)
for line in sys.stdin:
    say_whom_it_met(join(directory, linger_seconds))
"""


@dataclass(frozen=True, slots=True)
class Server:
    run_id: str
    pid: int
    keeper: int

    def is_gone(self) -> bool:
        return not _is_alive(self.pid) and not _is_alive(self.keeper)


class Member:
    """A process that joins the server in `directory` when it is asked to."""

    def __init__(self, directory: Path, linger_seconds: float = 0.1, forks: bool = False) -> None:
        arguments = (str(directory), str(linger_seconds), "forks" if forks else "")
        self.process = python(MEMBER, *arguments, stdin=subprocess.PIPE)

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("join\n")
        self.process.stdin.flush()

    def met(self) -> Server:
        assert self.process.stdout is not None
        run_id, pid = json.loads(self.process.stdout.readline())
        return Server(run_id, pid, keeper=int(_status(pid)[1]))

    def join(self) -> Server:
        self.ask()
        return self.met()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> str:
        """End in good order, and return what was complained about."""
        return self.process.communicate(timeout=20)[1]


def python(
    code: str,
    *arguments: str,
    options: tuple[str, ...] = (),
    before: tuple[str, ...] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    **environment: str,
) -> subprocess.Popen[str]:
    """Start an interpreter that takes no warning, in a group of its own; `before` is a command to start it with."""
    return subprocess.Popen(
        [*before, sys.executable, "-W", "error", *options, "-c", code, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        process_group=0,
        env=os.environ | {"PYTHONPATH": str(PACKAGE_HOME)} | environment,
    )


def has_members(directory: Path) -> bool:
    """Tell whether somebody shares the lock: we can then share it too, but not have it alone as a keeper might."""
    with (directory / "members").open("rb") as members:
        try:
            fcntl.flock(members, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(members, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_deserted(directory: Path) -> bool:
    return not processes_of(directory)


def processes_of(directory: Path) -> dict[int, str]:
    """Return the command lines of living servers and keepers below `directory`, by process id."""
    everybody = {int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()}
    commands = {pid: _command(pid) for pid in everybody}
    return {pid: text for pid, text in commands.items() if str(directory) in text and "valkey-server" in text}


def _is_alive(pid: int) -> bool:
    return _status(pid)[:1] not in ([], ["Z"])


def _status(pid: int) -> list[str]:
    """Return state, parent and more; nothing for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
