"""Let everything happen to real workers and servers, again and again, and say what it came to.

    python -m tests.acceptance.faults --trials 1000                       all faults in turn
    python -m tests.acceptance.faults --trials 50 --fault redis-killed    one of them
    python -m tests.acceptance.faults --fault host-paused --seed 4711     one trial of an earlier run again
    python -m tests.acceptance.faults growth --jobs 1000000               memory, descriptors and threads of a worker

The status is 0 if no invariant was broken. Servers are private and temporary; see tests/servers.py for the programs.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import django

KINDS = ("postgresql", "mariadb")


def main() -> int:
    options = _options()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    # A stop from outside unwinds everything, so that no server and no worker is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.what == "growth":
        from tests.acceptance.faults.growth import measure

        return measure(options.database, options.jobs)
    return _run(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=("trials", "growth"), default="trials")
    parser.add_argument("--database", choices=KINDS, default=KINDS[0], help=f"default {KINDS[0]}")
    parser.add_argument("--trials", type=int, metavar="N", help="how many in all; default: each fault once")
    parser.add_argument("--fault", nargs="+", default=[], metavar="NAME", help="default: all; --list shows them")
    parser.add_argument("--seed", type=int, help="of the first trial; the next ones count up from it")
    parser.add_argument("--jobs", type=int, default=100_000, metavar="N", help="for growth: how many empty jobs")
    parser.add_argument("--output", type=Path, metavar="FILE", help="append a line of JSON for each trial")
    parser.add_argument("--list", action="store_true", help="show the faults and end")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> int:
    from tests.acceptance.faults.scene import FAULTS
    from tests.acceptance.faults.trial import Trials, chosen

    if unknown := set(options.fault) - FAULTS.keys():
        sys.exit(f"There is no fault {', '.join(map(repr, sorted(unknown)))}. Known are: {', '.join(FAULTS)}.")
    if options.list:
        for each in FAULTS.values():
            print(f"{each.name:34}{each.story}")
        return 0
    faults = chosen(options.fault, options.database)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    reports: list[dict[str, Any]] = []
    try:
        with Trials(options.database) as trials:
            for number in range(options.trials or len(faults)):
                report = asdict(trials.run(faults[number % len(faults)], seed + number))
                _tell(report, options.output)
                reports.append(report)
    finally:
        print(summary(reports))
    return int(any(each["violations"] for each in reports))


def _tell(report: dict[str, Any], output: Path | None) -> None:
    """Say what came of a trial; what the workers said of one that went wrong goes into a file beside."""
    said = report.pop("said")
    print(
        f"{report['fault']:34}--seed {report['seed']:<9}{report['jobs']:5} jobs{report['recovery_seconds']:8.2f} s"
        f"{_middle_and_most(report['restart_seconds'])}"
    )
    for each in report["violations"]:
        print(f"    VIOLATED {each}")
    if said:
        path = Path(f"faults-{report['fault']}-{report['seed']}.log")
        path.write_text(said)
        print(f"    The workers' output is in {path}.")
    sys.stdout.flush()
    if output is not None:
        with output.open("a") as file:
            file.write(json.dumps(report) + "\n")


def summary(reports: Sequence[dict[str, Any]]) -> str:
    """Return a table: for each fault the trials, the violations, and two times, each by its median and its maximum.

    "Ended": until all jobs had ended. "Again": from a kill until a job that it cut off began again.
    """
    by_fault = defaultdict(list)
    for report in reports:
        by_fault[report["fault"]].append(report)
    heads = f"{'trials':>8}{'times':>8}{'jobs':>8}{'violations':>12}"
    lines = [f"{'fault':34}{heads}{'ended: p50':>12}{'max s':>8}{'again: p50':>12}{'max s':>8}"]
    for name, some in by_fault.items():
        violations, jobs = sum(len(each["violations"]) for each in some), sum(each["jobs"] for each in some)
        times = sum(each["times"] for each in some)
        ended = _middle_and_most([each["recovery_seconds"] for each in some])
        again = _middle_and_most([seconds for each in some for seconds in each["restart_seconds"]])
        lines.append(f"{name:34}{len(some):8}{times:8}{jobs:8}{violations:12}{ended}{again}")
    return "\n".join(lines)


def _middle_and_most(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):12.2f}{max(seconds):8.2f}" if seconds else ""


if __name__ == "__main__":
    sys.exit(main())
