"""Can every part be reached, and what is late? For commands and probes: it looks and changes nothing."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from django.core.checks import ERROR, run_checks
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as AnyDatabaseError
from django.db.migrations.executor import MigrationExecutor

from django_jobs import clock
from django_jobs.conf import SETTING, get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.errors import ConfigurationError, TransportError
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.findings import Finding, Status
from django_jobs.lifecycle.waiting import Due, due, queues_with_ready_jobs
from django_jobs.models import Queue, Worker
from django_jobs.transitions.counting import connection_counts
from django_jobs.transitions.due import now
from django_jobs.transports import get_transport

APP = "django_jobs"
LATE_SECONDS = 60.0
# Clocks that are kept by NTP differ by milliseconds.
CLOCKS_DIFFER_SECONDS = 5.0
# A server that has so many of its connections is about to refuse some.
FULL_SHARE = 0.9


def examine(late_seconds: float = LATE_SECONDS) -> Iterator[Finding]:
    """Look at one part after the other; end where what follows could only be guessed.

    A job is late when it could have started `late_seconds` ago.
    """
    yield (settings := _settings())
    if settings.leaves_all_open:
        return
    yield _transport()
    using = get_settings().DATABASE
    try:
        yield _database(using)
        yield (migrations := _migrations(using))
        if not migrations.leaves_all_open:
            yield from _jobs(using, timedelta(seconds=late_seconds))
    except AnyDatabaseError as error:
        yield _away(using, error)


def migrate_command(using: str) -> str:
    """Return the command that makes our tables where the jobs are."""
    return f"manage.py migrate {APP}" + ("" if using == DEFAULT_DB_ALIAS else f" --database {using}")


def pending_migrations(using: str) -> list[str]:
    """Return the names of our migrations that this database lacks."""
    executor = MigrationExecutor(connections[using])
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == APP]
    return [migration.name for migration, _ in executor.migration_plan(targets)]


# Parts that are there or not


def _settings() -> Finding:
    errors = [message for message in run_checks(tags=[APP]) if message.is_serious(ERROR)]
    if errors:
        told = " ".join(f"{each.msg} ({each.id})" for each in errors)
        advice = " ".join(each.hint for each in errors if each.hint) or f"Correct {SETTING}."
        return Finding(part="settings", status=Status.FAILED, told=told, advice=advice)
    return Finding(part="settings", status=Status.OK, told=f"jobs are kept in the database {get_settings().DATABASE!r}")


def _transport() -> Finding:
    try:
        transport = get_transport()
        described, is_flushed, server = transport.describe(), transport.is_flushed(), transport.facts()
    except (ConfigurationError, TransportError) as error:
        # What the error tells ends with what to do.
        return Finding(part="transport", status=Status.FAILED, told=str(error))
    facts = {"transport": described, "flushed": is_flushed}
    status, told, advice = Status.OK, described, ""
    if is_flushed:
        status, told = Status.LATE, f"{described}; it has lost its memory, or is new"
        advice = "A worker rings every job again within seconds. If this lasts, read what the workers log."
    elif server is not None and server.evicts:
        status, told = Status.LATE, f"{described}; it evicts what waits ({server.eviction_policy})"
        advice = "Set maxmemory-policy noeviction there, or use a server of your own beside the cache."
    return Finding(part="transport", status=status, told=told, advice=advice, facts=facts)


def _database(using: str) -> Finding:
    connections[using].ensure_connection()
    before = clock.now()
    present = now(using)
    # The answer was made somewhere between question and answer.
    difference = (present - before - (clock.now() - before) / 2).total_seconds()
    facts = {"vendor": connections[using].vendor, "clock_difference_seconds": round(difference, 3)}
    told = f"{connections[using].display_name}, its clock differs from this host's by {difference:+.3f} s"
    if abs(difference) < CLOCKS_DIFFER_SECONDS:
        return Finding(part="database", status=Status.OK, told=told, facts=facts)
    return Finding(
        part="database",
        status=Status.LATE,
        told=told,
        advice="Keep the clocks of all hosts by NTP: times that code computes are off by this much.",
        facts=facts,
    )


def _away(using: str, error: AnyDatabaseError) -> Finding:
    return Finding(
        part="database",
        status=Status.FAILED,
        told=f"{using} cannot be asked: {str(error).strip()}",
        advice=f"See that the server runs and that DATABASES[{using!r}] says where.",
    )


def _migrations(using: str) -> Finding:
    pending = pending_migrations(using)
    facts = {"pending": pending}
    if not pending:
        return Finding(part="migrations", status=Status.OK, told="all are applied", facts=facts)
    told = f"not applied: {', '.join(pending)}"
    advice = f"Run: {migrate_command(using)}"
    return Finding(part="migrations", status=Status.FAILED, told=told, advice=advice, facts=facts)


# What the book says


def _jobs(using: str, late: timedelta) -> Iterator[Finding]:
    present = now(using)
    rows, at_work = workers.not_dead(using), workers.at_work(using, present)
    # Who takes by hand neither rescues nor does chores: it is no worker that keeps the others' jobs going.
    alive = [each for each in at_work if not workers.is_by_hand(each)]
    yield _workers([each for each in rows if not workers.is_by_hand(each)], alive, present)
    yield _connections(using, alive)
    yield _running(using, at_work, anybody_rescues=bool(alive))
    known = workers.known_queues(using)
    paused = set(Queue.objects.using(using).filter(paused=True).values_list("name", flat=True))
    nobody_knows: dict[str, list[str]] = {}
    suspects: list[Due] = []
    for name in sorted({*known, *queues_with_ready_jobs(using)}):
        waiting, serving = due(using, name, present), workers.serving(at_work, name, known)
        yield _queue(name, waiting, present, late, is_paused=name in paused, serving=serving, known=known)
        if name in paused:
            continue
        suspects.append(due(using, name, present, suspect=True))
        for each in waiting.names if serving else ():
            if not any(workers.knows(worker, each) for worker in serving):
                nobody_knows.setdefault(each, []).append(name)
    yield _suspects(suspects, present, late)
    if at_work:
        yield _names(nobody_knows)


def _workers(rows: Collection[Worker], alive: Collection[Worker], present: datetime) -> Finding:
    silent = len(rows) - len(alive)
    ages = [max((present - each.beat_at).total_seconds(), 0.0) for each in alive]
    facts = {"alive": len(alive), "silent": silent, "oldest_beat_seconds": round(max(ages, default=0.0), 3)}
    if not alive:
        told = f"none is alive, {silent} silent" if silent else "none is alive"
        return Finding(
            part="workers", status=Status.FAILED, told=told, advice="Start one: manage.py runworkers", facts=facts
        )
    told = f"{len(alive)} alive, each heard of in the last {in_words(timedelta(seconds=max(ages)))}"
    if not silent:
        return Finding(part="workers", status=Status.OK, told=told, facts=facts)
    return Finding(
        part="workers",
        status=Status.LATE,
        told=f"{told}; {silent} silent",
        advice="Another one takes over what they run. See whether their hosts are up: manage.py jobworkers list",
        facts=facts,
    )


def _connections(using: str, alive: Collection[Worker]) -> Finding:
    """Compare what the workers may come to hold with what the server takes."""
    supervisors = {(each.host, each.supervisor_pid) for each in alive}
    most = workers.most_connections([each.concurrency for each in alive], supervisors=len(supervisors))
    told, facts = f"the workers open {most} at most", {"workers_at_most": most}
    status, advice = Status.OK, ""
    if counts := connection_counts(using):
        count, limit = counts
        facts |= {"open": count, "limit": limit}
        told = f"{told}; the server has {count} of {limit}"
        if most > limit or count >= limit * FULL_SHARE:
            status, advice = Status.LATE, "Raise its max_connections, or have fewer processes or less concurrency."
    return Finding(part="connections", status=status, told=told, advice=advice, facts=facts)


def _running(using: str, at_work: Collection[Worker], *, anybody_rescues: bool) -> Finding:
    running = workers.running_jobs(using)
    living = {each.pk for each in at_work if each.dead_at is None}
    count, orphans = sum(running.values()), sum(number for owner, number in running.items() if owner not in living)
    facts = {"running": count, "orphans": orphans}
    if not orphans:
        return Finding(part="running", status=Status.OK, told=f"{count:,} jobs", facts=facts)
    return Finding(
        part="running",
        status=Status.LATE if anybody_rescues else Status.FAILED,
        told=f"{count:,} jobs, {orphans:,} of them on workers that are silent or dead",
        advice="A living worker takes them back within seconds."
        if anybody_rescues
        else "Start a worker, it takes them back: manage.py runworkers",
        facts=facts,
    )


def _queue(
    name: str,
    waiting: Due,
    present: datetime,
    late: timedelta,
    *,
    is_paused: bool,
    serving: Collection[Worker],
    known: Collection[str],
) -> Finding:
    age = _age(waiting, present)
    facts = {**_numbers(waiting, age), "paused": is_paused, "served": bool(serving)}
    told = f"{waiting}, for up to {in_words(age)}" if waiting.seen else "nothing is due"
    status, advice = Status.OK, ""
    if waiting.seen and serving and all(map(workers.is_by_hand, serving)):
        told = f"{told}; worked by hand"
    if is_paused:
        told = f"paused; {told}"
    elif waiting.seen and not serving:
        status, told = Status.FAILED, f"{told}; no living worker serves it"
        advice = (
            f"Start one: manage.py runworkers --queue {name}"
            if name in known
            else f"Nothing declares it. Name it in {SETTING}['QUEUES'], or cancel its jobs."
        )
    elif waiting.seen and all(each.quiet for each in serving):
        status, told = Status.LATE, f"{told}; every living worker that serves it is quiet"
        advice = "Let them take jobs again: manage.py jobworkers resume --all"
    elif age > late:
        status = Status.LATE
        advice = f"See what keeps its workers busy, or start more: manage.py jobs list --state running --queue {name}"
    return Finding(part=f"queue {name}", status=status, told=told, advice=advice, facts=facts)


def _suspects(suspects: Collection[Due], present: datetime, late: timedelta) -> Finding:
    count = sum(each.seen for each in suspects)
    age = max((_age(each, present) for each in suspects), default=timedelta(0))
    waiting = Due(count, any(each.has_more for each in suspects))
    told = f"{waiting}, for up to {in_words(age)}" if count else "none waits"
    if age <= late:
        return Finding(part="suspects", status=Status.OK, told=told, facts=_numbers(waiting, age))
    return Finding(
        part="suspects",
        status=Status.LATE,
        told=told,
        advice="Workers died under each; they start one at a time, alone. Read what the workers log.",
        facts=_numbers(waiting, age),
    )


def _names(nobody_knows: Mapping[str, list[str]]) -> Finding:
    if not nobody_knows:
        return Finding(
            part="names", status=Status.OK, told="each job that is due is known to a worker that serves its queue"
        )
    where = "; ".join(f"{name} in {', '.join(queues)}" for name, queues in sorted(nobody_knows.items()))
    return Finding(
        part="names",
        status=Status.FAILED,
        told=f"no living worker that serves the queue knows {where}",
        advice="Start workers that have the code of these jobs, or cancel these jobs by their --name.",
        facts={"unknown": dict(sorted(nobody_knows.items()))},
    )


def _age(waiting: Due, present: datetime) -> timedelta:
    return timedelta(0) if waiting.oldest is None else max(present - waiting.oldest, timedelta(0))


def _numbers(waiting: Due, age: timedelta) -> dict[str, object]:
    return {"due": waiting.seen, "has_more": waiting.has_more, "oldest_seconds": round(age.total_seconds(), 3)}
