"""One row a key, whoever asks for it at the same time: on every database, at every isolation level."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from threading import Barrier, Event
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connections, transaction

from django_jobs import enqueue_many
from django_jobs.models import Job
from tests.databases import with_jobs
from tests.project.models import Effect
from tests.rows import now
from tests.samples import note
from tests.threads import together

Result = TypeVar("Result")

THREADS, KEYS = 32, 200
# How often a caller changes its mind after it has got its row.
ROLLED_BACK = 0.1

LEVELS: dict[str, dict[str, dict[str, Any]]] = {
    # psycopg.IsolationLevel by number, for the driver need not be installed.
    "postgresql": {
        "read committed": {"isolation_level": 2},
        "repeatable read": {"isolation_level": 3},
        "serializable": {"isolation_level": 4},
    },
    "mysql": {
        "read committed": {"isolation_level": "read committed"},
        "repeatable read": {"isolation_level": "repeatable read"},
    },
    # Those who wait for SQLite's one lock sleep longer and longer, 32 of them for most of the time: let them ask again.
    "sqlite3": {"immediate": {"transaction_mode": "IMMEDIATE", "timeout": 0.01}},
}
SERIALIZATION_FAILURE, DEADLOCK, LOCKED = "40001", 1213, "database is locked"
# What a caller must be ready for, as documented: nothing, unless here.
RETRYABLE: dict[str, set[Any]] = {
    "postgresql, repeatable read": {SERIALIZATION_FAILURE},
    "postgresql, serializable": {SERIALIZATION_FAILURE},
    "mysql, read committed": {DEADLOCK},
    "mysql, repeatable read": {DEADLOCK},
    "sqlite3, immediate": {LOCKED},
}


def engine(alias: str) -> str:
    return django_settings.DATABASES[alias]["ENGINE"].rpartition(".")[2]


CASES = [
    pytest.param(alias, options, f"{engine(alias)}, {level}", id=f"{alias}: {engine(alias)}, {level}")
    for alias in with_jobs(django_settings.DATABASES)
    for level, options in LEVELS[engine(alias)].items()
]

pytestmark = [
    pytest.mark.parametrize(("alias", "options", "case"), CASES),
    pytest.mark.django_db(transaction=True, databases=with_jobs(django_settings.DATABASES)),
]


@pytest.fixture(autouse=True)
def jobs_there(alias: str, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DATABASE": alias}


class ChangedMind(Exception):
    """The caller's own reason to roll back."""


def error_code(error: OperationalError) -> Any:
    """The number that MySQL gives, or the state of PostgreSQL."""
    first = error.args[0]
    return first if isinstance(first, int) else getattr(error.__cause__, "sqlstate", first)


@dataclass
class Caller:
    """One thread that asks for rows, and does as the documentation tells when the database says "once more"."""

    alias: str
    number: int
    retried: Counter[Any] = field(default_factory=Counter)
    # Key -> the row that this caller got, and whether it was told to have created it.
    rows: dict[str, tuple[UUID, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.number)

    def patiently(self, act: Callable[[], Result]) -> Result:
        while True:
            try:
                return act()
            except ChangedMind:
                self.retried["changed mind"] += 1
            except OperationalError as error:
                self.retried[error_code(error)] += 1
                # A moment apart, as the documentation says. Without it two threads on SQLite can stand in each other's
                # way for ever: one waits for the lock again and again, and never lets go of its own connection, which
                # the garbage collector in the holder's thread waits for.
                Event().wait(self.random.uniform(0.001, 0.05))

    def get(self, key: str, **using: Any) -> None:
        job = note.using(idempotency_key=key, **using).enqueue(key)
        self.rows[key] = (job.pk, job.created)

    def get_in_transaction(self, key: str, **using: Any) -> None:
        with transaction.atomic(using=self.alias):
            self.get(key, **using)
            # The transaction is still good for something.
            Effect.objects.using(self.alias).create(job_id=self.rows[key][0], worker=key)
            if self.random.random() < ROLLED_BACK:
                raise ChangedMind


def all_get_the_same_row(callers: list[Caller], holders: dict[str, UUID]) -> bool:
    """Tell whether each caller of a key got the row that holds it, and exactly one was told to have created it."""
    created = Counter(key for caller in callers for key, (_, created) in caller.rows.items() if created)
    got = {(key, pk) for caller in callers for key, (pk, _) in caller.rows.items()}
    return got == set(holders.items()) and created == dict.fromkeys(holders, 1)


def only_documented(callers: list[Caller], case: str) -> bool:
    retried = sum((caller.retried for caller in callers), Counter())
    print(case, dict(retried))  # shown when the test fails, and with -rP
    return set(retried) <= {"changed mind"} | RETRYABLE.get(case, set())


def holders(alias: str) -> dict[str, UUID]:
    rows = Job.objects.using(alias).filter(key_digest__isnull=False)
    return {str(job.idempotency_key): job.pk for job in rows}


def test_of_many_callers_with_one_key_one_creates_the_row_and_all_get_it(alias, options, case):
    keys = [f"key {number}" for number in range(KEYS)]

    def call(number: int, barrier: Barrier) -> Caller:
        caller = Caller(alias, number)
        for key in keys:
            barrier.wait()  # all at once, for each key
            caller.patiently(partial(caller.get_in_transaction, key))
        return caller

    callers = together(THREADS, call, {alias: options})

    assert sorted(holders(alias)) == sorted(keys)
    assert Job.objects.using(alias).count() == KEYS
    assert all_get_the_same_row(callers, holders(alias))
    # What else the callers wrote is there once for each: nothing was lost, nothing half rolled back.
    effects = Counter(Effect.objects.using(alias).values_list("worker", "job_id"))
    assert effects == dict.fromkeys(holders(alias).items(), THREADS)
    assert sum(caller.retried["changed mind"] for caller in callers) > KEYS
    assert only_documented(callers, case)


def test_callers_without_a_transaction_of_their_own_get_one_row_too(alias, options, case):
    keys = [f"key {number}" for number in range(KEYS // 4)]

    def call(number: int, barrier: Barrier) -> Caller:
        caller = Caller(alias, number)
        for key in keys:
            barrier.wait()  # all at once, for each key
            caller.patiently(partial(caller.get, key))
        return caller

    callers = together(THREADS, call, {alias: options})

    assert sorted(holders(alias)) == sorted(keys)
    assert all_get_the_same_row(callers, holders(alias))
    assert only_documented(callers, case)


def test_a_key_past_its_time_is_taken_over_by_one_of_many(alias, options, case):
    keys = [f"key {number}" for number in range(KEYS // 4)]
    old = {note.using(idempotency_key=key, idempotency_ttl=60).enqueue(key).pk for key in keys}
    Job.objects.using(alias).update(key_expires_at=now() - timedelta(seconds=1))

    def call(number: int, barrier: Barrier) -> Caller:
        caller = Caller(alias, number)
        for key in keys:
            barrier.wait()  # all at once, for each key
            caller.patiently(partial(caller.get_in_transaction, key, idempotency_ttl=60))
        return caller

    callers = together(THREADS, call, {alias: options})

    assert sorted(holders(alias)) == sorted(keys)
    assert old.isdisjoint(holders(alias).values())
    assert Job.objects.using(alias).count() == 2 * len(keys)
    assert all_get_the_same_row(callers, holders(alias))
    assert only_documented(callers, case)


def test_bulks_that_overlap_share_the_rows_of_their_common_keys(alias, options, case):
    keys = [f"key {number}" for number in range(KEYS)]

    def call(number: int, barrier: Barrier) -> Caller:
        caller = Caller(alias, number)
        mine = [key for index, key in enumerate(keys) if index % 4 != number % 4]
        requests = [note.using(idempotency_key=key).request(key) for key in mine]
        jobs = caller.patiently(partial(enqueue_many, requests))
        caller.rows = {key: (job.pk, job.created) for key, job in zip(mine, jobs, strict=True)}
        return caller

    callers = together(8, call, {alias: options})

    assert sorted(holders(alias)) == sorted(keys)
    assert all_get_the_same_row(callers, holders(alias))
    assert only_documented(callers, case)


def test_the_settings_are_those_of_the_case(alias, options, case):
    """Or the whole file would prove less than it says."""
    asked = {
        "postgresql": "SHOW transaction_isolation",
        "mysql": "SELECT LOWER(REPLACE(@@SESSION.tx_isolation, '-', ' '))",
    }

    def ask(number: int, barrier: Barrier) -> str:
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            if connections[alias].vendor not in asked:
                return str(vars(connections[alias])["transaction_mode"]).lower()
            cursor.execute(asked[connections[alias].vendor])
            return str(cursor.fetchone()[0])

    assert together(1, ask, {alias: options}) == [case.partition(", ")[2]]
