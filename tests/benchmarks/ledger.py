"""The ledger: eight bytes for each body that ran, appended to a file in memory by whichever process ran it.

A record is the number of the job, who ran it (the low byte of the process id) and when, in microseconds of the
machine's monotonic clock. One unbuffered append costs about a microsecond, so it weighs nothing beside any queue.
"""

import os
import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "BENCHMARK_LEDGER"
RECORD = struct.Struct("<II")
CLOCK_BITS = 32

_descriptors: dict[int, int] = {}


def moment() -> int:
    """Return the time as records hold it; it wraps after an hour, and differences are taken modulo that."""
    return time.monotonic_ns() // 1000 % (1 << CLOCK_BITS)


def record(number: int) -> None:
    """Write down that the body of this job runs, here and now."""
    pid = os.getpid()
    if pid not in _descriptors:
        _descriptors[pid] = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND)
    os.write(_descriptors[pid], RECORD.pack(number << 8 | pid & 0xFF, moment()))


def microseconds_between(earlier: int, later: int) -> int:
    """Return how much time lies between two moments, less than half an hour apart."""
    half = 1 << CLOCK_BITS - 1
    return (later - earlier + half) % (2 * half) - half


@dataclass(frozen=True, slots=True)
class Records:
    """What the ledger holds, in order of time: jobs, tags of processes, microseconds since `origin`."""

    origin: int
    numbers: list[int]
    tags: list[int]
    times: list[int]

    def surplus(self) -> dict[int, int]:
        """Return the jobs that ran more than once, and how often."""
        return {number: count for number, count in Counter(self.numbers).items() if count > 1}

    def starts(self) -> list[int]:
        """Return when each process came to work."""
        first: dict[int, int] = {}
        for tag, at in zip(self.tags, self.times, strict=True):
            first.setdefault(tag, at)
        return list(first.values())


class Ledger:
    """The ledger as its reader has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def clear(self) -> None:
        os.truncate(self.path, 0)

    def __len__(self) -> int:
        return self.path.stat().st_size // RECORD.size

    def read(self) -> Records:
        raw = list(RECORD.iter_unpack(self.path.read_bytes()))
        origin = raw[0][1] if raw else 0
        rows = sorted((microseconds_between(origin, at), job) for job, at in raw)
        return Records(origin, [job >> 8 for _, job in rows], [job & 0xFF for _, job in rows], [at for at, _ in rows])
