"""What the product promises itself, as ratios inside one run, and whether the run keeps it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.summary import Summary
from tests.benchmarks.systems import (
    BARE,
    BULLMQ_POSTGRESQL,
    BULLMQ_REDIS,
    CELERY_RESULTS,
    DJANGO_TASKS,
    DRAMATIQ,
    OURS,
    OURS_DATABASE,
    PROCRASTINATE,
    SYSTEMS,
)
from tests.benchmarks.workloads import IO_ASYNC, IO_SYNC

Ask = Callable[[Summary], float | None]

# Jobs of 10 ms at a concurrency of 50.
IDEAL_IO = 5_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number that is to be at least, or at most, something."""

    title: str
    ask: Ask
    least: float | None = None
    most: float | None = None
    unit: str = "x"

    def is_met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def wish(self) -> str:
        bound = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        return f"{bound} {self.unit}".strip()


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _drain(system: str, processes: int) -> Ask:
    def ask(summary: Summary) -> float | None:
        best = summary.best_drain(system, processes)
        return None if best is None else best[1].median

    return ask


def _drain_against(system: str, processes: int = 1) -> Ask:
    return lambda summary: _ratio(_drain(OURS, processes)(summary), _drain(system, processes)(summary))


def _against(workload: str, system: str, detail: str | None = None) -> Ask:
    return lambda summary: _ratio(summary.value(OURS, workload, detail), summary.value(system, workload, detail))


def _own(above: str, below: str) -> Ask:
    return lambda summary: _ratio(summary.value(OURS, above), summary.value(OURS, below))


def _of_ours(workload: str, detail: str | None = None) -> Ask:
    return lambda summary: summary.value(OURS, workload, detail)


def _of_ideal(workload: str) -> Ask:
    return lambda summary: _ratio(summary.value(OURS, workload), IDEAL_IO)


def _cores_busy(summary: Summary) -> float | None:
    best = summary.best_drain(OURS, 1)
    return None if best is None else summary.value(OURS, best[0], "cores busy")


TARGETS = (
    Target(title="drain, 1 process, against BullMQ on Redis", ask=_drain_against(BULLMQ_REDIS), least=1.2),
    Target(title="drain, 2 processes each, against BullMQ on Redis", ask=_drain_against(BULLMQ_REDIS, 2), least=2),
    Target(title="drain against BullMQ on PostgreSQL", ask=_drain_against(BULLMQ_POSTGRESQL), least=5),
    *(
        Target(title=f"drain against {SYSTEMS[key].title}", ask=_drain_against(key), least=10)
        for key in (PROCRASTINATE, DRAMATIQ, DJANGO_TASKS, CELERY_RESULTS)
    ),
    Target(title="drain with 2 processes against 1", ask=_own("long-2x10", "long-1x10"), least=1.3),
    Target(title="or instead: cores busy with 1 process", ask=_cores_busy, least=1.8, unit="of 2"),
    Target(title="drain with 4 processes against 2", ask=_own("long-4x10", "long-2x10"), least=1),
    Target(
        title="drain with the database transport against Redis",
        ask=lambda summary: _ratio(_drain(OURS_DATABASE, 1)(summary), _drain(OURS, 1)(summary)),
        least=0.6,
    ),
    Target(title="bulk enqueue against BullMQ on Redis", ask=_against("bulk", BULLMQ_REDIS), least=2.5),
    Target(title="bulk enqueue against BullMQ on PostgreSQL", ask=_against("bulk", BULLMQ_POSTGRESQL), least=2),
    Target(title="enqueue one by one against a bare INSERT and commit", ask=_against("enqueue", BARE), least=0.5),
    Target(
        title="enqueue one by one against BullMQ on PostgreSQL", ask=_against("enqueue", BULLMQ_POSTGRESQL), least=1.2
    ),
    Target(title="enqueue in one transaction against one by one", ask=_own("transaction", "enqueue"), least=3),
    Target(title="idle latency p50 against BullMQ on Redis", ask=_against("latency", BULLMQ_REDIS), most=1.5),
    Target(title="idle latency p99 against BullMQ on Redis", ask=_against("latency", BULLMQ_REDIS, "p99"), most=1.5),
    Target(title="10 ms of I/O, async def, of the ideal 5,000/s", ask=_of_ideal(IO_ASYNC.key), least=0.9),
    Target(title="10 ms of I/O, def, of the ideal 5,000/s", ask=_of_ideal(IO_SYNC.key), least=0.9),
    Target(title="drain beside 1 M ready jobs against none", ask=_of_ours("backlog-1m", "ratio"), least=0.9),
    Target(title="drain in a table of 5 M finished jobs against none", ask=_of_ours("finished-5m", "ratio"), least=0.9),
    Target(title="drain while 1 M finished jobs are pruned against not", ask=_of_ours("pruned-1m", "ratio"), least=0.7),
    Target(title="SQL statements and Redis commands a drained job", ask=_of_ours("cost"), most=0.1, unit=""),
    Target(title="memory of a worker process above a bare Django process", ask=_of_ours("memory"), most=25, unit="MB"),
)
