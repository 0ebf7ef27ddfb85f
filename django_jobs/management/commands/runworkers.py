"""manage.py runworkers: run jobs in N processes until told to stop."""

import signal
import sys
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from types import FrameType
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections
from django.template.defaultfilters import pluralize

import django_jobs
from django_jobs.checks import check_worker
from django_jobs.conf import get_settings
from django_jobs.definitions.registry import check_queue_name, queue_names
from django_jobs.errors import JobsError, TransportError, WorkerError
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.health import APP, migrate_command, pending_migrations
from django_jobs.transports import get_transport
from django_jobs.worker import systemd
from django_jobs.worker.plan import Plan
from django_jobs.worker.probes import Probes
from django_jobs.worker.standing import Listener
from django_jobs.worker.supervisor import Supervisor

HEAVIEST = 100
SIGNALS = """\
signals, to this process alone or to its group:
  SIGTERM, SIGINT  stop: start nothing more, let running jobs finish for GRACE_SECONDS, hand back the rest;
                   again, two seconds later or more: hand back at once
  SIGHUP           restart the worker processes on the code as it is now, one after the other; in a terminal: stop
  SIGUSR1          quiet: take nothing new, finish what runs, and stay
  SIGUSR2          take jobs again"""


class Command(BaseCommand):
    help = "Run jobs until told to stop: SIGTERM or Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = SIGNALS
        parser.add_argument(
            "--queue",
            action="append",
            default=[],
            metavar="NAME[=WEIGHT]",
            help="A queue to work on; may be repeated. While all have work, one of weight 5 gets five starts where one "
            "of weight 1 gets one. Default: all, in turn.",
        )
        parser.add_argument(
            "--strict", action="store_true", help="Start nothing of a queue while one named before it has work."
        )
        parser.add_argument("--processes", type=int, default=1, metavar="N", help="Worker processes (default 1).")
        parser.add_argument(
            "--concurrency", type=int, default=10, metavar="N", help="Jobs that run at once in a process (default 10)."
        )
        parser.add_argument(
            "--recycle-after-jobs", type=int, metavar="N", help="Replace a process that has run so many jobs."
        )
        parser.add_argument(
            "--recycle-after-megabytes", type=int, metavar="N", help="Replace a process that holds so much memory."
        )
        parser.add_argument(
            "--health-port", type=int, metavar="PORT", help="Answer probes over HTTP: /live, /ready. 0: any free port."
        )
        parser.add_argument(
            "--health-host", default="127.0.0.1", metavar="HOST", help="Where to listen for them (default 127.0.0.1)."
        )
        parser.add_argument("--burst", action="store_true", help="End when nothing due can start and nothing runs.")
        parser.add_argument(
            "--fail-on-error", action="store_true", help="Exit with status 1 if a job failed for good (with --burst)."
        )
        reload = parser.add_mutually_exclusive_group()
        reload.add_argument(
            "--autoreload", action="store_true", default=None, help="Restart on changed code (default when DEBUG)."
        )
        reload.add_argument(
            "--no-autoreload", action="store_false", dest="autoreload", help="Run the same code until the end."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        plan = self._plan(options)
        using = get_settings().DATABASE
        with ExitStack() as ends, _stoppable():
            listeners = self._listeners(options, ends)
            self._wait_for_migrations(using)
            self._print_banner(plan, using)
            for message in check_worker():
                self.stderr.write(str(message))
            supervisor = Supervisor(plan, listeners)
            supervisor.run()
        if plan.burst:
            ended, failed = supervisor.ended, supervisor.failed
            self.stdout.write(f"{ended} attempt{pluralize(ended)} ended, {failed} job{pluralize(failed)} failed.")
            self.stdout.flush()
        if options["fail_on_error"] and supervisor.failed:
            raise CommandError(f"{supervisor.failed} jobs failed.", returncode=1)

    def _plan(self, options: dict[str, Any]) -> Plan:
        for name in ("processes", "concurrency", "recycle_after_jobs", "recycle_after_megabytes"):
            if options[name] is not None and options[name] < 1:
                raise CommandError(f"--{name.replace('_', '-')} must be at least 1, not {options[name]!r}.")
        names, weights = _queues(options["queue"], strict=options["strict"])
        try:
            settings = get_settings()
            for name in names:
                check_queue_name(name)
        except JobsError as error:
            raise CommandError(str(error)) from error
        reload = options["autoreload"]
        return Plan(
            queue_names=names,
            weights=weights,
            strict=options["strict"],
            processes=options["processes"],
            concurrency=options["concurrency"],
            burst=options["burst"],
            autoreload=(django_settings.DEBUG and not options["burst"]) if reload is None else reload,
            grace_seconds=settings.GRACE_SECONDS,
            recycle_after_jobs=options["recycle_after_jobs"],
            recycle_after_megabytes=options["recycle_after_megabytes"],
        )

    def _listeners(self, options: dict[str, Any], ends: ExitStack) -> list[Listener]:
        listeners: list[Listener] = []
        if options["health_port"] is not None:
            try:
                probes = Probes(options["health_host"], options["health_port"])
            except WorkerError as error:
                raise CommandError(str(error)) from error
            ends.callback(probes.close)
            listeners.append(probes)
            self.stdout.write(f"Probes are answered on {options['health_host']}:{probes.port}.")
        if (manager := systemd.of_environment()) is not None:
            ends.callback(manager.close)
            listeners.append(manager)
        return listeners

    def _wait_for_migrations(self, using: str) -> None:
        """A deploy may start workers before it migrates."""
        said = False
        while pending := _pending_migrations(using):
            if not said:
                waits = f"Waiting for migrations of {APP}: {', '.join(pending)}."
                self.stdout.write(f"{waits} Run: {migrate_command(using)}")
                self.stdout.flush()
                said = True
            threading.Event().wait(1.0)

    def _print_banner(self, plan: Plan, using: str) -> None:
        connection = connections[using]
        try:
            transport = get_transport().describe()
        except TransportError as error:
            transport = f"away for now, working from the table ({error})"
        most = workers.most_connections([plan.concurrency] * plan.processes, supervisors=1)
        queues = [
            f"{name} ({weight})" if weight else name
            for name, weight in zip_longest(plan.queue_names or queue_names(), plan.weights)
        ]
        for line in (
            f"django_jobs {django_jobs.__version__}",
            f"  transport   {transport}",
            f"  database    {using} ({connection.display_name}), at most {most} connections",
            f"  queues      {', '.join(queues)}{', in this order' if plan.strict else ''}",
            f"  processes   {plan.processes}, {plan.concurrency} jobs at once in each"
            f"{', burst' if plan.burst else ''}{', autoreload' if plan.autoreload else ''}",
        ):
            self.stdout.write(line)
        self.stdout.flush()


@contextmanager
def _stoppable() -> Iterator[None]:
    """End well when asked to before the supervisor listens: it may wait for migrations long.

    And the first process of a container hears no signal that it does not handle.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _queues(given: list[str], *, strict: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of queues, and a weight for each if any has one. Raises CommandError."""
    weights: dict[str, int] = {}
    for text in given:
        name, equals, weight = text.partition("=")
        if name in weights:
            raise CommandError(f"--queue {name} is given twice.")
        if equals and not (weight.isdecimal() and 1 <= int(weight) <= HEAVIEST):
            raise CommandError(f"--queue {name}= must be followed by a weight from 1 to {HEAVIEST}, not {weight!r}.")
        weights[name] = int(weight) if equals else 1
    are_weighted = any("=" in text for text in given)
    if strict and are_weighted:
        raise CommandError("--strict goes by the order of the queues, so they take no weights. Leave one of them out.")
    if strict and len(given) < 2:
        raise CommandError("--strict needs the queues in their order: --queue first --queue second.")
    return tuple(weights), tuple(weights.values()) if are_weighted else ()


def _pending_migrations(using: str) -> list[str]:
    try:
        return pending_migrations(using)
    except OperationalError as error:
        raise CommandError(f"The database {using!r} cannot be reached: {error}") from error
    finally:
        connections[using].close()
