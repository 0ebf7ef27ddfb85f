"""Ageing: in a queue that asks for it, no job waits for ever behind more urgent ones."""

from collections.abc import Iterator
from datetime import timedelta

from django_jobs.lifecycle.dispatching import ring
from django_jobs.transitions.ageing import ONE_PRIORITY, age
from django_jobs.transitions.due import due_ranges, now
from django_jobs.transitions.steering import CHUNK
from django_jobs.transports import Bell


def age_queue(using: str, queue_name: str, seconds: float) -> Iterator[int]:
    """Raise what has been due for so long by one priority, CHUNK rows at each step; yield how many in it.

    From the highest priority to the lowest, so that no job is raised twice.
    """
    until = now(using) - timedelta(seconds=seconds)
    for first, last in due_ranges(using, queue_name, until):
        if first < ONE_PRIORITY:
            continue  # there is no higher one
        while moved := age(using, queue_name, first, last):
            ring([Bell(row.id, row.queue_name, row.rank) for row in moved])
            yield len(moved)
            if len(moved) < CHUNK:
                break
