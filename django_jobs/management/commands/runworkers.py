"""manage.py runworkers: run jobs in N processes until told to stop."""

import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections

import django_jobs
from django_jobs.conf import get_settings
from django_jobs.definitions.registry import any_sandboxed, check_queue_name, queue_names
from django_jobs.errors import JobsError, TransportError
from django_jobs.lifecycle.health import APP, pending_migrations
from django_jobs.transports import get_transport
from django_jobs.worker.plan import Plan
from django_jobs.worker.supervisor import Supervisor


class Command(BaseCommand):
    help = (
        "Run jobs until told to stop: SIGTERM or Ctrl-C once for a graceful end, again seconds later for one at once."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            action="append",
            default=[],
            metavar="NAME",
            help="A queue to work on; may be repeated. Default: all.",
        )
        parser.add_argument("--processes", type=int, default=1, metavar="N", help="Worker processes (default 1).")
        parser.add_argument(
            "--concurrency", type=int, default=10, metavar="N", help="Jobs that run at once in a process (default 10)."
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
        self._wait_for_migrations(using)
        self._print_banner(plan, using)
        supervisor = Supervisor(plan)
        supervisor.run()
        if plan.burst:
            self.stdout.write(f"{supervisor.ended} attempts ended, {supervisor.failed} jobs failed.")
            self.stdout.flush()
        if options["fail_on_error"] and supervisor.failed:
            raise CommandError(f"{supervisor.failed} jobs failed.", returncode=1)

    def _plan(self, options: dict[str, Any]) -> Plan:
        for name in ("processes", "concurrency"):
            if options[name] < 1:
                raise CommandError(f"--{name} must be at least 1, not {options[name]!r}.")
        try:
            settings = get_settings()
            for name in options["queue"]:
                check_queue_name(name)
        except JobsError as error:
            raise CommandError(str(error)) from error
        reload = options["autoreload"]
        return Plan(
            queue_names=tuple(options["queue"]),
            processes=options["processes"],
            concurrency=options["concurrency"],
            burst=options["burst"],
            autoreload=(django_settings.DEBUG and not options["burst"]) if reload is None else reload,
            grace_seconds=settings.GRACE_SECONDS,
        )

    def _wait_for_migrations(self, using: str) -> None:
        """A deploy may start workers before it migrates."""
        said = False
        while pending := _pending_migrations(using):
            if not said:
                self.stdout.write(f"Waiting for migrations of {APP}: {', '.join(pending)}. Run: manage.py migrate")
                self.stdout.flush()
                said = True
            threading.Event().wait(1.0)

    def _print_banner(self, plan: Plan, using: str) -> None:
        connection = connections[using]
        try:
            transport = get_transport().describe()
        except TransportError as error:
            transport = f"away for now, working from the table ({error})"
        # Each process: one connection a thread, one a sandbox, one to record, one for chores; the supervisor has one.
        bodies = plan.concurrency * (2 if any_sandboxed() else 1)
        most = plan.processes * (bodies + 2) + 1
        for line in (
            f"django_jobs {django_jobs.__version__}",
            f"  transport   {transport}",
            f"  database    {using} ({connection.display_name}), at most {most} connections",
            f"  queues      {', '.join(plan.queue_names or queue_names())}",
            f"  processes   {plan.processes}, {plan.concurrency} jobs at once in each"
            f"{', burst' if plan.burst else ''}{', autoreload' if plan.autoreload else ''}",
        ):
            self.stdout.write(line)
        self.stdout.flush()


def _pending_migrations(using: str) -> list[str]:
    try:
        return pending_migrations(using)
    except OperationalError as error:
        raise CommandError(f"The database {using!r} cannot be reached: {error}") from error
    finally:
        connections[using].close()
