"""manage.py jobqueues: list, pause, resume, drain, clean, obliterate."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.errors import InvalidOption, QueueIsBusy
from django_jobs.handles import QueueCounts, queues
from django_jobs.lifecycle.emptying import CLEANABLE, check_cleanable, cleanable
from django_jobs.management import subcommands
from django_jobs.management.choosing import check_queue
from django_jobs.management.tables import table
from django_jobs.management.terminal import ProgressBar, confirm
from django_jobs.models import Queue
from django_jobs.states import State

TITLES = ("QUEUE", "STATE", "READY", "SCHEDULED", "RUNNING", "BLOCKED", "OLDEST")


class Command(BaseCommand):
    help = "Look at queues, pause and resume them, and empty them."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = "list|pause|resume|drain|clean|obliterate"
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar=verbs)
        subcommands.add(commands, "list", "List queues with their living jobs.")
        pausing = subcommands.add(commands, "pause", "Start nothing more of a queue; running jobs finish.")
        resuming = subcommands.add(commands, "resume", "Let a paused queue go on.")
        draining = subcommands.add(commands, "drain", "Remove the jobs of a queue that are due and have not started.")
        draining.add_argument("--scheduled", action="store_true", help="Also those that are not due yet.")
        cleaning = subcommands.add(commands, "clean", "Remove the jobs of a queue that are in a state for long enough.")
        cleaning.add_argument("--state", required=True, choices=CLEANABLE)
        cleaning.add_argument(
            "--older-than",
            type=float,
            default=0,
            metavar="SECONDS",
            help="Only those that ended so long ago, or were enqueued if they have not ended.",
        )
        cleaning.add_argument("--limit", type=int, help="How many at most, the oldest first.")
        erasing = subcommands.add(commands, "obliterate", "Remove all jobs of a queue and what was set for it.")
        erasing.add_argument("--force", action="store_true", help="Even while jobs of it run; they are cancelled.")
        for each in (draining, cleaning, erasing):
            each.add_argument("--yes", action="store_true", help="Do not ask.")
        for each in (pausing, resuming, draining, cleaning, erasing):
            each.add_argument("name", metavar="NAME")

    def handle(self, *args: object, **options: Any) -> None:
        match options["subcommand"]:
            case "list":
                self._list(options["json"])
            case "pause":
                self._set_paused(options, True)
            case "resume":
                self._set_paused(options, False)
            case "drain" | "clean" | "obliterate":
                self._empty(options)

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

    def _empty(self, options: dict[str, Any]) -> None:
        name = options["name"]
        check_queue(name)
        try:
            total, empty = _chosen(options)
            if total:
                warning = f"{total:,} jobs of the queue {name} will be removed for good."
                if not options["yes"]:
                    confirm(self.stderr, warning)
            bar = ProgressBar(self.stderr, total)
            try:
                removed = empty(progress=bar)
            finally:
                bar.end()
        except (InvalidOption, QueueIsBusy) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"name": name, "removed": removed}, indent=2))
        else:
            self.stdout.write(f"{removed:,} jobs of {name} are removed.")


def _chosen(options: dict[str, Any]) -> tuple[int, Callable[..., int]]:
    """Return how many jobs a verb would remove, and the verb. Raises InvalidOption."""
    queue = queues[options["name"]]
    match options["subcommand"]:
        case "drain":
            jobs = queue.jobs().filter(state=State.READY) if options["scheduled"] else queue.jobs().ready()
            return jobs.count(), partial(queue.drain, scheduled=options["scheduled"])
        case "clean":
            state, age, limit = options["state"], options["older_than"], options["limit"]
            check_cleanable(state, limit)
            jobs = cleanable(queue.name, state, age)
            return (jobs if limit is None else jobs[:limit]).count(), partial(queue.clean, state, age, limit)
        case _:
            return queue.jobs().count(), partial(queue.obliterate, force=options["force"])


def _as_json(counts: QueueCounts) -> dict[str, object]:
    # None: not counted.
    values = {name: value for name, value in asdict(counts).items() if value is not None}
    oldest = values.pop("oldest_age", None)
    return {**values, "oldest_seconds": None if oldest is None else oldest.total_seconds()}


def _cells(counts: QueueCounts) -> tuple[object, ...]:
    oldest = None if counts.oldest_age is None else in_words(counts.oldest_age)
    return counts.ready, counts.scheduled, counts.running, counts.blocked, oldest
