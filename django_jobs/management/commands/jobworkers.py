"""manage.py jobworkers: list, quiet, resume, stop, restart, concurrency."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.errors import InvalidOption
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.workers import Wish
from django_jobs.management import subcommands
from django_jobs.management.tables import table
from django_jobs.management.terminal import confirm
from django_jobs.models import Worker
from django_jobs.transitions.due import now

# Rows of dead workers pile up.
MOST_DEAD = 100

# So much of an id tells one from another, and is shown.
SHORT = 8

TITLES = ("ID", "HOST", "PID", "STATE", "VERSION", "QUEUES", "CONCURRENCY", "RUNNING", "LAST BEAT")
DETAILS = (
    "id",
    "host",
    "pid",
    "supervisor_pid",
    "version",
    "queues",
    "concurrency",
    "quiet",
    "asked_to",
    "started_at",
    "beat_at",
    "dead_at",
)
STOP = partial(workers.ask_to, wish=Wish.STOP)
# The verb, and what is said of those that it has changed something for.
VERBS: dict[str, tuple[Any, str]] = {
    "quiet": (partial(workers.set_quiet, quiet=True), "Take nothing new"),
    "resume": (partial(workers.set_quiet, quiet=False), "Take jobs again"),
    "stop": (STOP, "Stop"),
    "restart": (partial(workers.ask_to, wish=Wish.RESTART), "Are replaced"),
    "concurrency": (workers.resize, "Run another number of jobs at once"),
}
NO_CHANGE = " They had been told before."


class Command(BaseCommand):
    help = "Look at the workers and steer them. They hear of it within about a second."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = "list|quiet|resume|stop|restart|concurrency"
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar=verbs)
        listing = subcommands.add(commands, "list", "List the workers that live, with what they have in hand.")
        listing.add_argument(
            "--dead", action="store_true", help=f"List those that stopped or died as well, the last {MOST_DEAD}."
        )

        sizing = subcommands.add(commands, "concurrency", "Run another number of jobs at once in workers.")
        steering = [
            subcommands.add(commands, "quiet", "Take nothing new in workers; what they run goes on, and they stay."),
            subcommands.add(commands, "resume", "Let quiet workers take jobs again."),
            subcommands.add(commands, "stop", "End workers in good order; nobody takes their places."),
            subcommands.add(commands, "restart", "Replace workers by fresh processes, without a gap."),
            sizing,
        ]
        sizing.add_argument("jobs", type=int, metavar="N", help="How many at once in each of them from now on.")
        for each in steering:
            each.add_argument("ids", nargs="*", metavar="ID", help="Ids as the list shows them, or HOST:PID.")
            each.add_argument("--all", action="store_true", help="All workers that live.")
        steering[2].add_argument("--yes", action="store_true", help="Do not ask, not even with --all.")

    def handle(self, *args: object, **options: Any) -> None:
        if options["subcommand"] == "list":
            self._list(options)
        else:
            self._steer(options)

    def _steer(self, options: dict[str, Any]) -> None:
        using = get_settings().DATABASE
        chosen = _chosen(using, options["ids"], of_all=options["all"])
        verb, said = VERBS[options["subcommand"]]
        if verb is STOP and options["all"] and not options["yes"]:
            confirm(self.stderr, f"All {len(chosen)} workers will stop, and none takes their places.")
        try:
            arguments = {"concurrency": options["jobs"]} if verb is workers.resize else {}
            changed = verb(using, [each.pk for each in chosen], **arguments)
        except InvalidOption as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            told = {"workers": [str(each.pk) for each in chosen], "changed": changed}
            self.stdout.write(json.dumps(told, indent=2))
        else:
            self.stdout.write(f"{said}: {changed} of {len(chosen)} workers." + (NO_CHANGE if not changed else ""))

    def _list(self, options: dict[str, Any]) -> None:
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
    if worker.dead_at is None and (asked := workers.asked_of(worker)):
        state = f"{state}, {asked}"
    elif worker.dead_at is not None:
        state = f"{state} {in_words(present - worker.dead_at)} ago"
    if workers.is_by_hand(worker):
        state = f"{state}, by hand"
    return (
        worker.pk.hex[-SHORT:],
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


def _chosen(using: str, texts: Sequence[str], *, of_all: bool) -> list[Worker]:
    """Return the workers that are meant. Raises CommandError unless each text means one that can be steered."""
    if bool(texts) == of_all:
        raise CommandError("Give the ids of workers, or --all, not both: manage.py jobworkers list shows the ids.")
    living = [each for each in workers.not_dead(using) if workers.is_steerable(each)]
    if not living:
        raise CommandError("No worker is alive that could hear it. Start one: manage.py runworkers")
    return living if of_all else list({each.pk: each for each in (_one(text, living) for text in texts)}.values())


def _one(text: str, living: Sequence[Worker]) -> Worker:
    wanted = text.lower().replace("-", "")
    found = [
        each
        for each in living
        if text == str(each) or (wanted and (each.pk.hex.startswith(wanted) or each.pk.hex.endswith(wanted)))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{text!r} means {len(found)} workers: {', '.join(each.pk.hex for each in found)}.")
    known = ", ".join(f"{each.pk.hex[-SHORT:]} ({each})" for each in living)
    raise CommandError(f"No living worker has an id like {text!r}, or is called so. There are: {known}.")
