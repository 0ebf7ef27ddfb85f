"""take: one job in the hands of whoever asks. A worker's life for one claim, which beats from a thread."""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import decode_call, decode_headers, encode_result
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.metadata import Fact
from django_jobs.definitions.outcomes import Claim, Ended, Failed, GivenBack, Outcome, Succeeded
from django_jobs.errors import AlreadyEnded, ClaimLost, InvalidArguments, InvalidOption, JobTimeout, RetryLater
from django_jobs.execution.execute import outcome_of, report_of
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job
from django_jobs.transitions.claiming import claim_due
from django_jobs.transitions.rescuing import beat, extend
from django_jobs.transitions.steering import asked_to_cancel
from django_jobs.transitions.transactions import in_transaction
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.service import Service

logger = logging.getLogger("django_jobs")

# So long the end of a job whose row somebody has locked waits before it is tried again.
LOCKED_SECONDS = 0.05


class TakenJob:
    """A job in the hands of this process, which holds it as long as the process lives and its time is not up.

    It is ended once.
    """

    def __init__(self, using: str, claim: Claim) -> None:
        self._using, self._claim = using, claim
        self._started = clock.monotonic()
        self._deadline = math.inf if claim.timeout is None else self._started + claim.timeout
        self._on_extended: Callable[[], None] = lambda: None
        # One at a time extends the job or ends it: who has extended it in time is not too late.
        self._lock = threading.Lock()
        self._is_over = self._is_too_late = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name}>"

    @property
    def id(self) -> UUID:
        return self._claim.id

    @property
    def name(self) -> str:
        return self._claim.name

    @property
    def queue_name(self) -> str:
        return self._claim.queue_name

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""
        return self._claim.attempt

    @property
    def max_attempts(self) -> int:
        return self._claim.max_attempts

    @property
    def args(self) -> list[Any]:
        """The positional arguments as JSON has them: the function, which may be elsewhere, is not asked."""
        return decode_call(self._claim.arguments)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments as JSON has them."""
        return decode_call(self._claim.arguments)[1]

    @property
    def headers(self) -> dict[str, Any]:
        """What middleware sent along when the job was enqueued."""
        return decode_headers(self._claim.headers)

    @property
    def metadata(self) -> dict[str, Fact]:
        """What the job can be found by; asks the database."""
        return Job.objects.using(self._using).only("metadata_text").get(pk=self.id).metadata

    @property
    def deadline(self) -> datetime | None:
        """When the time of this attempt is up, by this host's clock; None: never."""
        left = self._deadline - clock.monotonic()
        return None if left == math.inf else clock.now() + timedelta(seconds=left)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel this job; asks the database."""
        return (self.id, self._claim.fence) in asked_to_cancel(self._using, self._claim.owner)

    def extend(self, duration: float | timedelta) -> None:
        """Hold the job for this time from now on (seconds or timedelta), whatever its time limit was.

        Who has neither ended nor extended it by then has lost it: the attempt fails by JobTimeout. Raises
        InvalidOption, AlreadyEnded, and ClaimLost if the job was taken from this process or its time was up.
        """
        allowed = seconds(duration, option="The time of extend")
        if not allowed:
            raise InvalidOption(f"The time of extend must be more than 0 seconds, not {duration!r}. Use give_back().")
        _refuse_transaction(self._using, f"Job {self.id} ({self.name}) cannot be extended")
        with self._lock:
            self._check_held("it was not extended")
            began = clock.monotonic()
            if not in_transaction(self._using, lambda: extend(self._using, self._claim, allowed)):
                raise ClaimLost(f"Job {self.id} ({self.name}) was taken from this process: it was not extended.")
            self._deadline = began + allowed
        self._on_extended()

    def complete(self, result: object = None) -> None:
        """End the job as successful. Raises InvalidArguments for a result that JSON cannot hold, and as `fail`."""
        self._end(Succeeded(encode_result(result, limit=get_settings().MAX_RESULT_BYTES)))

    def fail(self, error: BaseException, *, retry: bool = True) -> None:
        """End the attempt by an error, as if its function had raised it; without `retry` the job ends with it.

        Raises AlreadyEnded, and ClaimLost if the job was taken from this process: then nothing is written.
        """
        if not isinstance(error, BaseException):
            raise InvalidArguments(f"Job {self.id} ({self.name}) fails by an exception, not by {error!r}.")
        self._end(outcome_of(self._claim, error) if retry else Failed(report_of(error)))

    def retry_later(self, delay: float | timedelta, reason: str = "") -> None:
        """Run it again after `delay` (seconds or timedelta), which counts as an attempt.

        Raises InvalidOption, and as `fail`.
        """
        self.fail(RetryLater(seconds(delay, option="The delay of retry_later"), reason))

    def give_back(self) -> None:
        """Put it back to its place, as if it had never been taken. Raises as `fail`."""
        self._end(GivenBack())

    def _end(self, outcome: Outcome) -> None:
        _refuse_transaction(self._using, f"Job {self.id} ({self.name}) cannot be ended")
        with self._lock:
            self._check_held("its end was not written")
            ended = Ended(self._claim, outcome, self._started, clock.monotonic())
            while (settled := settle(self._using, [ended])).locked:
                time.sleep(LOCKED_SECONDS)
            self._is_over = True
        if settled.fenced:
            raise ClaimLost(f"Job {self.id} ({self.name}) was taken from this process: its end was not written.")

    def _check_held(self, so: str) -> None:
        if self._is_too_late:
            raise ClaimLost(
                f"The time of job {self.id} ({self.name}) was up, and the attempt has failed by that: {so}."
            )
        if self._is_over:
            raise AlreadyEnded(f"Job {self.id} ({self.name}) was ended before: end it once, and then leave the block.")

    def _end_at_last(self, outcome: Outcome) -> None:
        """End it if nobody has; one that was lost is in other hands, and a line in the log says so."""
        if not self._is_over:
            with suppress(ClaimLost):
                self._end(outcome)

    def _seconds_left(self) -> float:
        return math.inf if self._is_over else self._deadline - clock.monotonic()

    def _end_if_too_late(self) -> None:
        """Fail the attempt if its time is up; not while it is just being ended or extended."""
        if self._seconds_left() > 0 or not self._lock.acquire(blocking=False):
            return
        try:
            if self._seconds_left() > 0:
                return
            error = JobTimeout("It was held by hand until its time was up, and neither ended nor extended.")
            ended = Ended(self._claim, outcome_of(self._claim, error), self._started, clock.monotonic())
            settled = settle(self._using, [ended])
            if not settled.locked:
                self._is_over = self._is_too_late = True
                logger.error("The time of job %s (%s), which was taken by hand, is up.", self.id, self.name)
        finally:
            self._lock.release()


class Beats(Service):
    """Says that the holder of a job is alive, and takes the job from it when its time is up."""

    name = "beat"

    def __init__(self, using: str, worker: UUID, taken: TakenJob) -> None:
        super().__init__()
        self._using, self._worker, self._taken = using, worker, taken
        self._every = get_settings().HEARTBEAT_SECONDS
        taken._on_extended = self.wake

    def prepare(self) -> None:
        use_own_connection(self._using)
        self._woken.wait(self._rest())  # the row is new: most jobs are over before it needs a beat, and a connection

    def finish(self) -> None:
        close_connections()

    def step(self) -> float:
        try:
            beat(self._using, [self._worker])
            self._taken._end_if_too_late()
        except AnyDatabaseError:
            close_connections()
            raise
        return self._rest()

    def _rest(self) -> float:
        return max(min(self._every, self._taken._seconds_left()), LOCKED_SECONDS)


@contextmanager
def take_job(queue_name: str, names: Collection[str] | None) -> Iterator[TakenJob | None]:
    """Hold the next job of a queue for the length of a block; see `QueueHandle.take`."""
    using = get_settings().DATABASE
    _check_names(names)
    _refuse_transaction(using, f"A job of the queue {queue_name!r} cannot be taken")
    incarnation = Incarnation(using, None, [queue_name], 1, names=list(names or ()))
    claim = _claim(incarnation, queue_name, names)
    if claim is None:
        yield None
        return
    taken = TakenJob(using, claim)
    beats = Beats(using, claim.owner, taken)
    beats.start()
    try:
        yield taken
    except GeneratorExit:  # the block belongs to a generator that is closed: no fault of the job
        taken._end_at_last(GivenBack())
        raise
    except BaseException as error:
        taken._end_at_last(outcome_of(claim, error))
        raise
    else:
        taken._end_at_last(GivenBack())
    finally:
        beats.stop()
        beats.join(2.5)
        incarnation.say_goodbye()


def _claim(incarnation: Incarnation, queue_name: str, names: Collection[str] | None) -> Claim | None:
    """Claim what is next. Who finds nothing leaves no row of a worker behind."""
    using, known = incarnation.using, None if names is None else list(names)

    def work() -> Claim | None:
        incarnation.register()
        # Suspects first: here each is alone, and it may be that no worker knows their names.
        for suspect in (True, False):
            for claim in claim_due(using, incarnation.id, [queue_name], 1, known, suspect=suspect):
                return claim
        transaction.set_rollback(True, using=using)
        return None

    return in_transaction(using, work)


def _check_names(names: Collection[str] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidOption(f"{names!r} are no names of jobs: give a list of them, or nothing for any job.")


def _refuse_transaction(using: str, what: str) -> None:
    """A claim and an end count once they are committed: nobody else may decide about that."""
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit():
        raise TransactionManagementError(f"{what} inside of a transaction on the database {using!r}. Do it outside.")
