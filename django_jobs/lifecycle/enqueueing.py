"""enqueue: requests become rows, in the caller's transaction. It only inserts."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction

from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import arguments_digest, decode_call, encode_call, encode_headers, key_digest
from django_jobs.definitions.identifiers import uuid7s
from django_jobs.definitions.redaction import shown_call
from django_jobs.definitions.requests import JobRequest, resolve
from django_jobs.definitions.retries import to_text
from django_jobs.errors import EnqueueRace, IdempotencyConflict
from django_jobs.lifecycle.dispatching import HORIZON, ring_on_commit
from django_jobs.middleware import before_enqueue
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.creating import CHUNK, Inserted, NewJob, free_expired_keys, holders, insert
from django_jobs.transports import Bell

TRIES = 3


def enqueue(request: JobRequest) -> Job:
    """Store one job and return its row; with an idempotency key that is taken, the row that has it.

    `created` of the row tells which. Raises InvalidArguments, PayloadTooLarge, IdempotencyConflict, EnqueueRace.
    """
    using = get_settings().DATABASE
    return _store(using, [_draft(request, uuid7s(1)[0])])[0]


def enqueue_many(requests: Iterable[JobRequest]) -> list[Job]:
    """Store any number of jobs of any queues, all or none, and return their rows in order.

    The iterable is read in chunks, so it may be longer than memory should hold at once as arguments.
    """
    using = get_settings().DATABASE
    jobs: list[Job] = []
    with transaction.atomic(using=using):
        for chunk in _chunks(requests):
            ids = uuid7s(len(chunk))
            jobs += _store(using, [_draft(request, id) for request, id in zip(chunk, ids, strict=True)])
    return jobs


def _draft(request: JobRequest, id: UUID) -> NewJob:
    request = before_enqueue(request)
    options = resolve(request)
    spec, key, when, expires = request.spec, options.idempotency_key, options.run_after, options.expires
    arguments = encode_call(request.args, request.kwargs, limit=options.max_payload_bytes)
    return NewJob(
        id=id,
        name=spec.name,
        queue_name=options.queue_name,
        priority=options.priority,
        lifo=options.lifo,
        run_at=when if isinstance(when, datetime) else None,
        delay=when if isinstance(when, float) else None,
        expires_at=expires if isinstance(expires, datetime) else None,
        expires_after=expires if isinstance(expires, float) else None,
        max_attempts=options.max_attempts,
        timeout=options.timeout,
        max_stalls=options.max_stalls,
        max_starts=options.max_starts,
        backoff=to_text(options.backoff),
        arguments=arguments,
        headers=encode_headers(request.headers),
        idempotency_key=key,
        key_digest=None if key is None else key_digest(spec.name, key),
        key_seconds=None if key is None else options.idempotency_ttl,
        arguments_digest=None if key is None else arguments_digest(arguments),
        keep=options.keep,
        metadata=options.metadata or None,
    )


def _store(using: str, drafts: Sequence[NewJob]) -> list[Job]:
    jobs: dict[UUID, Job] = {}
    remaining = list(drafts)
    for _ in range(TRIES):
        inserted = insert(using, remaining)
        created = [_row(using, draft, inserted[draft.id]) for draft in remaining if draft.id in inserted]
        jobs |= {job.id: job for job in created}
        if created:
            ring_on_commit(using, [_bell(job) for job in created if _is_near(job)], created)
        remaining = [draft for draft in remaining if draft.id not in inserted]
        if remaining:
            remaining = _find_winners(using, remaining, jobs)
        if not remaining:
            return [jobs[draft.id] for draft in drafts]
    raise EnqueueRace(f"The idempotency key {remaining[0].idempotency_key!r} of {remaining[0].name!r} kept vanishing.")


def _find_winners(using: str, drafts: Sequence[NewJob], jobs: dict[UUID, Job]) -> list[NewJob]:
    """Put the rows that have the drafts' keys into `jobs`; return the drafts that are to be tried again."""
    digests = [draft.key_digest for draft in drafts if draft.key_digest is not None]
    found = holders(using, digests)
    if expired := [digest for digest, holder in found.items() if holder.expired]:
        free_expired_keys(using, expired)
        # Read anew: while we waited, somebody else may have freed the key and taken it.
        found = holders(using, digests)
    again: list[NewJob] = []
    for draft in drafts:
        assert draft.key_digest is not None
        holder = found.get(draft.key_digest)
        if holder is None:
            again.append(draft)
        else:
            jobs[draft.id] = _given_back(holder.job, draft)
    return again


def _given_back(winner: Job, draft: NewJob) -> Job:
    same = winner.arguments_digest is not None and bytes(winner.arguments_digest) == draft.arguments_digest
    if not same and get_settings().IDEMPOTENCY_CHECKS_ARGUMENTS:
        raise IdempotencyConflict(
            f"The idempotency key {draft.idempotency_key!r} of {draft.name!r} belongs to job {winner.id}, which has "
            f"other arguments: {_shown(winner)}, not {_shown(draft)}."
        )
    winner.created = False
    return winner


def _shown(row: Job | NewJob) -> str:
    """Return the beginning of a call for a message, without what is sensitive."""
    call = shown_call(row.name, *decode_call(row.arguments))
    return json.dumps(call, ensure_ascii=False, separators=(",", ":"))[:200]


def _row(using: str, draft: NewJob, inserted: Inserted) -> Job:
    """Return the row as it stands in the table, without asking for it."""
    job = Job(
        id=draft.id,
        name=draft.name,
        queue_name=draft.queue_name,
        state=State.READY,
        priority=draft.priority,
        lifo=draft.lifo,
        run_after=inserted.run_after,
        rank=inserted.rank,
        expires_at=inserted.expires_at,
        enqueued_at=inserted.enqueued_at,
        max_attempts=draft.max_attempts,
        timeout=draft.timeout,
        max_stalls=draft.max_stalls,
        max_starts=draft.max_starts,
        backoff=draft.backoff,
        arguments=draft.arguments,
        headers=draft.headers,
        idempotency_key=draft.idempotency_key,
        key_digest=draft.key_digest,
        key_expires_at=(
            None if draft.key_seconds is None else inserted.enqueued_at + timedelta(seconds=draft.key_seconds)
        ),
        arguments_digest=draft.arguments_digest,
        metadata_text=draft.metadata_text,
        **draft.keep_columns,
    )
    job._state.adding = False
    job._state.db = using
    return job


def _bell(job: Job) -> Bell:
    return Bell(job.id, job.queue_name, job.rank, job.group)


def _is_near(job: Job) -> bool:
    return job.run_after <= job.enqueued_at + HORIZON


def _chunks(requests: Iterable[JobRequest]) -> Iterable[list[JobRequest]]:
    chunk: list[JobRequest] = []
    for request in requests:
        chunk.append(request)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def aenqueue_many(requests: Iterable[JobRequest]) -> list[Job]:
    """Store any number of jobs; see `enqueue_many`."""
    return await sync_to_async(enqueue_many)(requests)
