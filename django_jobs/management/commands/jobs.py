"""manage.py jobs: list, show, tail, retry, cancel, run-now, reschedule, reprioritize, remove."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.definitions.redaction import shown_call, shown_result
from django_jobs.errors import InvalidOption
from django_jobs.lifecycle import control
from django_jobs.lifecycle.deduplicating import follow_up_of, holder_of
from django_jobs.management import choosing, subcommands
from django_jobs.management.reports import TAIL_LINES, follow, log_line, progress_line, report_details, spoken
from django_jobs.management.tables import block, facts, table
from django_jobs.management.terminal import ProgressBar, confirm
from django_jobs.models import Job, Step
from django_jobs.transitions.due import now

TITLES = ("ID", "STATE", "NAME", "QUEUE", "ATTEMPT", "AGE", "DURATION")
# What --json tells of a job in a list, and of one that is shown.
SUMMARY = ("id", "name", "queue_name", "state", "priority", "attempt", "max_attempts", "error")
TIMES = ("enqueued_at", "run_after", "started_at", "finished_at")
DETAILS = (
    "starts",
    "max_starts",
    "stalls",
    "owner",
    "group",
    "metadata",
    "keep_until",
    "idempotency_key",
    "deduplication_mode",
    "deduplication_key",
    "deduplication_expires_at",
    "duplicates",
    "expires_at",
    "timeout",
    "deadline_at",
    "cancel_requested",
    "cancel_requested_at",
)
CALL = ("args", "kwargs", "result")
STEP = ("name", "attempt", "started_at", "finished_at", "unused")
ATTEMPT = ("number", "outcome", "started_at", "finished_at", "worker", "error_class", "message", "traceback")


class Command(BaseCommand):
    help = "Look at jobs and steer them."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = "list|show|tail|retry|cancel|run-now|reschedule|reprioritize|remove"
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar=verbs)
        listing = subcommands.add(commands, "list", "List jobs, the newest first.")
        choosing.add_filters(listing)
        listing.add_argument("--limit", type=int, default=20, help="How many at most; 20 by default.")
        showing = subcommands.add(commands, "show", "Show all about one job.")
        showing.add_argument("id", metavar="ID")
        following = subcommands.add(commands, "tail", "Show what a job logs and how far it is, until it has ended.")
        following.add_argument("id", metavar="ID")
        retrying = subcommands.add(commands, "retry", "Run jobs again that have ended; failed ones unless told else.")
        # Without a state that was asked for, nobody's successful jobs run again.
        choosing.add_choice(retrying, usual_state="failed")
        retrying.add_argument("--reset-steps", action="store_true", help="Forget the steps that are done; repeat them.")
        cancelling = subcommands.add(commands, "cancel", "Cancel jobs that wait, and ask those that run to stop.")
        cancelling.add_argument("--reason", default="", help="Kept with the jobs.")
        hurrying = subcommands.add(commands, "run-now", "Make scheduled jobs due.")
        delaying = subcommands.add(commands, "reschedule", "Give jobs that have not started another time.")
        when = delaying.add_mutually_exclusive_group(required=True)
        when.add_argument("--in", type=float, dest="when", metavar="SECONDS", help="So long from now.")
        when.add_argument("--at", type=moment, dest="when", metavar="TIME", help="For example 2030-01-31T08:00+01:00.")
        ranking = subcommands.add(commands, "reprioritize", "Move jobs that wait to another priority.")
        ranking.add_argument("--priority", type=int, required=True, help="From -100 to 100, higher first.")
        removing = subcommands.add(commands, "remove", "Remove jobs that do not run for good, with their attempts.")
        removing.add_argument("--yes", action="store_true", help="Do not ask.")
        for each in (cancelling, hurrying, delaying, ranking, removing):
            choosing.add_choice(each)

    def handle(self, *args: object, **options: Any) -> None:
        match options["subcommand"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options)
            case "tail":
                self._tail(options)
            case "retry":
                verb = partial(control.retry, reset_steps=options["reset_steps"])
                self._steer(options, verb, "will run again")
            case "cancel":
                verb = partial(control.cancel, reason=options["reason"])
                self._steer(options, verb, "are cancelled, or asked to stop")
            case "run-now":
                self._steer(options, control.run_now, "are due now")
            case "reschedule":
                self._steer(options, partial(control.reschedule, when=options["when"]), "have another time")
            case "reprioritize":
                verb = partial(control.reprioritize, priority=options["priority"])
                self._steer(options, verb, f"have the priority {options['priority']}")
            case "remove":
                warning = "{:,} jobs will be removed for good, with their attempts; running ones stay."
                self._steer(options, control.remove, "are removed", None if options["yes"] else warning)

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
        steps = [_step(each, job) for each in job.steps.all()]
        if options["json"]:
            self._print_json({**_details(job, present), **report_details(job), "attempts": attempts, "steps": steps})
            return
        details = _details(job, present)
        call = {name: json.dumps(details[name], ensure_ascii=False) for name in CALL}
        progress = job.progress
        said = {
            "progress": None if progress is None else progress_line(progress),
            "data": json.dumps(report_details(job)["data"], ensure_ascii=False),
        }
        self.stdout.write(facts({**details, **call, **said}))
        if log := job.log:
            self.stdout.write(f"\nLog, the last {min(len(log), TAIL_LINES)} lines")
            self.stdout.write(block("\n".join(map(log_line, log[-TAIL_LINES:]))))
        for each in attempts:
            self.stdout.write(f"\nAttempt {each['number']}: {each['outcome']}, {each['finished_at']}")
            self.stdout.write(block(each["traceback"] or each["message"]))
        for each in steps:
            unused = ", not used by the last attempt" if each["unused"] else ""
            self.stdout.write(f"\nStep {each['name']}: attempt {each['attempt']}, {each['finished_at']}{unused}")
            self.stdout.write(block(json.dumps(each["result"], ensure_ascii=False)))

    def _tail(self, options: dict[str, Any]) -> None:
        (id,) = choosing.existing([options["id"]])
        with suppress(KeyboardInterrupt):
            for said in follow(id, time.sleep):
                self.stdout.write(json.dumps(said, cls=DjangoJSONEncoder) if options["json"] else spoken(said))
                self.stdout.flush()

    def _steer(
        self, options: dict[str, Any], verb: Callable[..., int], outcome: str, warning: str | None = None
    ) -> None:
        jobs = choosing.chosen(options)
        total = len(jobs) if isinstance(jobs, list) else jobs.count()
        if warning is not None and total:
            confirm(self.stderr, warning.format(total))
        bar = ProgressBar(self.stderr, total)
        seen = 0

        def tell(looked_at: int) -> None:
            nonlocal seen
            seen = looked_at
            bar(seen)

        try:
            moved = verb(jobs, progress=tell)
        except InvalidOption as error:
            raise CommandError(str(error)) from error
        finally:
            bar.end()
        if options["json"]:
            self._print_json({"moved": moved, "chosen": seen})
        else:
            self.stdout.write(f"{moved:,} of {seen:,} jobs {outcome}.")

    def _print_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2))


def moment(text: str) -> datetime:
    """Read a time from the command line. Raises ValueError unless it says how far it is from UTC."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(text)
    return when


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
    relatives = {"waits_for": holder_of(job), "follow_up": follow_up_of(job)}
    found = {name: None if each is None else each.pk for name, each in relatives.items()}
    return {**_summary(job, present), **details, **found, **_call(job)}


def _step(step: Step, job: Job) -> dict[str, Any]:
    return {name: getattr(step, name) for name in STEP} | {"result": shown_result(job.name, step.result)}


def _call(job: Job) -> dict[str, Any]:
    """Return what the job was called with and what it returned, without what is sensitive."""
    args, kwargs = shown_call(job.name, job.args, job.kwargs)
    return dict(zip(CALL, (args, kwargs, shown_result(job.name, job.result)), strict=True))
