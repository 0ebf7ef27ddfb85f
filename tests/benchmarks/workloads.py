"""What is measured: the same workloads for all systems that can do them."""

from dataclasses import dataclass, replace
from typing import Any

from tests.benchmarks.systems import BARE, BULLMQ_POSTGRESQL, BULLMQ_REDIS, OURS, PROCRASTINATE, System

# Measured beside a backlog, and in a table of finished jobs: the drain of this many jobs.
BACKLOG_SAMPLE, FINISHED_SAMPLE = 10_000, 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workload. `jobs` None: as many as the system's own line says."""

    key: str
    title: str
    kind: str
    unit: str = "jobs/s"
    body: str = "empty"
    processes: int = 1
    concurrency: int = 10
    jobs: int | None = None
    # Keys of systems; None: all.
    systems: tuple[str, ...] | None = None
    ours_only: bool = False
    # Once, however many repeats the others get.
    once: bool = False

    def suits(self, system: System) -> bool:
        """Tell whether this can be asked of a system."""
        if self.systems is not None and system.key not in self.systems:
            return False
        if (self.ours_only and not system.is_ours) or (system.only is not None and self.kind not in system.only):
            return False
        if self.kind == "bulk" and not system.bulk:
            return False
        if self.body not in system.bodies:
            return False
        return self.kind != "drain" or self.concurrency in system.concurrencies

    def count(self, system: System) -> int:
        return self.jobs if self.jobs is not None else system.jobs


def _drain(processes: int, concurrency: int, **others: Any) -> Workload:
    return replace(
        Workload(
            key=f"drain-{processes}x{concurrency}",
            title=f"drain, {processes} process{'es' if processes > 1 else ''}, concurrency {concurrency}",
            kind="drain",
            processes=processes,
            concurrency=concurrency,
        ),
        **others,
    )


ENQUEUE = Workload(key="enqueue", title="enqueue one by one", kind="enqueue", jobs=2_000)
BULK = Workload(key="bulk", title="enqueue in bulk, 1,000 a call", kind="bulk", jobs=10_000)
TRANSACTION = Workload(
    key="transaction",
    title="enqueue one by one, 1,000 in a transaction",
    kind="transaction",
    jobs=4_000,
    systems=(OURS, BARE),
)
DRAINS = tuple(_drain(processes, concurrency) for processes in (1, 2) for concurrency in (1, 10, 50))
# Processes begin one after the other, and of 10,000 jobs most are gone before all of them are there.
LONG = tuple(_drain(processes, 10, key=f"long-{processes}x10", jobs=40_000, systems=(OURS,)) for processes in (1, 2, 4))
IO_SYNC = Workload(key="io-sync", title="10 ms of I/O, def", kind="drain", body="io", concurrency=50, jobs=2_000)
IO_ASYNC = Workload(
    key="io-async", title="10 ms of I/O, async def", kind="drain", body="aio", concurrency=50, jobs=2_000
)
LATENCY = Workload(key="latency", title="enqueue to start, idle", kind="latency", unit="ms", jobs=300)
MEMORY = Workload(
    key="memory", title="worker memory above a bare process", kind="memory", unit="MB", jobs=300, once=True
)
COST = Workload(key="cost", title="what one drained job costs", kind="cost", unit="statements", once=True)
ENQUEUE_COST = Workload(
    key="enqueue-cost", title="what one enqueued job costs", kind="enqueue_cost", unit="statements", jobs=500, once=True
)
BACKLOGS = (
    Workload(
        key="backlog-100k",
        title="drain beside a backlog of 100 k",
        kind="backlog",
        jobs=100_000,
        systems=(OURS, BULLMQ_REDIS, BULLMQ_POSTGRESQL, PROCRASTINATE),
        once=True,
    ),
    Workload(
        key="backlog-1m",
        title="drain beside a backlog of 1 M",
        kind="backlog",
        jobs=1_000_000,
        systems=(OURS,),
        once=True,
    ),
)
FINISHED = Workload(
    key="finished-5m",
    title="drain in a table of 5 M finished",
    kind="finished",
    jobs=5_000_000,
    systems=(OURS,),
    once=True,
)
PRUNED = Workload(
    key="pruned-1m",
    title="drain while 1 M finished are pruned",
    kind="pruned",
    # Enough to drain for about ten seconds, and pruning takes longer.
    jobs=40_000,
    systems=(OURS,),
    once=True,
)
# Of what kind is the workload that is looked into, and of how many jobs.
PROFILES = tuple(
    Workload(key=f"profile-{looked_at}", title=title, kind="profile", unit="us", jobs=jobs, systems=(OURS,), once=True)
    for looked_at, title, jobs in (
        ("enqueue", "one enqueue", 5_000),
        ("bulk", "one job of a bulk", 100_000),
        ("drain", "one drained job", 60_000),
    )
)

FULL = (
    ENQUEUE,
    BULK,
    TRANSACTION,
    *DRAINS,
    *LONG,
    IO_SYNC,
    IO_ASYNC,
    LATENCY,
    MEMORY,
    COST,
    ENQUEUE_COST,
    *BACKLOGS,
    FINISHED,
    PRUNED,
    *PROFILES,
)


def quick() -> tuple[Workload, ...]:
    """Return fewer workloads with fewer jobs: a look, not a measurement to quote."""
    smaller = {ENQUEUE: 1_000, BULK: 4_000, TRANSACTION: 1_000, LATENCY: 100, IO_SYNC: 500, IO_ASYNC: 500}
    jobs = {each.key: count for each, count in smaller.items()}
    # Some systems are at their best at 50, and a ratio to less than their best would be a lie.
    rivals = (OURS, BULLMQ_REDIS, BULLMQ_POSTGRESQL)
    fewer = {"drain-1x50": rivals, LATENCY.key: rivals, MEMORY.key: (OURS,), COST.key: (OURS,)}
    kept = {"drain-1x10", "drain-2x10", "long-1x10", "long-2x10", *jobs, *fewer}
    return tuple(
        replace(each, jobs=jobs.get(each.key, each.jobs), systems=fewer.get(each.key, each.systems))
        for each in FULL
        if each.key in kept
    )
