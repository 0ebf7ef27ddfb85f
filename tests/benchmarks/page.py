"""The tables: on the terminal, and below the words of page.md as docs/benchmarks.md."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.chart import draw
from tests.benchmarks.environments import HERE
from tests.benchmarks.summary import Figure, Summary
from tests.benchmarks.systems import BARE, BARE_BELL, BULLMQ_POSTGRESQL, BULLMQ_REDIS, OURS, SYSTEMS, System
from tests.benchmarks.targets import TARGETS
from tests.benchmarks.workloads import BULK, DRAINS, ENQUEUE, FULL, LATENCY, PROFILES, TRANSACTION, Workload

DOCS = HERE.parents[1] / "docs"
NOTHING = "-"
# In a requirements file, what follows is pinned but was not asked for.
BROUGHT = "# What they bring:"
# What has less of the CPU is not named in a profile.
LEAST_SHARE = 0.02
LIMITED = (ENQUEUE, BULK, TRANSACTION, *DRAINS)
# Beside rates, what a drained job makes the servers do.
COSTS = ("commits", "SQL statements", "row writes", "WAL bytes", "WAL syncs", "Redis commands", "Redis reads")
TIMES = ("CPU us, worker", "CPU us, database", "CPU us, redis")


def text(results: dict[str, Any]) -> str:
    """Return all tables of a run, as Markdown."""
    summary = Summary(results)
    sections = (
        ("The run", _run(results)),
        ("Targets", _targets(summary)),
        ("How far from the limit", _limits(summary)),
        ("Enqueue, latency, memory", _overview(summary)),
        ("Drain, jobs a second", _drains(summary)),
        ("What one drained job costs", _costs(summary)),
        ("Backlogs", _backlogs(summary)),
        ("Profile", _profiles(summary)),
        ("Versions", _versions(results)),
        ("What failed", _failures(summary)),
    )
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in sections if body) + "\n"


def publish(results: dict[str, Any], folder: Path) -> None:
    """Write the page and the chart into a folder."""
    page = (HERE / "page.md").read_text().replace("{tables}", text(results).strip())
    (folder / "benchmarks.md").write_text(page)
    (folder / "benchmarks.svg").write_text(draw(Summary(results)))


def _run(results: dict[str, Any]) -> str:
    machine, servers = results["machine"], results["servers"]
    kind = "A quick look, not to be quoted. " if results["quick"] else ""
    begun = 1 + max((each["repeat"] for each in results["measurements"]), default=0)
    repeats = "1 repeat" if begun == 1 else f"{begun} repeats"
    where = f"{machine['cores']} cores ({machine['processor']}), Linux {machine['kernel']}"
    load = f"load when it began {machine['load']:.1f}"
    on = ", ".join(f"{name} {version}" for name, version in servers.items())
    return (
        f"{kind}{results['date'][:10]}, {results['minutes']:.0f} minutes, {repeats}, {where}; {load}. {on}.\n"
        "Medians, with the range of the repeats in brackets."
    )


def _targets(summary: Summary) -> str:
    rows = []
    for target in TARGETS:
        value = target.ask(summary)
        if value is not None:
            rows.append((target.title, target.wish(), f"{value:.2f}", "met" if target.is_met(value) else "**not met**"))
    return _table(("what", "target", "measured", ""), rows)


def _limits(summary: Summary) -> str:
    """Compare with what the database does for a driver that keeps the same rows and nothing else."""
    rows = []
    for workload in LIMITED:
        limit, ours = summary.value(BARE, workload.key), summary.value(OURS, workload.key)
        if limit is None or ours is None:
            continue
        others = [summary.value(key, workload.key) for key in (BULLMQ_REDIS, BULLMQ_POSTGRESQL)]
        shares = [NOTHING if each is None else f"{each / limit:.2f}" for each in (ours, *others)]
        rows.append((f"{workload.title}, jobs/s", f"{limit:,.0f}", *shares))
    if (limit := summary.value(BARE_BELL, LATENCY.key)) is not None:
        waits = [summary.value(key, LATENCY.key) for key in (OURS, BULLMQ_REDIS, BULLMQ_POSTGRESQL)]
        shares = [NOTHING if each is None else f"{each / limit:.2f}" for each in waits]
        rows.append((f"{LATENCY.title}, p50 in ms", f"{limit:.2f}", *shares))
    names = ("what", "psycopg alone", "django_jobs", "BullMQ on Redis", "BullMQ on PostgreSQL")
    return _table(names, rows)


def _overview(summary: Summary) -> str:
    rows = []
    for system in SYSTEMS.values():
        latency = [summary.value(system.key, "latency", detail) for detail in (None, "p95", "p99")]
        memory = summary.value(system.key, "memory", "all processes")
        cells = [
            *(_figure(summary.figure(system.key, key)) for key in ("enqueue", "bulk", "transaction")),
            " / ".join(f"{each:.1f}" for each in latency if each is not None) or NOTHING,
            NOTHING if memory is None else f"{memory:.0f}",
        ]
        rows.append((system.title, *cells))
    names = (
        "enqueue one by one, jobs/s",
        "in bulk",
        "in a transaction",
        "enqueue to start p50 / p95 / p99, ms",
        "worker MB",
    )
    return _table(("system", *names), [row for row in rows if set(row[1:]) != {NOTHING}])


def _drains(summary: Summary) -> str:
    workloads = [each for each in FULL if each.kind == "drain" and _is_measured(summary, each)]
    rows = []
    for system in SYSTEMS.values():
        cells = [_figure(summary.figure(system.key, each.key)) for each in workloads]
        if set(cells) != {NOTHING}:
            rows.append((system.title, _number(summary.jobs(system.key)), *cells))
    return _table(("system", "jobs", *(_short(each) for each in workloads)), rows)


def _costs(summary: Summary) -> str:
    rows = []
    for system in SYSTEMS.values():
        counts = [_number(summary.value(system.key, "cost", name)) for name in COSTS]
        best = summary.best_drain(system.key, 1)
        times = [NOTHING if best is None else _number(summary.value(system.key, best[0], name)) for name in TIMES]
        if set(counts) != {NOTHING}:
            rows.append((system.title, *counts, *times))
    return _table(("system", *COSTS, *TIMES), rows)


def _backlogs(summary: Summary) -> str:
    rows = []
    for workload in FULL:
        if workload.kind in ("backlog", "finished"):
            for system in SYSTEMS.values():
                rate, ratio = summary.value(system.key, workload.key), summary.value(system.key, workload.key, "ratio")
                if rate is not None and ratio is not None:
                    without = _number(summary.value(system.key, workload.key, "without"))
                    rows.append((workload.title, system.title, f"{rate:,.0f}", without, f"{ratio:.2f}"))
    return _table(("workload", "system", "jobs/s", "without it", "ratio"), rows)


def _profiles(summary: Summary) -> str:
    """Show whose code has the CPU of a process of ours, as a sampling profiler sees it, and where it only waits."""
    rows = []
    for workload in PROFILES:
        if found := summary.details(OURS, workload.key):
            total = sum(found.values())
            shares = sorted(found.items(), key=lambda each: -each[1])
            parts = ", ".join(f"{part} {value / total:.0%}" for part, value in shares if value >= LEAST_SHARE * total)
            rows.append((workload.title, _number(total), parts))
    return _table(("what", "CPU us", "of it"), rows)


def _versions(results: dict[str, Any]) -> str:
    systems = {SYSTEMS[key].requirements: (SYSTEMS[key], versions) for key, versions in results["versions"].items()}
    rows = [(name, ", ".join(" ".join(each) for each in _named(*made))) for name, made in systems.items()]
    return _table(("environment", "made of"), rows)


def _named(system: System, versions: dict[str, str]) -> list[tuple[str, str]]:
    """Return the versions of what the requirements ask for themselves, not of what that brings."""
    asked, _, _ = (HERE / "requirements" / system.requirements).read_text().partition(BROUGHT)
    names = {name.lower().replace("_", "-") for name in re.findall(r"[A-Za-z][\w-]*", asked)} | {"python", "node"}
    return [(name, version) for name, version in versions.items() if name.lower().replace("_", "-") in names]


def _failures(summary: Summary) -> str:
    return "\n".join(f"- {system}, {workload}: {error}" for system, workload, error in summary.errors())


def _is_measured(summary: Summary, workload: Workload) -> bool:
    return any(summary.figure(key, workload.key) for key in SYSTEMS)


def _short(workload: Workload) -> str:
    if workload.body != "empty":
        return workload.title
    many = "" if workload.jobs is None else f", {workload.jobs:,} jobs"
    return f"{workload.processes} x {workload.concurrency}{many}"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    if figure.low == figure.high:
        return _number(figure.median)
    return f"{_number(figure.median)} ({_number(figure.low)}-{_number(figure.high)})"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 20 else f"{value:.3g}"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
