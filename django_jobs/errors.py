"""Every exception of the package. A class's docstring is its default message."""


class JobsError(Exception):
    """Something in django_jobs went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__)


class ConfigurationError(JobsError, ValueError):
    """The setting DJANGO_JOBS holds something that cannot work."""


class InvalidOption(JobsError, TypeError):
    """A job was given an option that does not exist or cannot work."""


class NotAvailableYet(InvalidOption):
    """This option is planned but not available yet."""


class DuplicateJobName(JobsError, ValueError):
    """Two functions claim the same job name."""


class UnknownJob(JobsError, LookupError):
    """No job of this name is registered."""


class InvalidArguments(JobsError, TypeError):
    """The arguments do not fit the job or cannot travel as JSON."""


class PayloadTooLarge(InvalidArguments):
    """The arguments are larger than a job may carry."""


class IdempotencyConflict(JobsError):
    """The idempotency key is already taken by a job with other arguments."""


class EnqueueRace(JobsError):
    """The row that holds the idempotency key kept vanishing; enqueue again."""


class QueueIsBusy(JobsError):
    """Jobs of this queue run."""


class BrokenTransaction(JobsError):
    """Something inside of a transaction that must stay whole committed it, or caught an error that had undone it."""


class ClaimLost(JobsError):
    """The job was taken from this worker: what this attempt still writes is refused."""


class AlreadyEnded(JobsError):
    """This attempt was ended before: an attempt ends once."""


class BatchItemFailed(JobsError):
    """The body of a batch failed this one of its items."""


class JobFailed(JobsError):
    """The job that was waited for has failed."""


class JobCancelled(JobsError):
    """The job that was waited for was cancelled."""


class SandboxDied(JobsError):
    """The process that ran this job alone died under it."""


class MemoryLimitExceeded(SandboxDied):
    """The process that ran this job alone held more memory than it may."""


class TransportError(JobsError):
    """The transport cannot be reached."""


class EmbeddedServerError(TransportError):
    """The embedded server could not be started."""


class EndlessDrain(JobsError):
    """drain() has run as many attempts as it may, and more is due."""


class WorkerError(JobsError):
    """The worker cannot start."""


class JobTimeout(BaseException):
    """The body ran longer than its timeout."""

    # No Exception: a body that goes on after `except Exception` would never hear of it.

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__)


class Steering(Exception):
    """Base of what a job raises to say how its attempt shall end; not an error of the package."""


class RetryLater(Steering):
    """Run again after `delay` (seconds or timedelta); counts as an attempt."""

    def __init__(self, delay: object = 0, reason: str = "") -> None:
        super().__init__(reason or type(self).__doc__)
        self.delay = delay


class Snooze(Steering):
    """Run again after `delay` (seconds or timedelta); does not count as an attempt."""

    def __init__(self, delay: object = 0) -> None:
        super().__init__(type(self).__doc__)
        self.delay = delay


class RateLimited(Snooze):
    """The limit of somebody else is reached: run again after `delay`; does not count as an attempt."""


class GiveUp(Steering):
    """Fail now and do not retry."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "The job gave up.")


class InvalidStep(GiveUp):
    """A step cannot be kept, and could not be in any other attempt either."""


class CancelJob(Steering):
    """End this job as cancelled."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "The job cancelled itself.")
