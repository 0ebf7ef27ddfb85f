"""Rows as a story needs them, in any state. The tests' only way past the verbs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, ErrorReport, Outcome
from django_jobs.definitions.rank import rank
from django_jobs.models import Job, Worker
from django_jobs.states import ENDED, State
from django_jobs.transitions.claiming import claim_ids
from django_jobs.transitions.rescuing import rescue
from tests.samples import mail, note, with_context

HOUR = timedelta(hours=1)
NAMES = (note.name, mail.name, with_context.name)
ERROR = ErrorReport(class_path="builtins.ValueError", message="No such order.", traceback="Traceback: ...")


def now() -> datetime:
    return datetime.now(UTC)


def worker(*, using: str = "default", **fields: Any) -> UUID:
    """Put a worker that is alive; without a supervisor it is a program that takes by hand."""
    values = {
        "host": "here",
        "pid": 1,
        "supervisor_pid": 1,
        "version": "1",
        "started_at": now(),
        "beat_at": now(),
    } | fields
    return Worker.objects.using(using).create(**values).pk


def new(state: State = State.READY, **fields: Any) -> Job:
    """Return a job that is not stored: due a minute ago, and as a job of this state looks."""
    due = fields.pop("run_after", now() - timedelta(minutes=1))
    values: dict[str, Any] = {"name": "samples.note", "queue_name": "default", "arguments": "[[],{}]"}
    values |= {"priority": 0, "lifo": False, "enqueued_at": due} | fields
    values.setdefault("rank", rank(values["priority"], values["lifo"], due))
    if state == State.RUNNING:
        values = {"owner": uuid4(), "fence": 1, "attempt": 1, "starts": 1, "started_at": now()} | values
    if state in ENDED:
        values = {"fence": 1, "attempt": 1, "starts": 1, "finished_at": now()} | values
    return Job(state=state, run_after=due, **values)


def put(state: State = State.READY, *, using: str = "default", **fields: Any) -> Job:
    """Store such a job."""
    job = new(state, **fields)
    job.save(using=using, force_insert=True)
    return job


def fresh(job: Job | UUID) -> Job:
    """Return the row as it stands now."""
    if isinstance(job, Job):
        return Job.objects.using(job._state.db).get(pk=job.pk)
    return Job.objects.get(pk=job)


def columns(job: Job) -> dict[str, Any]:
    """Return every column of an instance, digests as bytes."""
    values = {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in values.items()}


def claim_one(job: Job, *, owner: UUID | None = None) -> Claim:
    """Claim this very job, for a new worker unless told for whom."""
    (claim,) = claim_ids("default", owner or worker(), [job.pk], [*NAMES, job.name])
    return claim


def claim_of(job: Job) -> Claim:
    """Return the claim that a row would belong to if it were running."""
    return Claim(
        id=job.pk,
        name=job.name,
        queue_name=job.queue_name,
        rank=job.rank,
        fence=job.fence,
        attempt=job.attempt,
        starts=job.starts,
        max_attempts=job.max_attempts,
        timeout=job.timeout,
        owner=job.owner or uuid4(),
        arguments=job.arguments,
        backoff=job.backoff,
        enqueued=job.enqueued_at.timestamp(),
    )


def running(**fields: Any) -> tuple[Job, Claim]:
    """Put a job and claim it; return its row and the claim."""
    claim = claim_one(put(**fields))
    return fresh(claim.id), claim


def take_away(claim: Claim) -> None:
    """Let the worker of a running job die, and others notice."""
    Worker.objects.filter(pk=claim.owner).update(dead_at=now())
    rescue("default", [claim.id], begun=[])


def ended(claim: Claim, outcome: Outcome, *, seconds: float = 1.0, **changes: Any) -> Ended:
    """Return the end of an attempt whose body ran for so long until now; `changes` make the claim a wrong one."""
    present = clock.monotonic()
    return Ended(replace(claim, **changes), outcome, started=present - seconds, finished=present)
