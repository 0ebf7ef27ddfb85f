"""manage.py jobqueues: list, pause, resume."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.handles import QueueCounts, queues
from django_jobs.management import subcommands
from django_jobs.management.choosing import check_queue
from django_jobs.management.tables import table
from django_jobs.models import Queue

TITLES = ("QUEUE", "STATE", "READY", "SCHEDULED", "RUNNING", "BLOCKED", "OLDEST")


class Command(BaseCommand):
    help = "Look at queues, pause and resume them."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="list|pause|resume")
        subcommands.add(commands, "list", "List queues with their living jobs.")
        pausing = subcommands.add(commands, "pause", "Start nothing more of a queue; running jobs finish.")
        resuming = subcommands.add(commands, "resume", "Let a paused queue go on.")
        for each in (pausing, resuming):
            each.add_argument("name", metavar="NAME")

    def handle(self, *args: object, **options: Any) -> None:
        match options["subcommand"]:
            case "list":
                self._list(options["json"])
            case "pause":
                self._set_paused(options, True)
            case "resume":
                self._set_paused(options, False)

    def _list(self, as_json: bool) -> None:
        stored = Queue.objects.using(get_settings().DATABASE)
        paused = set(stored.filter(paused=True).values_list("name", flat=True))
        counted = queues.counts()
        if as_json:
            told = [{"name": name, "paused": name in paused, **_as_json(counted[name])} for name in counted]
            self.stdout.write(json.dumps(told, indent=2))
        else:
            rows = [(name, "paused" if name in paused else "open", *_cells(counted[name])) for name in counted]
            self.stdout.write(table(TITLES, rows))

    def _set_paused(self, options: dict[str, Any], pause: bool) -> None:
        name = options["name"]
        check_queue(name)
        changed = queues[name].pause() if pause else queues[name].resume()
        if options["json"]:
            self.stdout.write(json.dumps({"name": name, "paused": pause, "changed": changed}, indent=2))
        elif pause:
            self.stdout.write(f"{name} is paused; running jobs finish." if changed else f"{name} was paused already.")
        else:
            self.stdout.write(f"{name} goes on." if changed else f"{name} was not paused.")


def _as_json(counts: QueueCounts) -> dict[str, object]:
    values = asdict(counts)
    oldest = values.pop("oldest_age")
    return {**values, "oldest_seconds": None if oldest is None else oldest.total_seconds()}


def _cells(counts: QueueCounts) -> tuple[object, ...]:
    oldest = None if counts.oldest_age is None else in_words(counts.oldest_age)
    return counts.ready, counts.scheduled, counts.running, counts.blocked, oldest
