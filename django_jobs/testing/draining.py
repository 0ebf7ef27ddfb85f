"""drain: what is due runs here and now, on the way that it goes in a worker: claimed, executed, settled."""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextvars import ContextVar, copy_context
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.outcomes import Claim, Ended, Failed, GivenBack, Outcome, Retried, Succeeded
from django_jobs.definitions.registry import check_queue_name, get_spec
from django_jobs.errors import EndlessDrain, InvalidOption, JobFailed, RetryLater
from django_jobs.execution.batches import aexecute_together, execute_together
from django_jobs.execution.execute import outcome_of
from django_jobs.lifecycle.expiring import expire_jobs
from django_jobs.lifecycle.settling import Settled, settle
from django_jobs.models import Job, JobQuerySet
from django_jobs.testing.clocks import FrozenClock, aware, frozen_clock
from django_jobs.testing.committing import as_committed
from django_jobs.transitions.claiming import claim_due
from django_jobs.transitions.transactions import in_transaction
from django_jobs.worker.batches import by_kind
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.manual import LOCKED_SECONDS
from django_jobs.worker.watch import QueueWatch

# So many attempts end a test that would not end by itself.
MOST_ATTEMPTS = 1000

_is_draining: ContextVar[bool] = ContextVar("django_jobs_is_draining", default=False)


def drain(
    queue_names: str | Collection[str] | None = None,
    *,
    until: datetime | timedelta | float | None = None,
    raise_errors: bool = False,
    limit: int = MOST_ATTEMPTS,
) -> list[Job]:
    """Run all jobs that are due, and those that become due thereby; return which ran, as their rows are now.

    Of all queues or of those named, then queue by queue in that order. They run one after the other in this thread and
    on its connections, so also inside of the transaction of a TestCase. What waits for its time stays, unless `until`
    (a datetime, or a timedelta or seconds from now) lets a FrozenClock move on from one due time to the next.

    Errors are recorded as in a worker; with `raise_errors` the first one is raised once it is. Raises EndlessDrain
    after `limit` attempts, and InvalidOption.
    """
    names = [queue_names] if isinstance(queue_names, str) else list(queue_names or ())
    for name in names:
        check_queue_name(name)
    return Drain(names, raise_errors=raise_errors, limit=limit).run(_travel(until))


async def adrain(
    queue_names: str | Collection[str] | None = None,
    *,
    until: datetime | timedelta | float | None = None,
    raise_errors: bool = False,
    limit: int = MOST_ATTEMPTS,
) -> list[Job]:
    """Run all jobs that are due; see `drain`."""
    return await sync_to_async(drain)(queue_names, until=until, raise_errors=raise_errors, limit=limit)


def is_draining() -> bool:
    """Tell whether this is said inside of a drain, by the body of a job or what it calls."""
    return _is_draining.get()


class Drain:
    """A worker of one thread, this one, that ends when nothing is due."""

    def __init__(self, queue_names: Sequence[str], *, raise_errors: bool, limit: int) -> None:
        self._using = get_settings().DATABASE
        self._queue_names, self._raise_errors, self._limit = list(queue_names), raise_errors, limit
        self._watch = QueueWatch(self._using, self._queue_names)
        self._incarnation = Incarnation(self._using, None, self._queue_names, 1)
        # What ran, in the order of the first starts, and how often.
        self._attempts: Counter[UUID] = Counter()
        self._names: Counter[str] = Counter()

    def run(self, travel: tuple[FrozenClock, datetime] | None) -> list[Job]:
        """Run what is due, and then what is until the end of a travel through time."""
        token = _is_draining.set(True)
        as_committed(self._incarnation.register)
        try:
            self._run_due()
            if travel is not None:
                self._go_on(*travel)
        finally:
            as_committed(self._incarnation.say_goodbye)
            _is_draining.reset(token)
        rows = Job.objects.using(self._using).in_bulk(list(self._attempts))
        return [rows[id] for id in self._attempts if id in rows]

    def _go_on(self, frozen: FrozenClock, until: datetime) -> None:
        while (due := self._next_due(until)) is not None:
            frozen.move_to(due)
            self._run_due()
        frozen.move_to(until)
        self._run_due()

    def _run_due(self) -> None:
        self._watch.refresh()
        as_committed(partial(expire_jobs, self._using))
        while claims := as_committed(partial(in_transaction, self._using, self._claim)):
            if self._attempts.total() >= self._limit:
                self._give_up(claims)
            self._run(claims)

    def _claim(self) -> list[Claim]:
        """Claim the job that is next, and of one that runs in batches as many more as its body takes."""
        using, me, names = self._using, self._incarnation.id, self._incarnation.names
        # Suspects too: here each is alone.
        for suspect in (False, True):
            for claim in claim_due(using, me, self._queues(), 1, names, suspect=suspect):
                batch = get_spec(claim.name).batch
                missing = 0 if batch is None or suspect else batch.size - 1
                return [claim, *claim_due(using, me, [claim.queue_name], missing, [claim.name])]
        return []

    def _queues(self) -> list[str]:
        """Return the queues as they are named, or first the one in which the job of the best rank waits."""
        if self._queue_names:
            return self._queue_names
        first = self._waiting().ready().order_by("rank", "pk").values_list("queue_name", flat=True).first()
        return sorted(self._watch.all_queues(), key=lambda name: name != first)

    def _next_due(self, until: datetime) -> datetime | None:
        later = self._waiting().scheduled().filter(run_after__lte=until).order_by("run_after")
        return later.values_list("run_after", flat=True).first()

    def _waiting(self) -> JobQuerySet:
        jobs: JobQuerySet = Job.objects.using(self._using).filter(name__in=self._incarnation.names)
        return jobs.filter(queue_name__in=self._watch.open_queues())

    def _run(self, claims: Sequence[Claim]) -> None:
        if get_spec(claims[0].name).batch is None:
            self._run_together(claims)
            return
        kinds, refused = by_kind(claims)
        for alike in kinds.values():
            self._run_together(alike)
        present = clock.monotonic()
        self._end([Ended(*each, present, present) for each in refused])

    def _run_together(self, claims: Sequence[Claim]) -> None:
        started = clock.monotonic()
        outcomes = _outcomes(claims)
        finished = clock.monotonic()
        self._end([Ended(*each, started, finished) for each in zip(claims, outcomes, strict=True)])

    def _end(self, ended: Sequence[Ended]) -> None:
        """Write down what an attempt of each of these came to."""
        for each in ended:
            self._attempts[each.claim.id] += 1
            self._names[each.claim.name] += 1
        settled = as_committed(partial(self._settle, ended))
        if any(each.outcome == GivenBack(begun=True) for each, _ in settled.written):
            # What interrupted the body was meant for whoever runs the test.
            raise KeyboardInterrupt
        if self._raise_errors:
            _raise_first_error(ended)

    def _settle(self, ended: Sequence[Ended]) -> Settled:
        """Write outcomes down; what somebody else has locked for the moment is waited for."""
        settled = settle(self._using, ended)
        while settled.locked:
            time.sleep(LOCKED_SECONDS)
            again = settle(self._using, settled.locked)
            settled = Settled(settled.written + again.written, settled.fenced + again.fenced, again.locked)
        return settled

    def _give_up(self, claims: Sequence[Claim]) -> None:
        present = clock.monotonic()
        as_committed(partial(self._settle, [Ended(claim, GivenBack(), present, present) for claim in claims]))
        most = ", ".join(f"{name} ({count:,} times)" for name, count in self._names.most_common(3))
        raise EndlessDrain(
            f"drain() has run {self._attempts.total():,} attempts, and {claims[0].name} is due: so far it ran {most}. "
            "Does a job enqueue itself, or is retried without a delay? Give a higher limit= if so many are meant."
        )


def _travel(until: datetime | timedelta | float | None) -> tuple[FrozenClock, datetime] | None:
    if until is None:
        return None
    frozen = frozen_clock()
    if frozen is None:
        raise InvalidOption("drain(until=...) lets time pass, so it needs a FrozenClock around it.")
    if not isinstance(until, datetime):
        until = frozen.now() + timedelta(seconds=seconds(until, option="drain(until)"))
    return frozen, aware(until, "drain(until)")


def _outcomes(claims: Sequence[Claim]) -> list[Outcome]:
    """Run one body. As in a worker, a callback of its commit that fails is an error of the body."""
    outcomes: list[Outcome] = []
    is_async = get_spec(claims[0].name).is_async
    execute = async_to_sync(aexecute_together) if is_async else execute_together
    try:
        # In a context of its own, so that what a body sets there is gone with it.
        as_committed(lambda: outcomes.extend(copy_context().run(execute, claims)))
    except Exception as error:
        if not outcomes:
            raise
        return [
            outcome_of(claim, error) if isinstance(outcome, Succeeded) and outcome.row is None else outcome
            for claim, outcome in zip(claims, outcomes, strict=True)
        ]
    return outcomes


def _raise_first_error(ended: Sequence[Ended]) -> None:
    for each in ended:
        if isinstance(each.outcome, Failed | Retried):
            report, claim = each.outcome.error, each.claim
            error = report.exception or JobFailed(report.summary)
            if not isinstance(error, RetryLater):
                error.add_note(f"It ended attempt {claim.attempt} of job {claim.id} ({claim.name}).")
                raise error
