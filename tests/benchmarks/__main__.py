"""Measure django_jobs and its peers in one sitting, on private servers, and write what came out.

    python -m tests.benchmarks                 all of it, within an hour
    python -m tests.benchmarks --quick         a look, within five minutes
    python -m tests.benchmarks --systems ours bullmq-redis --workloads drain-1x10 --repeats 5

Results: a JSON file; with --publish also the table and the chart in docs/.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import page
from tests.benchmarks.environments import CACHE, Environment, environment
from tests.benchmarks.ledger import Ledger
from tests.benchmarks.remote import Remote
from tests.benchmarks.running import Measurement, Runner
from tests.benchmarks.stores import Stores
from tests.benchmarks.systems import SYSTEMS, System
from tests.benchmarks.workloads import FULL, Workload, quick

FULL_REPEATS, QUICK_REPEATS = 3, 1
# No repeat but the first goes on after so long.
MOST_MINUTES = 50
MEMORY_FILES = Path("/dev/shm")  # noqa: S108 (the one place that is memory)


def main() -> int:
    options = _options()
    if options.report is None:
        path = options.output or CACHE / "results.json"
        results = _measured(options, path)
    else:
        results = json.loads(options.report.read_text())
    print(page.text(results))
    if options.publish:
        page.publish(results, options.publish)
    return 1 if any(each["error"] for each in results["measurements"]) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer workloads, jobs and repeats")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, metavar="KEY", help=f"some of: {', '.join(SYSTEMS)}")
    keys = [each.key for each in FULL]
    parser.add_argument("--workloads", nargs="+", choices=keys, metavar="KEY", help=f"some of: {', '.join(keys)}")
    parser.add_argument("--repeats", type=int, metavar="N", help=f"default {FULL_REPEATS}; quick: {QUICK_REPEATS}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default .benchmarks/results.json")
    parser.add_argument(
        "--publish", type=Path, nargs="?", const=page.DOCS, metavar="FOLDER", help="write page and chart; default docs/"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="measure nothing: report these earlier results")
    return parser.parse_args()


def _measured(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    systems = [SYSTEMS[key] for key in options.systems or SYSTEMS]
    chosen = [
        each for each in (quick() if options.quick else FULL) if not options.workloads or each.key in options.workloads
    ]
    repeats = options.repeats or (QUICK_REPEATS if options.quick else FULL_REPEATS)
    environments = {each.key: environment(each.requirements) for each in systems}
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # A stop from outside unwinds the stack, so that no server and no worker is left behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        memory = tempfile.TemporaryDirectory(prefix="benchmarks-", dir=MEMORY_FILES if MEMORY_FILES.is_dir() else None)
        ledger = Ledger(Path(stack.enter_context(memory)) / "ledger")
        stores = stack.enter_context(Stores(systems, folder).running())
        results = _head(stores, environments, repeats, quick=options.quick)
        runners = [_runner(stack, each, environments[each.key], stores, ledger) for each in systems]
        begin = time.monotonic()
        for measurement in _measurements(runners, chosen, repeats):
            results["measurements"].append(asdict(measurement))
            results["minutes"] = (time.monotonic() - begin) / 60
            path.write_text(json.dumps(results, indent=1))
            print(f"{results['minutes']:5.1f} min  {_line(measurement)}", flush=True)
    return results


def _runner(stack: ExitStack, system: System, place: Environment, stores: Stores, ledger: Ledger) -> Runner:
    log = CACHE / "logs" / f"{system.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    remote = Remote(system, place, stores, ledger, log)
    stack.callback(remote.close)
    runner = Runner(system, remote, stores, ledger, log)
    runner.prepare()
    return runner


def _measurements(runners: Sequence[Runner], workloads: Sequence[Workload], repeats: int) -> Iterable[Measurement]:
    """Yield one measurement after the other: all systems in turn, so that a slow minute of the machine hits all."""
    deadline = time.monotonic() + 60 * MOST_MINUTES
    for repeat in range(repeats):
        for workload in workloads:
            if repeat and time.monotonic() > deadline:
                return
            if not (workload.once and repeat):
                for runner in runners:
                    if workload.suits(runner.system):
                        yield runner.measure(workload, repeat)


def _head(stores: Stores, environments: dict[str, Environment], repeats: int, *, quick: bool) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "processor": _processor(),
            "load": os.getloadavg()[0],
        },
        "quick": quick,
        "repeats": repeats,
        "servers": stores.versions(),
        "versions": {key: each.versions for key, each in environments.items()},
        "measurements": [],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _line(measurement: Measurement) -> str:
    outcome = measurement.error or f"{measurement.value:,.1f}"
    return f"{measurement.workload:15}{measurement.system:20}{outcome}"


if __name__ == "__main__":
    sys.exit(main())
