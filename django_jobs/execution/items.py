"""What the body of a batch may know of each of its jobs, and say of its end."""

from dataclasses import dataclass, field
from datetime import timedelta

from django_jobs.definitions.durations import seconds
from django_jobs.errors import AlreadyEnded, BatchItemFailed, InvalidArguments, InvalidStep, RetryLater
from django_jobs.execution.context import JobContext


class ItemEnd:
    """How one item ends: as its body does, unless an error says otherwise."""

    __slots__ = ("error", "is_closed", "may_retry")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.may_retry = True
        # The body has ended: what is said now would come too late.
        self.is_closed = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem(JobContext):
    """One job of a batch: all that a JobContext is but steps, and an end of its own."""

    _end: ItemEnd = field(default_factory=ItemEnd, repr=False, compare=False)

    def fail(self, error: BaseException | str, *, retry: bool = True) -> None:
        """End this item by an error (a text becomes a BatchItemFailed), as if its body had raised it for it alone.

        So GiveUp, Snooze or CancelJob steer it, and without `retry` it ends with any error. Raises AlreadyEnded.
        """
        if isinstance(error, str):
            error = BatchItemFailed(error)
        if not isinstance(error, BaseException):
            raise InvalidArguments(f"Job {self.id} ({self.name}) fails by an exception or a text, not by {error!r}.")
        if self._end.error is not None or self._end.is_closed:
            raise AlreadyEnded(f"Job {self.id} ({self.name}) was ended before, or the body of its batch was.")
        self._end.error, self._end.may_retry = error, retry

    def retry_later(self, delay: float | timedelta, reason: str = "") -> None:
        """Run this item again after `delay` (seconds or timedelta), which counts as an attempt.

        Raises InvalidOption, AlreadyEnded.
        """
        self.fail(RetryLater(seconds(delay, option="The delay of retry_later"), reason))

    def raise_if_cancelled(self) -> None:
        """Refused with InvalidStep: what is raised ends all items. Ask `cancel_requested` and leave the item out."""
        raise InvalidStep(
            f"Job {self.id} ({self.name}) is one of a batch, which an exception would end as a whole. Ask "
            "item.cancel_requested, and end the one item by item.fail(CancelJob(reason))."
        )
