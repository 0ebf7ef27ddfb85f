"""Runs one workload on one system, and checks that each job ran exactly once and that its row says so."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.benchmarks.ledger import Ledger, Records, microseconds_between, moment
from tests.benchmarks.processes import cpu_seconds, family, memory_megabytes, started
from tests.benchmarks.profiling import profiled
from tests.benchmarks.remote import Remote
from tests.benchmarks.stores import Counts, Stores
from tests.benchmarks.systems import System
from tests.benchmarks.workloads import BACKLOG_SAMPLE, FINISHED_SAMPLE, Workload

REST_SECONDS = 0.002
CHUNK = 1_000
# Beside this many finished jobs is measured how pruning weighs on the worker.
FINISHED_ROWS = 1_000_000
WARM_UP, PACE_SECONDS = 20, 0.01
# So many jobs at the beginning and at the end are not looked into.
PROFILE_MARGIN = 2_000
LONGEST_DRAIN_SECONDS = 180.0

BARE_DJANGO = """
import django; django.setup()
from django.db import connection; connection.ensure_connection()
print(flush=True); input()
"""


class WrongCount(Exception):
    """Jobs ran twice, or not at all, or their rows do not say what happened."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came of one workload on one system: `value` in the workload's unit, or an error."""

    system: str
    workload: str
    repeat: int
    value: float | None = None
    details: dict[str, float] = field(default_factory=dict)
    error: str = ""


class Runner:
    """Runs workloads of one system, whose client it has."""

    def __init__(self, system: System, remote: Remote, stores: Stores, ledger: Ledger, log: Path) -> None:
        self.system, self.remote, self.stores, self.ledger, self.log = system, remote, stores, ledger, log
        self._keeps_records = False
        self._workers: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        self.remote.ask("prepare")
        self._keeps_records = self.remote.ask("finished") is not None

    def measure(self, workload: Workload, repeat: int) -> Measurement:
        try:
            value, details = getattr(self, f"_{workload.kind}")(workload)
        except (RuntimeError, TimeoutError, WrongCount) as error:
            return Measurement(self.system.key, workload.key, repeat, error=str(error))
        return Measurement(self.system.key, workload.key, repeat, value, details)

    def _enqueue(self, workload: Workload) -> tuple[float, Counts]:
        self._clear()
        count = workload.count(self.system)
        return count / self.remote.ask("enqueue", body=workload.body, first=0, count=count), {}

    def _bulk(self, workload: Workload) -> tuple[float, Counts]:
        self._clear()
        count = workload.count(self.system)
        return count / self._fill(workload.body, count), {}

    def _transaction(self, workload: Workload) -> tuple[float, Counts]:
        self._clear()
        count = workload.count(self.system)
        given = {"body": workload.body, "first": 0, "count": count, "chunk": CHUNK}
        return count / self.remote.ask("enqueue_in_transaction", **given), {}

    def _drain(self, workload: Workload) -> tuple[float, Counts]:
        self._clear()
        self._fill(workload.body, workload.count(self.system))
        return self._drained(workload, workload.count(self.system))

    def _drained(self, workload: Workload, count: int, *, wholly: bool = True) -> tuple[float, Counts]:
        """Drain `count` jobs; return jobs a second, and CPU microseconds a job by process.

        `wholly`: until the system's own records say so. Otherwise until so many bodies have run, whatever is left.
        """
        with self._worker(workload.processes, workload.concurrency) as pids:
            roles = {"worker": pids} | {role: [pid] for role, pid in self.stores.pids(self.system).items()}
            self._wait(lambda: len(self.ledger) > 0, "the first job")
            begin, before = moment(), {role: cpu_seconds(roots) for role, roots in roles.items()}
            self._wait(lambda: len(self.ledger) >= count, "the last job")
            if wholly and self._keeps_records:
                self._wait(lambda: self.remote.ask("finished") >= count, "the record of the last job")
            end, after = moment(), {role: cpu_seconds(roots) for role, roots in roles.items()}
        records = self._verified(count if wholly else None)
        until_recorded = wholly and self._keeps_records
        length = microseconds_between(records.origin, end) if until_recorded else records.times[count - 1]
        used = {f"CPU us, {role}": (after[role] - before[role]) * 1e6 / count for role in roles}
        cores = sum(used.values()) * count / microseconds_between(begin, end)
        return _rate(records, workload, length, count), used | {"jobs": float(count), "cores busy": cores}

    def _latency(self, workload: Workload) -> tuple[float, Counts]:
        self._clear()
        count = workload.count(self.system)
        with self._worker(workload.processes, workload.concurrency):
            pace = {"body": workload.body, "seconds": PACE_SECONDS}
            self.remote.ask("enqueue_at_pace", first=count, count=WARM_UP, **pace)
            self._wait(lambda: len(self.ledger) >= WARM_UP, "the jobs that warm up")
            moments = self.remote.ask("enqueue_at_pace", first=0, count=count, **pace)
            self._wait(lambda: len(self.ledger) >= WARM_UP + count, "the last job")
        records = self._verified(WARM_UP + count)
        waits = [
            microseconds_between(moments[number], records.origin + at) / 1000
            for number, at in zip(records.numbers, records.times, strict=True)
            if number < count
        ]
        percentiles = quantiles(waits, n=100)
        return percentiles[49], {"p95": percentiles[94], "p99": percentiles[98]}

    def _memory(self, workload: Workload) -> tuple[float, Counts]:
        """Return the largest process of the worker, above a bare one."""
        self._clear()
        count = workload.count(self.system)
        self._fill(workload.body, count)
        with self._worker(workload.processes, workload.concurrency) as pids:
            self._wait(lambda: len(self.ledger) >= count, "the last job")
            sizes = [memory_megabytes(pid) for pid in family(pids)]
            bare = self._bare_megabytes()
        return max(sizes) - bare, {"bare": bare, "largest": max(sizes), "all processes": sum(sizes)}

    def _cost(self, workload: Workload) -> tuple[float, Counts]:
        """Return what the servers counted for each drained job, from the worker's first connection to its last."""
        self._clear()
        count = workload.count(self.system)
        self._fill(workload.body, count)

        def work() -> None:
            with self._worker(workload.processes, workload.concurrency):
                self._wait(lambda: len(self.ledger) >= count, "the last job")

        costs = self._counted(work, count)
        self._verified(count)
        return costs.get("SQL statements", 0.0) + costs.get("Redis commands", 0.0), costs

    def _enqueue_cost(self, workload: Workload) -> tuple[float, Counts]:
        count = workload.count(self.system)
        self._clear()
        given = {"body": workload.body, "first": 0, "count": count}
        one = self._counted(lambda: self.remote.ask("enqueue", **given), count)
        costs = {f"one: {name}": value for name, value in one.items()}
        if self.system.bulk:
            many = self._counted(lambda: self._fill(workload.body, 10 * CHUNK), 10 * CHUNK)
            costs |= {f"bulk: {name}": value for name, value in many.items()}
        return one.get("SQL statements", 0.0) + one.get("Redis commands", 0.0), costs

    def _counted(self, act: Callable[[], object], count: int) -> Counts:
        """Return by how much the servers' counts rose for each job; new sessions only, and all of them ended."""
        self.remote.close()
        self.stores.count_statements(self.system, True)
        try:
            before = self.stores.counts(self.system)
            act()
            self.remote.close()
            after = self.stores.counts(self.system)
        finally:
            self.stores.count_statements(self.system, False)
        return {name: (after[name] - before[name]) / count for name in after}

    def _backlog(self, workload: Workload) -> tuple[float, Counts]:
        """Return the rate beside a backlog, and in the details the rate without one, measured just before."""
        base = self._sample(workload, BACKLOG_SAMPLE)
        rate = self._sample(workload, workload.count(self.system))
        return rate, {"without": base, "ratio": rate / base}

    def _sample(self, workload: Workload, backlog: int) -> float:
        self._clear()
        self._fill(workload.body, backlog)
        self.stores.checkpoint(self.system)
        return self._drained(workload, min(BACKLOG_SAMPLE, self.system.jobs), wholly=False)[0]

    def _finished(self, workload: Workload) -> tuple[float, Counts]:
        """Return the rate in a table full of finished jobs, and in the details the rate in an empty one."""
        self._clear()
        base = self._rate_of_all(workload)
        self.remote.ask("fill_finished", count=workload.count(self.system))
        self.stores.checkpoint(self.system)
        self.ledger.clear()
        rate = self._rate_of_all(workload)
        self._clear()
        return rate, {"without": base, "ratio": rate / base}

    def _pruned(self, workload: Workload) -> tuple[float, Counts]:
        """Return the rate while finished jobs are pruned, and in the details the rate beside as many that are kept."""
        count = workload.count(self.system)
        self._clear()
        self._fill(workload.body, 1)
        self._drained(workload, 1)
        self.remote.ask("fill_finished", count=FINISHED_ROWS)
        rates = []
        for is_pruned in (False, True):
            if is_pruned:
                self.remote.ask("let_expire")
            self.stores.checkpoint(self.system)
            self.ledger.clear()
            self._fill(workload.body, count)
            before = self.remote.ask("finished")
            rates.append(self._drained(workload, count, wholly=False)[0])
            pruned = before + count - self.remote.ask("finished")
        self._clear()
        base, rate = rates
        return rate, {"without": base, "ratio": rate / base, "pruned meanwhile": float(pruned)}

    def _profile(self, workload: Workload) -> tuple[float, Counts]:
        """Return the CPU microseconds that a process of ours has for a job, and in the details those of its parts."""
        count = workload.count(self.system)
        self._clear()
        if workload.key == "profile-drain":
            self._fill("empty", count)
            with self._worker(workload.processes, workload.concurrency) as pids:
                self._wait(lambda: len(self.ledger) >= PROFILE_MARGIN, "the first jobs")
                busiest = max(family(pids) - set(pids), key=lambda pid: cpu_seconds([pid]))
                details = profiled(self._profiler, busiest, lambda: self._drained_until(count - PROFILE_MARGIN))
        else:
            act = {"profile-enqueue": self._enqueue_one_by_one, "profile-bulk": self._fill_all}[workload.key]
            details = profiled(self._profiler, self.remote.pid, lambda: act(count))
        return sum(details.values()), details

    def _drained_until(self, count: int) -> int:
        before = len(self.ledger)
        self._wait(lambda: len(self.ledger) >= count, "the last job that is looked at")
        return len(self.ledger) - before

    def _enqueue_one_by_one(self, count: int) -> int:
        self.remote.ask("enqueue", body="empty", first=0, count=count)
        return count

    def _fill_all(self, count: int) -> int:
        self._fill("empty", count)
        return count

    @property
    def _profiler(self) -> Path:
        return Path(self.remote.command[0]).with_name("py-spy")

    def _rate_of_all(self, workload: Workload) -> float:
        """Return the rate until the last body: to count millions of records would take longer than they do."""
        self._fill(workload.body, FINISHED_SAMPLE)
        return self._drained(workload, FINISHED_SAMPLE, wholly=False)[0]

    def _clear(self) -> None:
        self.remote.ask("clear")
        self.ledger.clear()

    def _fill(self, body: str, count: int) -> float:
        seconds = self.remote.ask("enqueue_many", body=body, first=0, count=count, chunk=CHUNK)
        return float(seconds)

    @contextmanager
    def _worker(self, processes: int, concurrency: int) -> Iterator[list[int]]:
        commands = self.remote.ask("worker", processes=processes, concurrency=concurrency)
        with started(commands, self.remote.environment, self.log) as workers:
            self._workers = workers
            yield [each.pid for each in workers]

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + LONGEST_DRAIN_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come; {len(self.ledger)} bodies ran. See {self.log}.")
            if any(each.poll() is not None for each in self._workers):
                raise RuntimeError(f"The worker ended while {what} was awaited. See {self.log}.")
            time.sleep(REST_SECONDS)

    def _verified(self, count: int | None) -> Records:
        """Return the ledger. Raises WrongCount unless every job, `count` of them if given, ran once and is recorded."""
        records = self.ledger.read()
        ran = len(records.numbers)
        if surplus := records.surplus():
            raise WrongCount(f"{len(surplus)} jobs ran more than once, for example {next(iter(surplus.items()))}.")
        if count is not None and ran != count:
            raise WrongCount(f"{ran} jobs ran, not {count}.")
        finished = self.remote.ask("finished")
        if finished is not None and finished < ran:
            raise WrongCount(f"{ran} jobs ran, but only {finished} are recorded as finished.")
        return records

    def _bare_megabytes(self) -> float:
        if not self.system.uses_django:
            return 0.0
        environment = self.remote.environment | {"BENCHMARK_OPTIONS": "{}", "BENCHMARK_PEER": "json"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([self.remote.command[0], "-c", BARE_DJANGO], env=environment, **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            size = memory_megabytes(process.pid)
            process.stdin.write(b"\n")
            process.stdin.close()
            process.wait()
        return size


def _rate(records: Records, workload: Workload, length: int, count: int) -> float:
    """Return jobs a second from the moment at which all processes were at work."""
    starts = records.starts()
    all_there = max(starts) if len(starts) >= workload.processes else 0
    # A process that came when half was over makes no measurement of two.
    start = all_there if all_there < length / 2 else 0
    ran = sum(at > start for at in records.times[:count])
    if workload.body != "empty":
        # The first wave is recorded at its end.
        ran -= workload.processes * workload.concurrency
    return ran * 1e6 / (length - start)
