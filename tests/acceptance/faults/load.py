"""The load of a trial: jobs of every kind, some rolled back, some with keys; and the history that they leave behind."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction

from django_jobs import JobRequest, enqueue_many
from django_jobs.definitions.identifiers import uuid7
from django_jobs.models import Attempt, Job
from django_jobs.states import State
from tests.acceptance.faults.invariants import History, Interruption, Row
from tests.acceptance.faults.jobs import leave_one_effect, plain, plain_async, snooze_once, stumble
from tests.acceptance.faults.stage import Stage
from tests.project.models import Effect
from tests.waiting import wait_until

# A random death may meet the same job again and again; that is not what is tested here.
NEVER_TOO_OFTEN = 10_000
SECONDS = (0, 0, 0.02, 0.05, 0.1)
COLUMNS = (
    *("id", "name", "state", "owner", "fence", "attempt", "max_attempts", "starts", "stalls", "max_stalls", "suspect"),
    *("deduplication_slot", "result_text"),
)
# Errors of the database itself, which end an attempt that asked for something while it was away.
OF_THE_DATABASE = ("OperationalError", "InterfaceError")


class Rollback(Exception):
    """A producer changes its mind."""


class Load:
    """Everything that was enqueued since it was made, by this process."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage, self._chance = stage, chance
        # Ids are made by this process and grow.
        self._first = uuid7()
        self.name = self._first.hex[:12]
        stage.log.mark()
        self.committed: set[UUID] = set()
        self.rolled_back: set[UUID] = set()
        self.allowed: dict[UUID, frozenset[str]] = {}
        self.ended_before: dict[UUID, Row] = {}
        self.in_order: list[UUID] = []
        self.has_forgotten = False
        # Workers may be told to end in this trial, and hand back what they run.
        self.may_hand_back = False
        self.unsure = 0

    def enqueue(self, count: int) -> None:
        """Enqueue so many in a few transactions, of which some are rolled back. What the database refuses is none."""
        while count > 0:
            share = min(count, self._chance.choice((1, 1, 3, 10)))
            count -= share
            requests = [self._request() for _ in range(share)]
            self.commit(requests, roll_back=self._chance.random() < 0.15)

    def commit(self, requests: list[JobRequest], *, roll_back: bool = False) -> list[Job]:
        """Enqueue these in one transaction."""
        jobs: list[Job] = []
        try:
            with transaction.atomic():
                jobs = enqueue_many(requests)
                if roll_back:
                    raise Rollback
        except Rollback:
            self.rolled_back |= {job.pk for job in jobs if job.created}
            return []
        except AnyDatabaseError:
            # Perhaps it was committed and only the answer got lost.
            self.unsure += len(requests)
            connection.close()
            return []
        self.committed |= {job.pk for job in jobs}
        return jobs

    def enqueue_steadily(self, condition: Callable[[], bool]) -> None:
        """Enqueue a few again and again until something is so."""

        def step() -> bool:
            self.enqueue(2)
            return condition()

        wait_until(step)

    def jobs(self) -> "Iterator[Job]":
        yield from Job.objects.filter(pk__gte=self._first).order_by("pk")

    def count_left(self) -> int:
        return Job.objects.filter(pk__gte=self._first).alive().count()

    def count_ended(self) -> int:
        return Job.objects.filter(pk__gte=self._first).ended().count()

    def rows(self) -> dict[UUID, Row]:
        """Return what the table says of all jobs."""
        found = Job.objects.filter(pk__gte=self._first).values_list(*COLUMNS)
        return {
            id: Row(
                **dict(zip(COLUMNS[:-2], (id, *others), strict=True)),
                holds_key=slot is not None,
                result=result,
            )
            for id, *others, slot, result in found
        }

    def history(self, left_in_redis: set[str]) -> History:
        """Return what is known of all of it."""
        rows = self.rows()
        atomic = frozenset(id for id, row in rows.items() if row.name == leave_one_effect.name)
        effects = Counter(Effect.objects.filter(job_id__gte=self._first).values_list("job_id", flat=True))
        attempts = Attempt.objects.filter(job_id__gte=self._first).values_list(
            "job_id", "outcome", "finished_at", "error_class"
        )
        interruptions, allowed = [], dict(self.allowed)
        for id, outcome, finished_at, error_class in attempts:
            interruptions.append(Interruption(job=id, outcome=outcome, at=finished_at.timestamp()))
            if id in atomic and error_class.rpartition(".")[2] in OF_THE_DATABASE:
                allowed[id] = allowed.get(id, frozenset()) | {State.SUCCESSFUL, State.FAILED}
        for job in self.jobs():
            if job.name == stumble.name and job.args[1] > job.max_attempts:
                allowed.setdefault(job.pk, frozenset({State.FAILED}))
        return History(
            rows=rows,
            runs=self._stage.log.runs(),
            interruptions=interruptions,
            effects=effects,
            atomic=atomic,
            committed=frozenset(self.committed),
            rolled_back=frozenset(self.rolled_back),
            allowed=allowed,
            unrecorded={id: self._unrecorded(row) for id, row in rows.items()},
            ended_before=self.ended_before,
            left_in_redis=sorted(left_in_redis),
            in_order=self.in_order,
            has_forgotten=self.has_forgotten,
        )

    def forget_older(self) -> None:
        """Remove what the trial left in the tables, so that a long run does not slow down."""
        for model, column in ((Attempt, "job_id"), (Effect, "job_id"), (Job, "id")):
            model.objects.filter(**{f"{column}__lt": self._first})._raw_delete("default")

    def _unrecorded(self, row: Row) -> int:
        if self.may_hand_back:
            return row.starts
        return int(row.name == snooze_once.name)

    def _request(self) -> JobRequest:
        chance, seconds = self._chance, self._chance.choice(SECONDS)
        kind = chance.choice((plain, plain, plain_async, plain_async, stumble, snooze_once, leave_one_effect, "keyed"))
        options: dict[str, Any] = {"max_stalls": NEVER_TOO_OFTEN}
        if kind == "keyed":
            # Of few keys, so that many ask for the same one.
            key = f"key-{self.name}-{chance.randrange(6)}"
            return plain.using(**options, idempotency_key=key).request(0.02, key)
        if kind is stumble:
            return stumble.using(**options).request(seconds, chance.randint(1, 4))
        return kind.using(**options).request(seconds)  # type: ignore[union-attr, call-arg]
