"""ring again: the table knows what is ready, so a bell that was lost is rung from it."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.db.models import Q

from django_jobs.definitions.rank import is_lifo
from django_jobs.lifecycle.dispatching import HORIZON
from django_jobs.models import Job, JobQuerySet
from django_jobs.states import State
from django_jobs.transitions.due import due_ranges, now, ready_queues
from django_jobs.transports import Bell, get_transport

FRESH_FROM = timedelta(seconds=60)
FRESH_TO = timedelta(seconds=2)
FRESH_MOST = 2000
CHUNK = 2000


def sweep_fresh(using: str) -> int:
    """Ring what became due in the last minute but for the last seconds, newest first; return how many were rung."""
    present = now(using)
    bells: list[Bell] = []
    queue_names = list(ready_queues(using))
    for queue_name in queue_names:
        # Each has its share: a queue with a long backlog shall not keep the others waiting.
        left = max(FRESH_MOST // len(queue_names), 1)
        for first, last in due_ranges(using, queue_name, present - FRESH_TO, present - FRESH_FROM):
            newest_first = "rank" if is_lifo(first) else "-rank"
            rows = _ready(using, queue_name, first, last).order_by(newest_first)[:left]
            found = [Bell(id, queue_name, rank) for id, rank in rows.values_list("id", "rank")]
            bells += found
            left -= len(found)
    get_transport().announce(bells)
    return len(bells)


def sweep(using: str, queue_names: Iterable[str] | None = None) -> Iterator[int]:
    """Ring everything that is or will soon be due, CHUNK rows at each step; yield how many were rung in it.

    In these queues, or in all: whoever does it does it for all workers, also for those that serve other queues.
    """
    until = now(using) + HORIZON
    for queue_name in ready_queues(using) if queue_names is None else queue_names:
        for first, last in due_ranges(using, queue_name, until):
            rows = _ready(using, queue_name, first, last)
            while page := list(rows.order_by("rank", "id").values_list("id", "rank")[:CHUNK]):
                get_transport().announce([Bell(id, queue_name, rank) for id, rank in page])
                yield len(page)
                id, rank = page[-1]
                rows = _ready(using, queue_name, rank, last).filter(Q(rank__gt=rank) | Q(id__gt=id))


def _ready(using: str, queue_name: str, first: int, last: int) -> JobQuerySet:
    # IN, for Django may write False as NOT, which SQLite does not look up in an index.
    return Job.objects.using(using).filter(
        state=State.READY, suspect__in=[False], queue_name=queue_name, rank__range=(first, last)
    )
