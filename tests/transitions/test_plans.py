"""No hot statement reads the whole table, even where the statistics still say that it is empty.

The statements are those that the verbs really send; each database is asked how it would run them.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from django_jobs import Deduplicate, cancel, enqueue_many, queues, remove, reprioritize, reschedule, retry, run_now
from django_jobs.coordination.deduplication import settle_key
from django_jobs.definitions.arguments import key_digest
from django_jobs.definitions.outcomes import Failed, GivenBack, Retried, Snoozed, Stopped, Succeeded
from django_jobs.lifecycle.ageing import age_queue
from django_jobs.lifecycle.pruning import prune
from django_jobs.lifecycle.sweeping import sweep, sweep_fresh
from django_jobs.models import Job
from django_jobs.states import ALIVE, ENDED, State
from django_jobs.transitions import deduplicating, pruning, rescuing, steering
from django_jobs.transitions.claiming import begin, claim_due, claim_ids, leftovers
from django_jobs.transitions.creating import free_expired_keys, holders
from django_jobs.transitions.due import due_ranges
from django_jobs.transitions.ending import end, still_owned
from django_jobs.transitions.expiring import expire
from django_jobs.transitions.reports import fences, save_data
from django_jobs.transitions.steering import asked_to_cancel
from tests.rows import ERROR, HOUR, NAMES, claim_of, ended, new, now, put, worker
from tests.samples import note

pytestmark = pytest.mark.django_db

JOB, READY, EXPIRY = "django_jobs_job", "django_jobs_ready", "django_jobs_expiry"
OWNER, ENDED_INDEX, COUNTED = "django_jobs_owner", "django_jobs_ended", "django_jobs_counted"
ROWS = 4000


@dataclass(frozen=True)
class Table:
    """The filled table, and somebody to ask for."""

    me: Any
    ready: list[Any]
    running: list[Job]
    failed: list[Any]
    digest: bytes


def analyze() -> None:
    with connection.cursor() as cursor:
        for table in (JOB, "django_jobs_worker", "django_jobs_queue"):
            cursor.execute(f"ANALYZE {table}")


def fill(*, at_rest: bool) -> Table:
    """Fill the table; `at_rest` it is analysed in between, while it holds only jobs that have ended."""
    owners = [worker() for _ in range(20)]
    start, second = now(), timedelta(seconds=1)
    states = [State.READY] * 5 + [State.SUCCESSFUL] * 2 + [State.CANCELLED, State.FAILED, State.RUNNING]
    jobs = [
        new(
            states[number % 10],
            queue_name=f"queue {number % 4}" if number % 3 else "default",
            priority=number % 7,
            lifo=number % 11 == 0,
            run_after=start + (number % 2000 - 1000) * second,
            key_digest=key_digest("samples.note", str(number)) if number % 2 else None,
            expires_at=start + (number % 7 - 3) * second if number % 4 == 0 else None,
            starts=number % 5 // 4,
            owner=owners[number // 10 % 20] if number % 10 == 9 else None,
            # A tenth is not to be kept any longer, and some of those that succeeded are kept by count.
            keep_until=start + (1 if number % 20 < 10 else -1) * HOUR if states[number % 10] in ENDED else None,
            keep_successful_count=3 if number % 10 == 5 else None,
            keep_failed_count=3 if number % 10 == 5 else None,
        )
        for number in range(ROWS)
    ]
    before_analysis = [job for job in jobs if job.state in ENDED] if at_rest else []
    others = [job for job in jobs if job.state not in ENDED] if at_rest else jobs
    Job.objects.bulk_create(before_analysis, batch_size=500)
    if before_analysis:
        analyze()
    Job.objects.bulk_create(others, batch_size=500)

    def those(state: State) -> list[Job]:
        return [job for job in jobs if job.state == state]

    return Table(
        me=owners[0],
        ready=[job.pk for job in those(State.READY)[:10]],
        running=those(State.RUNNING)[:10],
        failed=[job.pk for job in those(State.FAILED)[:10]],
        digest=key_digest("samples.note", "1"),
    )


@pytest.fixture
def new_files() -> None:
    """Plans shall not depend on what other tests have left in the files of the table."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {JOB} CASCADE")
            cursor.execute(f"ALTER TABLE {JOB} SET (autovacuum_enabled = false)")


# MySQL would end the transaction to analyse a table; there the statistics are its own affair.
STATISTICS = ["analysed while empty", "analysed at rest", "analysed since"] if connection.vendor != "mysql" else ["own"]


@pytest.fixture(params=STATISTICS)
def table(request: pytest.FixtureRequest, new_files: None) -> Table:
    if request.param == "own":
        return fill(at_rest=False)
    analyze()
    filled = fill(at_rest=request.param == "analysed at rest")
    if request.param == "analysed since":
        analyze()
    return filled


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Give every statement about jobs that is sent inside the block, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if JOB in sql and not sql.startswith("EXPLAIN"):
            sent.append((sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(keep):
        yield sent


def explained(sql: str, parameters: Any) -> list[dict[str, Any]]:
    """Return the steps of the plan for the table of jobs: how it is read, by which index, and what is sorted."""
    how = {"postgresql": "EXPLAIN (FORMAT JSON) ", "mysql": "EXPLAIN ", "sqlite": "EXPLAIN QUERY PLAN "}
    with connection.cursor() as cursor:
        cursor.execute(how[connection.vendor] + sql, parameters)
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    if connection.vendor == "postgresql":
        plan = rows[0][0] if not isinstance(rows[0][0], str) else json.loads(rows[0][0])
        return list(nodes(plan[0]["Plan"]))
    return [dict(zip(names, row, strict=True)) for row in rows]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in plan.items() if name != "Plans"}
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def reads_all(step: dict[str, Any]) -> bool:
    """Tell whether a step reads every job."""
    if connection.vendor == "postgresql":
        by_all_ids = step.get("Index Name") == f"{JOB}_pkey" and "Index Cond" not in step
        return by_all_ids or (step["Node Type"] == "Seq Scan" and step["Relation Name"] == JOB)
    if connection.vendor == "mysql":
        return step["type"] in ("ALL", "index") and step["table"] in (JOB, "j")
    words = step["detail"].split()
    # An index of the running, of the ended or of those that are counted is not one of all.
    is_partial = {OWNER, ENDED_INDEX, COUNTED}.intersection(words)
    return words[0] == "SCAN" and words[1] in (JOB, "j") and not is_partial


def sorts(step: dict[str, Any]) -> bool:
    if connection.vendor == "postgresql":
        return "Sort" in step["Node Type"]
    if connection.vendor == "mysql":
        return "filesort" in (step["Extra"] or "") and step["table"] == JOB
    return "USE TEMP B-TREE FOR ORDER BY" in step["detail"]


def index_of(step: dict[str, Any]) -> str:
    if connection.vendor == "postgresql":
        return step.get("Index Name", "")
    if connection.vendor == "mysql":
        return step["key"] or ""
    return next((index for index in (READY, EXPIRY, ENDED_INDEX, COUNTED) if index in step["detail"]), "")


def settles(outcome: Any) -> Callable[[Table], Any]:
    return lambda table: end("default", [ended(claim_of(job), outcome) for job in table.running], 0.0)


ACTS: dict[str, Callable[[Table], Any]] = {
    "claim one by id": lambda table: claim_ids("default", table.me, table.ready[:1], NAMES),
    "claim by ids": lambda table: claim_ids("default", table.me, table.ready, NAMES, 10),
    "claim by query": lambda table: claim_due("default", table.me, ["default"], 5, NAMES),
    "claim of any name": lambda table: claim_due("default", table.me, ["default"], 1, None),
    "due ranges": lambda table: list(due_ranges("default", "default", now())),
    "begin": lambda table: begin("default", claim_of(table.running[0]).owner, [claim_of(job) for job in table.running]),
    "leftovers": lambda table: leftovers("default", table.ready, NAMES),
    "succeed": settles(Succeeded("1")),
    "succeed one": lambda table: end("default", [ended(claim_of(table.running[0]), Succeeded("1"))], 0.0),
    "fail": settles(Failed(ERROR)),
    "retry": settles(Retried(ERROR, 1.0)),
    "snooze": settles(Snoozed(1.0)),
    "stop": settles(Stopped("No.")),
    "give back": settles(GivenBack()),
    "settle, without waiting": lambda table: end(
        "default", [ended(claim_of(job), Succeeded("1")) for job in table.running], 0.0, skip_locked=True
    ),
    "still owned": lambda table: still_owned("default", [claim_of(job) for job in table.running]),
    "fences": lambda table: fences("default", [job.pk for job in table.running]),
    "save data": lambda table: save_data("default", claim_of(table.running[0]), "{}"),
    "extend": lambda table: rescuing.extend("default", claim_of(table.running[0]), 60.0),
    "owned": lambda table: rescuing.owned("default", table.me),
    "orphans": lambda table: rescuing.orphans("default"),
    "rescue": lambda table: rescuing.rescue("default", [job.pk for job in table.running]),
    "give back unknown": lambda table: rescuing.release("default", table.me, [(table.running[0].pk, 1)]),
    "enqueue": lambda table: note.enqueue(),
    "enqueue many": lambda table: enqueue_many(note.request(number) for number in range(100)),
    "enqueue with a key": lambda table: note.using(idempotency_key="new").enqueue(),
    "holder of a key": lambda table: holders("default", [table.digest]),
    "holders of keys": lambda table: holders("default", [key_digest("samples.note", str(n)) for n in range(5)]),
    "enqueue to deduplicate": lambda table: note.using(deduplicate=Deduplicate(key="new")).enqueue(),
    "holder of a deduplication key": lambda table: deduplicating.holders("default", [table.digest]),
    "key given back": lambda table: deduplicating.follow("default", [table.digest]),
    "key settled": lambda table: settle_key("default", table.digest),
    "keys left unsettled": lambda table: deduplicating.left_waiting("default", 10.0),
    "duplicates counted": lambda table: deduplicating.count("default", {table.ready[0]: deduplicating.Hits(1)}),
    "free a key": lambda table: free_expired_keys("default", [table.digest]),
    "sweep": lambda table: list(sweep("default")),
    "fresh sweep": lambda table: sweep_fresh("default"),
    "age": lambda table: list(age_queue("default", "default", 0.0)),
    "expire": lambda table: expire("default"),
    "cancel": lambda table: cancel(table.ready),
    "asked to cancel": lambda table: asked_to_cancel("default", table.me),
    "retry by hand": lambda table: retry(table.failed),
    "run now": lambda table: run_now(table.ready),
    "reschedule": lambda table: reschedule(table.ready, 60),
    "reprioritize": lambda table: reprioritize(table.ready, 3),
    "remove": lambda table: remove(table.failed),
    "drain": lambda table: queues["default"].drain(),
    "drain all": lambda table: queues["default"].drain(scheduled=True),
    "prune": lambda table: list(prune("default")),
    "count what has ended": lambda table: queues["default"]._count_ended(State.FAILED, exact=True),
    "oldest": lambda table: queues["default"].oldest_age(),
    "by date": lambda table: list(Job.objects.enqueued_between(now() - 99 * HOUR, now() - 98 * HOUR)),
    "stalled": lambda table: list(Job.objects.stalled()),
}


def plans_of(act: Callable[[Table], Any], table: Table) -> list[tuple[str, list[dict[str, Any]]]]:
    """Act, explain what was sent, and undo it."""
    savepoint = str(connection.savepoint())
    with statements() as sent:
        act(table)
    plans = [(sql, explained(sql, parameters)) for sql, parameters in sent]
    connection.savepoint_rollback(savepoint)
    return plans


def test_no_statement_reads_the_whole_table(table, monkeypatch):
    # In a table as small as this one, a list of 500 ids is looked up by reading all.
    for module in (steering, pruning):
        monkeypatch.setattr(module, "CHUNK", 10)
    slow = []
    for name, act in ACTS.items():
        plans = plans_of(act, table)
        assert plans, name
        slow += [(name, sql, plan) for sql, plan in plans if any(reads_all(step) for step in plan)]
    assert slow == []


def test_a_look_and_a_sweep_read_the_best_ranks_from_their_index(table, request):
    plans = [plan for sql, plan in plans_of(ACTS["claim by query"], table) if "BETWEEN" in sql]
    assert plans
    for plan in plans:
        assert READY in [index_of(step) for step in plan], plan
        # PostgreSQL would rather sort the few rows that it knows of; those that it does not know of it must not.
        knows = connection.vendor == "postgresql" and "since" in request.node.name
        assert knows or not [step for step in plan if sorts(step)], plan
    pages = [plan for sql, plan in plans_of(ACTS["sweep"], table) if "BETWEEN" in sql]
    assert pages
    assert all(READY in [index_of(step) for step in plan] for plan in pages), pages
    # From one band to the next: one entry of the index.
    hops = [plan for sql, plan in plans_of(ACTS["due ranges"], table) if "LIMIT 1" in sql]
    assert len(hops) > 1
    for plan in hops:
        assert {index_of(step) for step in plan if index_of(step)} == {READY}, plan
        assert not [step for step in plan if sorts(step) or "Bitmap" in step.get("Node Type", "")], plan


def test_expiry_reads_what_may_expire_from_its_index(table):
    ((_, plan), *_) = plans_of(ACTS["expire"], table)
    assert EXPIRY in [index_of(step) for step in plan], plan


BY_IDS = ("claim one by id", "claim by ids", "begin", "succeed", "settle, without waiting", "still owned")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only its planner would rather read all of a state")
@pytest.mark.parametrize("name", BY_IDS)
def test_who_has_ids_finds_the_rows_by_them_and_not_by_their_state(table, name):
    """At rest there is nothing ready and nothing running: to read all of that seems to cost nothing."""
    plans = plans_of(ACTS[name], table)
    assert plans
    for sql, plan in plans:
        indexes = {index_of(step) for step in plan if index_of(step)}
        assert f"{JOB}_pkey" in indexes, (sql, plan)
        assert not indexes & {READY, OWNER}, (sql, plan)


def is_bounded(step: dict[str, Any], column: str) -> bool:
    """Tell whether a step reads its index only as far as the column allows."""
    if connection.vendor == "postgresql":
        return column in step.get("Index Cond", "")
    if connection.vendor == "mysql":
        return step["type"] == "range"
    return f"{column}<" in step["detail"]


def test_pruning_reads_only_what_may_go(table):
    """A row that holds a key for a time is kept until then, so that what is pruned by age ends before it."""
    plans = plans_of(ACTS["prune"], table)
    by_age = [plan for sql, plan in plans if "keep_until" in sql and "<=" in sql and "LIMIT" in sql]
    assert len(by_age) >= len(ENDED)
    for plan in by_age:
        assert [step for step in plan if index_of(step) == ENDED_INDEX and is_bounded(step, "keep_until")], plan
    # By count, a window after the other: the id with which it ends comes from the index.
    windows = [plan for sql, plan in plans if "keep_successful_count" in sql and f"OFFSET {pruning.WINDOW - 1}" in sql]
    assert windows
    for plan in windows:
        assert [step for step in plan if index_of(step) == COUNTED and is_bounded(step, "id")], plan


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite reads no partial index where it looks for nothing in it."
)
@pytest.mark.parametrize("count", [False, True], ids=["listed", "counted"])
def test_those_of_a_name_that_live_are_found_without_a_look_at_what_has_ended(new_files, count):
    rows = [new(State.SUCCESSFUL, keep_until=now() + HOUR) for _ in range(ROWS)]
    rows += [new(state) for state in ALIVE for _ in range(20)]
    Job.objects.bulk_create(rows, batch_size=500)
    if connection.vendor == "postgresql":
        analyze()
    named = Job.objects.alive().filter(name="samples.note")
    with statements() as sent:
        assert (named.count() if count else len(named)) == 20 * len(ALIVE)
    ((sql, parameters),) = sent
    assert not [step for step in explained(sql, parameters) if reads_all(step)]


def test_the_plans_are_really_asked_for():
    """A statement that must read all is seen to do so."""
    put(), put()
    with statements() as sent:
        list(Job.objects.filter(error="nothing"))
    ((sql, parameters),) = sent
    assert [step for step in explained(sql, parameters) if reads_all(step)]
