"""Who works: the rows of workers, judged by the database's clock, what each runs, and what people ask of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db.models import Count, QuerySet

from django_jobs.conf import get_settings
from django_jobs.definitions.registry import any_sandboxed, queue_names
from django_jobs.errors import InvalidOption
from django_jobs.models import Job, Queue, Worker
from django_jobs.states import State

# A worker is prepared to run as many jobs at once as it may ever be told to.
MOST_CONCURRENCY = 1_000
# A program that takes by hand has a row for each job; so many of the newest are looked at.
MOST_HANDS = 1_000


class Wish(StrEnum):
    """What a worker can be asked to do once, beside nothing."""

    STOP = "stop"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Orders:
    """What people ask of a worker: how many jobs at once, whether to take nothing new, and a wish, or nothing."""

    concurrency: int
    quiet: bool = False
    asked_to: str = ""


class Life(StrEnum):
    """What a worker's row says of it. A silent one has not beaten for too long, and nobody has judged it yet."""

    ALIVE = "alive"
    SILENT = "silent"
    STOPPED = "stopped"
    DEAD = "dead"


def life(worker: Worker, present: datetime) -> Life:
    """Tell how it stands with a worker at `present`, the database's time."""
    if worker.dead_at is not None:
        return Life.DEAD if worker.died else Life.STOPPED
    is_silent = present - worker.beat_at > timedelta(seconds=get_settings().DEAD_AFTER_SECONDS)
    return Life.SILENT if is_silent else Life.ALIVE


def asked_of(worker: Worker) -> str:
    """Tell in a word what people ask of a living worker, or nothing."""
    if worker.asked_to:
        return {"stop": "stopping", "restart": "restarting"}.get(worker.asked_to, worker.asked_to)
    return "quiet" if worker.quiet else ""


def not_dead(using: str) -> list[Worker]:
    """Return the workers that nobody has declared dead: those that are alive, and the silent ones."""
    return list(Worker.objects.using(using).filter(dead_at=None).order_by("host", "pid", "id"))


def at_work(using: str, present: datetime) -> list[Worker]:
    """Return who takes jobs: the workers that are alive, and the programs that take by hand.

    These have a row while they hold a job. They count as long as a worker would that was last heard of then.
    """
    alive = [each for each in not_dead(using) if life(each, present) is Life.ALIVE]
    since = present - timedelta(seconds=get_settings().DEAD_AFTER_SECONDS)
    gone = Worker.objects.using(using).filter(dead_at__gte=since, died=False, supervisor_pid=0).order_by("-dead_at")
    return alive + list(gone[:MOST_HANDS])


def last_dead(using: str, limit: int) -> list[Worker]:
    """Return those that stopped or died last."""
    return list(Worker.objects.using(using).exclude(dead_at=None).order_by("-dead_at")[:limit])


def running_jobs(using: str) -> dict[UUID | None, int]:
    """Count the running jobs of each owner: as many rows as all workers together have in hand."""
    running = Job.objects.using(using).filter(state=State.RUNNING).order_by()
    return dict(running.values_list("owner").annotate(Count("pk")))


def known_queues(using: str) -> list[str]:
    """Return the queues that a worker serves which was given none: those that are declared or have a row."""
    return sorted({*queue_names(), *Queue.objects.using(using).values_list("name", flat=True)})


def serving(workers: Collection[Worker], queue_name: str, known: Collection[str]) -> list[Worker]:
    """Return those of the workers that take jobs from a queue."""
    return [each for each in workers if queue_name in (each.queues or known)]


def knows(worker: Worker, name: str) -> bool:
    """Tell whether a worker can run jobs of this name. Who takes by hand and names none takes any."""
    return name in worker.names or (is_by_hand(worker) and not worker.names)


def is_by_hand(worker: Worker) -> bool:
    """Tell whether it is a program that takes jobs by hand, one at a time."""
    return worker.supervisor_pid == 0


def most_connections(concurrencies: Collection[int], *, supervisors: int) -> int:
    """Return how many connections to the job database workers of these concurrencies open at most.

    In each: one for every thread, every coroutine's thread and, if this code has any job for it, every sandbox, and one
    each to record and for chores. A supervisor has one, and at times one more process, for suspects or while another
    is replaced.
    """
    kinds = 3 if any_sandboxed() else 2
    each = [kinds * concurrency + 2 for concurrency in concurrencies]
    return sum(each) + supervisors * (1 + max(each, default=0))


def tell_sandboxes(using: str, worker: UUID, told: list[dict[str, object]]) -> None:
    """Write down what the sandboxes of a worker do."""
    Worker.objects.using(using).filter(pk=worker).update(sandboxes=told)


# What people ask of workers. Each hears of it within about a second; what its row says holds.


def orders_of(using: str, worker: UUID) -> Orders | None:
    """Return what people ask of a worker; None where it has no row."""
    row = Worker.objects.using(using).filter(pk=worker).values_list("concurrency", "quiet", "asked_to").first()
    return None if row is None else Orders(*row)


def set_quiet(using: str, ids: Collection[UUID], *, quiet: bool) -> int:
    """Have workers take nothing new while what they have in hand goes on, or take jobs again.

    Return for how many that is new.
    """
    return _steerable(using, ids).filter(quiet=not quiet).update(quiet=quiet)


def ask_to(using: str, ids: Collection[UUID], wish: Wish) -> int:
    """Have workers stop, and nobody take their places, or have others take them; return how many will.

    What they run may finish, for as long as a stop lasts, and is handed back then. One that stops does not restart.
    """
    open_to_it = _steerable(using, ids).exclude(asked_to__in=[wish, Wish.STOP])
    return open_to_it.update(asked_to=wish)


def resize(using: str, ids: Collection[UUID], concurrency: int) -> int:
    """Have workers run so many jobs at once; return how many change. Raises InvalidOption."""
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= MOST_CONCURRENCY:
        raise InvalidOption(
            f"The concurrency of a worker must be a whole number from 1 to {MOST_CONCURRENCY}, not {concurrency!r}."
        )
    return _steerable(using, ids).exclude(concurrency=concurrency).update(concurrency=concurrency)


def is_steerable(worker: Worker) -> bool:
    """Tell whether a worker hears what is asked of it: it lives, and is no program that holds one job by hand."""
    return worker.dead_at is None and not is_by_hand(worker)


def _steerable(using: str, ids: Collection[UUID]) -> QuerySet[Worker]:
    return Worker.objects.using(using).filter(pk__in=list(ids), dead_at=None, supervisor_pid__gt=0)
