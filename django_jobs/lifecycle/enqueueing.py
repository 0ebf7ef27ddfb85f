"""enqueue: requests become rows, in the caller's transaction. It only inserts."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import attrgetter
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models.base import ModelState

from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import (
    arguments_digest,
    decode_call,
    deduplication_digest,
    encode_call,
    encode_headers,
    key_digest,
    shown,
)
from django_jobs.definitions.batches import likeness
from django_jobs.definitions.identifiers import uuid7s
from django_jobs.definitions.redaction import shown_call
from django_jobs.definitions.requests import JobRequest, deduplication_key_of, key_of
from django_jobs.errors import EnqueueRace, IdempotencyConflict, InvalidArguments
from django_jobs.lifecycle.deduplicating import store_deduplicated
from django_jobs.lifecycle.dispatching import bells_of_new, ring_on_commit
from django_jobs.lifecycle.kinds import Kind, kind_of
from django_jobs.middleware import before_enqueue, chain
from django_jobs.models import Job
from django_jobs.models.job import HOLDER
from django_jobs.transitions.creating import CHUNK, free_expired_keys, holders, insert, insert_made
from django_jobs.transitions.drafts import NewJob
from django_jobs.transitions.sql.base import DEDUPLICATION
from django_jobs.transitions.transactions import after_own_collisions

TRIES = 3


def enqueue(request: JobRequest) -> Job[Any]:
    """Store one job and return its row; with an idempotency key that is taken, the row that has it.

    `created` of the row tells which. Raises InvalidArguments, PayloadTooLarge, IdempotencyConflict, EnqueueRace.
    """
    using = get_settings().DATABASE
    (request,) = _as_middleware_wants([request])
    return _store(using, _drafts(using, [request]))[0]


def enqueue_many(requests: Iterable[JobRequest]) -> list[Job]:
    """Store any number of jobs of any queues, all or none, and return their rows in order.

    The iterable is read in chunks, so it may be longer than memory should hold at once as arguments. Raises
    InvalidArguments for what is no request, and what `enqueue` raises.
    """
    using = get_settings().DATABASE

    def work() -> list[Job]:
        jobs: list[Job] = []
        with transaction.atomic(using=using):
            for chunk in _chunks(requests):
                jobs += _store_many(using, chunk)
        return jobs

    # What an iterator has given it does not give again.
    return work() if isinstance(requests, Iterator) else after_own_collisions(using, "enqueue_many()", work)


def _as_middleware_wants(requests: Sequence[JobRequest]) -> Sequence[JobRequest]:
    return [before_enqueue(request) for request in requests] if chain() else requests


def _store_many(using: str, requests: Sequence[JobRequest]) -> list[Job]:
    requests = _as_middleware_wants(requests)
    if not all(kind.is_plain for kind, _ in _by_kind(requests)):
        return _store(using, _drafts(using, requests))
    jobs: list[Job] = []

    def stored(drafts: Sequence[NewJob]) -> None:
        created = [draft.job for draft in drafts]
        ring_on_commit(using, bells_of_new(created), created)
        jobs.extend(created)

    insert_made(using, len(requests), lambda begin, end: _drafts(using, requests[begin:end]), stored)
    return jobs


def _drafts(using: str, requests: Sequence[JobRequest]) -> list[NewJob]:
    ids = iter(uuid7s(len(requests)))
    return [
        _draft(using, request, job_id, kind)
        for kind, some in _by_kind(requests)
        for request, job_id in zip(some, ids, strict=False)
    ]


def _by_kind(requests: Sequence[JobRequest]) -> Iterator[tuple[Kind, list[JobRequest]]]:
    """Return those of one kind that follow each other; nearly always that is all of a bulk."""
    for _, run in groupby(requests, attrgetter("spec", "options")):
        some = list(run)
        yield kind_of(some[0]), some


def _draft(using: str, request: JobRequest, job_id: UUID, kind: Kind) -> NewJob:
    arguments = encode_call(request.args, request.kwargs, limit=kind.resolved.max_payload_bytes)
    if request.spec.batch is not None:
        likeness(request.spec.batch, request.spec.name, arguments)  # what raises, raises here and not in a worker
    template = kind.template
    own: dict[str, Any] = {"id": job_id, "arguments": arguments}
    if request.headers:
        template = kind.template_with_headers
        own["headers"] = encode_headers(request.headers)
    if template.unique is not None:
        own |= _keys(request, kind, arguments)
    return NewJob(_row(using, template.columns, own), template)


def _keys(request: JobRequest, kind: Kind, arguments: str) -> dict[str, Any]:
    own: dict[str, Any] = {}
    key = key_of(request, kind.resolved)
    if key is not None:
        own["idempotency_key"] = key
        own["key_digest"] = key_digest(request.spec.name, key)
        own["arguments_digest"] = arguments_digest(arguments)
    if (asked := kind.resolved.deduplicate) is not None:
        deduplication_key = deduplication_key_of(request, asked)
        own["deduplication_mode"], own["deduplication_key"] = asked.mode, deduplication_key
        own["deduplication_digest"] = deduplication_digest(request.spec.name, deduplication_key, arguments)
        own["deduplication_slot"] = HOLDER
    return own


def _row(using: str, columns: Mapping[str, Any], own: dict[str, Any]) -> Job:
    """Return a row with these values, at a twentieth of the price of Job(...), which sets each column by itself."""
    job = Job.__new__(Job)
    state = ModelState()
    state.db, state.adding = using, False
    job.__dict__ = {**columns, **own, "_state": state}
    return job


def _store(using: str, drafts: Sequence[NewJob]) -> list[Job]:
    # Where a draft has no row of its own: the row that it came to.
    instead: dict[UUID, Job] = {}
    # As they are now: a row that makes way for another while it is stored becomes that other one.
    ids = [draft.job.id for draft in drafts]
    remaining = [draft for draft in drafts if draft.template.unique is not DEDUPLICATION]
    if len(remaining) < len(drafts):
        instead |= store_deduplicated(using, [draft for draft in drafts if draft.template.unique is DEDUPLICATION])
    for _ in range(TRIES):
        stored, others = insert(using, remaining)
        if stored:
            created = [draft.job for draft in stored]
            ring_on_commit(using, bells_of_new(created), created)
        remaining = _find_winners(using, others, instead) if others else []
        if not remaining:
            jobs = [draft.job for draft in drafts]
            return [instead.get(id, job) for id, job in zip(ids, jobs, strict=True)] if instead else jobs
    job = remaining[0].job
    raise EnqueueRace(f"The idempotency key {job.idempotency_key!r} of {job.name!r} kept vanishing.")


def _find_winners(using: str, drafts: Sequence[NewJob], jobs: dict[UUID, Job]) -> list[NewJob]:
    """Put the rows that have the drafts' keys into `jobs`; return the drafts that are to be tried again."""
    digests = [draft.job.key_digest for draft in drafts if draft.job.key_digest is not None]
    found = holders(using, digests)
    if expired := [digest for digest, holder in found.items() if holder.expired]:
        free_expired_keys(using, expired)
        # Read anew: while we waited, somebody else may have freed the key and taken it.
        found = holders(using, digests)
    again: list[NewJob] = []
    for draft in drafts:
        job = draft.job
        assert job.key_digest is not None
        holder = found.get(job.key_digest)
        if holder is None:
            again.append(draft)
        else:
            jobs[job.id] = _given_back(holder.job, job)
    return again


def _given_back(winner: Job, loser: Job) -> Job:
    same = winner.arguments_digest is not None and bytes(winner.arguments_digest) == loser.arguments_digest
    if not same and get_settings().IDEMPOTENCY_CHECKS_ARGUMENTS:
        raise IdempotencyConflict(
            f"The idempotency key {loser.idempotency_key!r} of {loser.name!r} belongs to job {winner.id}, which has "
            f"other arguments: {_shown(winner)}, not {_shown(loser)}."
        )
    winner.created = False
    return winner


def _shown(job: Job) -> str:
    """Return the beginning of a call for a message, without what is sensitive."""
    call = shown_call(job.name, *decode_call(job.arguments))
    return json.dumps(call, ensure_ascii=False, separators=(",", ":"))[:200]


def _chunks(requests: Iterable[JobRequest]) -> Iterable[list[JobRequest]]:
    every_request = iter(requests)
    while chunk := list(islice(every_request, CHUNK)):
        if foreign := [each for each in chunk if not isinstance(each, JobRequest)]:
            raise InvalidArguments(
                "enqueue_many() takes requests, which the handle of a job makes: send_mail.request(7). "
                f"Not {shown(foreign[0])}."
            )
        yield chunk


async def aenqueue_many(requests: Iterable[JobRequest]) -> list[Job]:
    """Store any number of jobs; see `enqueue_many`."""
    return await sync_to_async(enqueue_many)(requests)
