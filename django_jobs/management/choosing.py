"""Which jobs a command means: ids, or all that match. What does not exist is an error, with a hint."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from django_jobs.conf import did_you_mean, get_settings
from django_jobs.definitions.metadata import KEY
from django_jobs.handles import queues
from django_jobs.models import Job, JobQuerySet

# What a job can be asked to be; each is a question of the queryset.
PHASES = ("blocked", "ready", "scheduled", "retrying", "running", "successful", "failed", "cancelled")

FILTERS = ("state", "queue", "name", "error", "metadata")


def add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--state", choices=PHASES, help="Only jobs in this state; ready means due now.")
    parser.add_argument("--queue", metavar="NAME", help="Only jobs of this queue.")
    parser.add_argument("--name", help="Only jobs of this name.")
    parser.add_argument("--error", metavar="CLASS", help="Only jobs of which an attempt raised this very class.")
    parser.add_argument(
        "--metadata",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="Only jobs with this fact; can be repeated.",
    )


def add_choice(parser: ArgumentParser, *, usual_state: str | None = None) -> None:
    """Let a verb be told its jobs; without --state, --all-matching means those in `usual_state`."""
    parser.set_defaults(usual_state=usual_state)
    parser.add_argument("ids", nargs="*", metavar="ID", help="Ids of jobs.")
    parser.add_argument("--all-matching", action="store_true", help="All jobs that the filters match, instead of ids.")
    add_filters(parser)


def matching(options: dict[str, Any]) -> JobQuerySet:
    """Return the jobs that the filters match. Raises CommandError for an unknown queue."""
    jobs = Job.objects.using(get_settings().DATABASE)
    if options["state"]:
        jobs = getattr(jobs.all(), options["state"])()
    if options["queue"]:
        check_queue(options["queue"])
        jobs = jobs.filter(queue_name=options["queue"])
    if options["name"]:
        jobs = jobs.filter(name=options["name"])
    if options["error"]:
        jobs = jobs.with_error(options["error"])
    return jobs.with_metadata(**dict(map(_fact, options["metadata"])))


def chosen(options: dict[str, Any]) -> JobQuerySet | list[UUID]:
    """Return what a verb is to work on. Raises CommandError unless that was said clearly."""
    filters = [name for name in FILTERS if options[name]]
    if options["ids"]:
        if options["all_matching"] or filters:
            raise CommandError("Give ids, or --all-matching with filters, not both.")
        return existing(options["ids"])
    if not options["all_matching"]:
        raise CommandError("Give the ids of jobs, or --all-matching with a filter, for example --state.")
    if not filters:
        raise CommandError(f"--all-matching needs at least one of {', '.join(f'--{each}' for each in FILTERS)}.")
    return matching({**options, "state": options["state"] or options["usual_state"]})


def existing(ids: Sequence[str]) -> list[UUID]:
    """Return the ids of jobs that exist. Raises CommandError naming those that do not."""
    wanted = [_id(each) for each in ids]
    found = set(Job.objects.using(get_settings().DATABASE).filter(pk__in=wanted).values_list("pk", flat=True))
    missing = [str(each) for each in wanted if each not in found]
    if missing:
        raise CommandError(
            f"No job has the id {', '.join(missing)}. It may have been removed; `jobs list` shows others."
        )
    return wanted


def check_queue(name: str) -> None:
    """Raise CommandError for a queue that is neither declared nor stored and holds no job."""
    known = [queue.name for queue in queues]
    if name not in known and not Job.objects.using(get_settings().DATABASE).filter(queue_name=name).exists():
        raise CommandError(f"No queue is called {name!r}.{did_you_mean(name, known)} Known are: {', '.join(known)}.")


def _fact(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not KEY.fullmatch(key):
        raise CommandError(f"--metadata must look like customer=42, not {text!r}.")
    return key, value


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CommandError(
            f"{text!r} is no id of a job. Ids look like 01920000-0000-7000-8000-000000000000; `jobs list` shows them."
        ) from None
