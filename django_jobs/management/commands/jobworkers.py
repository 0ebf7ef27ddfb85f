"""manage.py jobworkers: list."""

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.lifecycle import workers
from django_jobs.management import subcommands
from django_jobs.management.tables import table
from django_jobs.models import Worker
from django_jobs.transitions.claiming import now

# Rows of dead workers pile up.
MOST_DEAD = 100

TITLES = ("HOST", "PID", "STATE", "VERSION", "QUEUES", "CONCURRENCY", "RUNNING", "LAST BEAT")
DETAILS = (
    "id",
    "host",
    "pid",
    "supervisor_pid",
    "version",
    "queues",
    "concurrency",
    "started_at",
    "beat_at",
    "dead_at",
)


class Command(BaseCommand):
    help = "Look at the workers."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="list")
        listing = subcommands.add(commands, "list", "List the workers that live, with what they have in hand.")
        listing.add_argument(
            "--dead", action="store_true", help=f"List those that stopped or died as well, the last {MOST_DEAD}."
        )

    def handle(self, *args: object, **options: Any) -> None:
        using = get_settings().DATABASE
        rows = workers.not_dead(using)
        if options["dead"]:
            rows += workers.last_dead(using, MOST_DEAD)
        running, present = workers.running_jobs(using), now(using)
        if options["json"]:
            told = [_details(each, running.get(each.pk, 0), present) for each in rows]
            self.stdout.write(json.dumps(told, cls=DjangoJSONEncoder, indent=2))
        elif rows:
            self.stdout.write(table(TITLES, [_row(each, running.get(each.pk, 0), present) for each in rows]))
        else:
            self.stdout.write("No worker is alive. Start one: manage.py runworkers")


def _row(worker: Worker, running: int, present: datetime) -> tuple[object, ...]:
    state: str = workers.life(worker, present)
    if worker.dead_at is not None:
        state = f"{state} {in_words(present - worker.dead_at)} ago"
    return (
        worker.host,
        worker.pid,
        state,
        worker.version,
        ", ".join(worker.queues) or "all",
        worker.concurrency,
        running,
        f"{in_words(present - worker.beat_at)} ago",
    )


def _details(worker: Worker, running: int, present: datetime) -> dict[str, object]:
    details = {name: getattr(worker, name) for name in DETAILS}
    return {**details, "state": workers.life(worker, present), "running": running}
