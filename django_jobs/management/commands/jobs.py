"""manage.py jobs: list, show, retry, cancel, run-now."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.lifecycle import control
from django_jobs.management import choosing, subcommands
from django_jobs.management.tables import block, facts, table
from django_jobs.models import Job
from django_jobs.transitions.claiming import now

# Progress is told every so many jobs, on stderr.
TOLD_EVERY = 10_000

TITLES = ("ID", "STATE", "NAME", "QUEUE", "ATTEMPT", "AGE", "DURATION")
# What --json tells of a job in a list, and of one that is shown.
SUMMARY = ("id", "name", "queue_name", "state", "priority", "attempt", "max_attempts", "error")
TIMES = ("enqueued_at", "run_after", "started_at", "finished_at")
DETAILS = ("starts", "stalls", "owner", "group", "idempotency_key", "expires_at", "deadline_at", "cancel_requested")
CALL = ("args", "kwargs", "result")
ATTEMPT = ("number", "outcome", "started_at", "finished_at", "worker", "error_class", "message", "traceback")


class Command(BaseCommand):
    help = "Look at jobs and steer them."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="list|show|retry|cancel|run-now")
        listing = subcommands.add(commands, "list", "List jobs, the newest first.")
        choosing.add_filters(listing)
        listing.add_argument("--limit", type=int, default=20, help="How many at most; 20 by default.")
        showing = subcommands.add(commands, "show", "Show all about one job.")
        showing.add_argument("id", metavar="ID")
        retrying = subcommands.add(commands, "retry", "Run jobs again that have ended; failed ones unless told else.")
        cancelling = subcommands.add(commands, "cancel", "Cancel jobs that wait, and ask those that run to stop.")
        hurrying = subcommands.add(commands, "run-now", "Make scheduled jobs due.")
        # Without a state that was asked for, nobody's successful jobs run again.
        choosing.add_choice(retrying, usual_state="failed")
        choosing.add_choice(cancelling)
        choosing.add_choice(hurrying)
        cancelling.add_argument("--reason", default="", help="Kept with the jobs.")

    def handle(self, *args: object, **options: Any) -> None:
        match options["subcommand"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options)
            case "retry":
                self._steer(options, control.retry, "will run again")
            case "cancel":
                self._steer(options, _cancel(options["reason"]), "are cancelled, or asked to stop")
            case "run-now":
                self._steer(options, control.run_now, "are due now")

    def _list(self, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise CommandError(f"--limit must be at least 1, not {options['limit']}.")
        jobs = list(choosing.matching(options).order_by("-pk").defer("arguments", "result_text")[: options["limit"]])
        present = now(get_settings().DATABASE)
        if options["json"]:
            self._print_json([_summary(job, present) for job in jobs])
        elif jobs:
            self.stdout.write(table(TITLES, [_row(job, present) for job in jobs]))
        else:
            self.stdout.write("No job matches.")

    def _show(self, options: dict[str, Any]) -> None:
        (id,) = choosing.existing([options["id"]])
        job = Job.objects.using(get_settings().DATABASE).get(pk=id)
        present = now(get_settings().DATABASE)
        attempts = [{name: getattr(each, name) for name in ATTEMPT} for each in job.attempts.all()]
        if options["json"]:
            self._print_json({**_details(job, present), "attempts": attempts})
            return
        details = _details(job, present)
        call = {name: json.dumps(details[name], ensure_ascii=False) for name in CALL}
        self.stdout.write(facts({**details, **call}))
        for each in attempts:
            self.stdout.write(f"\nAttempt {each['number']}: {each['outcome']}, {each['finished_at']}")
            self.stdout.write(block(each["traceback"] or each["message"]))

    def _steer(self, options: dict[str, Any], verb: Callable[..., int], outcome: str) -> None:
        seen = 0

        def tell(looked_at: int) -> None:
            nonlocal seen
            if looked_at // TOLD_EVERY > seen // TOLD_EVERY:
                self.stderr.write(f"{looked_at:,} jobs looked at ...", style_func=str)
            seen = looked_at

        moved = verb(choosing.chosen(options), progress=tell)
        if options["json"]:
            self._print_json({"moved": moved, "chosen": seen})
        else:
            self.stdout.write(f"{moved:,} of {seen:,} jobs {outcome}.")

    def _print_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2))


def _cancel(reason: str) -> Callable[..., int]:
    return lambda jobs, progress: control.cancel(jobs, reason, progress=progress)


def _row(job: Job, present: datetime) -> tuple[object, ...]:
    end = job.finished_at or present
    return (
        job.id,
        job.phase(present),
        job.name,
        job.queue_name,
        f"{job.attempt}/{job.max_attempts}",
        in_words(present - job.enqueued_at),
        None if job.started_at is None else in_words(end - job.started_at),
    )


def _summary(job: Job, present: datetime) -> dict[str, object]:
    return {name: getattr(job, name) for name in (*SUMMARY, *TIMES)} | {"phase": job.phase(present)}


def _details(job: Job, present: datetime) -> dict[str, object]:
    details = {name: getattr(job, name) for name in DETAILS}
    return {**_summary(job, present), **details, **{name: getattr(job, name) for name in CALL}}
