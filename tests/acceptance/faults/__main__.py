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
from dataclasses import asdict
from pathlib import Path

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
    from tests.acceptance.faults.stage import Stage
    from tests.acceptance.faults.trial import FAULTS, Report, Trials, chosen

    if unknown := set(options.fault) - FAULTS.keys():
        sys.exit(f"There is no fault {', '.join(map(repr, sorted(unknown)))}. Known are: {', '.join(FAULTS)}.")
    if options.list:
        for each in FAULTS.values():
            print(f"{each.name:34}{each.story}")
        return 0
    faults = chosen(options.fault, options.database)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    reports: list[Report] = []
    try:
        stage = None
        for number in range(options.trials or len(faults)):
            if stage is None:
                # After a violation a new one, so that the next trials do not suffer from it.
                stage = Stage(options.database, random.Random(seed))
                trials = Trials(stage.__enter__())
            fault = faults[number % len(faults)]
            report = trials.run(fault, seed + number)
            reports.append(report)
            _say(report, options.output)
            if report.violations:
                Path(f"faults-{fault.name}-{report.seed}.log").write_text(stage.output())
                stage.__exit__(None, None, None)
                stage = None
    finally:
        if stage is not None:
            stage.__exit__(None, None, None)
        print(_summary(reports))
    return 1 if any(each.violations for each in reports) else 0


def _say(report: "object", output: Path | None) -> None:
    values = asdict(report)  # type: ignore[call-overload]
    print(f"{values['fault']:34}--seed {values['seed']:<9}{values['jobs']:5} jobs{values['recovery_seconds']:8.2f} s")
    for each in values["violations"]:
        print(f"    VIOLATED {each}")
    sys.stdout.flush()
    if output is not None:
        with output.open("a") as file:
            file.write(json.dumps(values) + "\n")


def _summary(reports: "list[object]") -> str:
    """Return a table: for each fault the trials, the violations, and how long it took until all jobs had ended."""
    by_fault = defaultdict(list)
    for report in reports:
        by_fault[report.fault].append(report)  # type: ignore[attr-defined]
    lines = [f"{'fault':34}{'trials':>8}{'jobs':>8}{'violations':>12}{'p50 s':>8}{'max s':>8}"]
    for name, some in by_fault.items():
        seconds = [each.recovery_seconds for each in some]
        violations = sum(len(each.violations) for each in some)
        jobs = sum(each.jobs for each in some)
        lines.append(
            f"{name:34}{len(some):8}{jobs:8}{violations:12}{statistics.median(seconds):8.2f}{max(seconds):8.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
