"""Worker processes from outside: start and end them, and what /proc tells of their time and memory."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_SECONDS = 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@contextmanager
def started(
    commands: Iterable[list[str]], environment: Mapping[str, str], log: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run the commands, each in a group of its own, until the end of the block; then ask them to end, and see to it."""
    with log.open("ab") as output:
        processes = [
            subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for command in commands
        ]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def family(roots: Iterable[int]) -> set[int]:
    """Return the processes and all of their descendants."""
    parents = {pid: fields[1] for pid, fields in _stat().items()}
    found = set(roots)
    while True:
        more = {pid for pid, parent in parents.items() if int(parent) in found} - found
        if not more:
            return found
        found |= more


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the CPU time that these and their descendants have used, those that have ended included."""
    members = family(roots)
    # user, system, and the same of children that were waited for
    ticks = sum(int(value) for pid, fields in _stat().items() if pid in members for value in fields[11:15])
    return ticks / TICKS_PER_SECOND


def memory_megabytes(pid: int) -> float:
    """Return the proportional set size: what is shared counts by share."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _stat() -> dict[int, list[str]]:
    """Return the fields of /proc/PID/stat behind the name, for every process."""
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    return found
