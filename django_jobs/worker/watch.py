"""Which queues this worker serves now: those it was given, or all that are known, less those that are paused."""

from collections.abc import Sequence

from django_jobs.definitions.registry import queue_names
from django_jobs.models import Queue


class QueueWatch:
    """Read by the fetcher and the recorder, refreshed from the table by a chore."""

    def __init__(self, using: str, given: Sequence[str]) -> None:
        self._using, self._given = using, list(given)
        self._open: tuple[str, ...] = ()

    def refresh(self) -> None:
        """Read the queues' rows."""
        paused = {}
        for name, is_paused in Queue.objects.using(self._using).values_list("name", "paused"):
            paused[name] = is_paused
        names = self._given or sorted({*queue_names(), *paused})
        self._open = tuple(name for name in names if not paused.get(name, False))

    def all_queues(self) -> list[str]:
        """Return the queues it serves when none is paused."""
        return self._given or sorted({*queue_names(), *self._open})

    def open_queues(self) -> list[str]:
        """Return the queues to take from."""
        return list(self._open)
