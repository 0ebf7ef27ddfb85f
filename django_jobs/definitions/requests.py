"""A request: "please create this job". Everyone who gives birth to a job makes one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from django_jobs.conf import JobsSettings, get_settings
from django_jobs.definitions.annotations import asks_for_types, read_arguments
from django_jobs.definitions.deduplication import Deduplicate, check_key
from django_jobs.definitions.keeping import StoredKeep, stored_keep
from django_jobs.definitions.metadata import Fact
from django_jobs.definitions.options import OPTION_NAMES, UNSET, JobOptions, make_options
from django_jobs.definitions.queues import OF_THE_QUEUE, job_values
from django_jobs.definitions.registry import DEFAULT_QUEUE, JobSpec, check_queue_name
from django_jobs.definitions.retries import DEFAULT_BACKOFF, Backoff
from django_jobs.errors import InvalidArguments, InvalidOption

# What a queue cannot say for all of its jobs.
_OF_ONE_CALL = ("queue_name", "idempotency_key", "deduplicate")

NO_HEADERS: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class JobRequest:
    """A call that is to become a job; not stored yet. Frozen it would take three times as long."""

    spec: JobSpec
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: JobOptions
    # What middleware sends along from where the job is enqueued to where it runs; JSON.
    headers: Mapping[str, Any] = field(default_factory=lambda: NO_HEADERS)

    def __post_init__(self) -> None:
        spec = self.spec
        try:
            are_read = check_fit(spec, len(self.args), tuple(self.kwargs))
        except TypeError as error:
            raise InvalidArguments(f"{spec.name}{spec.signature} cannot be called like this: {error}.") from None
        if are_read:
            # Of no use but to fail here, and not in the worker.
            read_arguments(spec, spec.signature.bind(*self.args, **self.kwargs))
        if self.options.queue_name is not UNSET:
            check_queue_name(str(self.options.queue_name))

    def with_headers(self, **headers: Any) -> "JobRequest":
        """Return a copy that carries these headers beside those that it has."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedOptions:
    """What holds for one job after all layers had their say. Durations in seconds."""

    queue_name: str
    priority: int
    lifo: bool
    run_after: datetime | float | None
    expires: datetime | float | None
    max_attempts: int
    # None: the function's own callable decides.
    backoff: Backoff | None
    # None: none.
    timeout: float | None
    max_stalls: int
    # None: any number.
    max_starts: int | None
    max_payload_bytes: int
    idempotency_key: str | None
    idempotency_ttl: float | None
    # None: the settings' ages decide when the job ends.
    keep: StoredKeep | None
    metadata: Mapping[str, Fact] | None
    deduplicate: Deduplicate | None


def resolve(request: JobRequest) -> ResolvedOptions:
    """Return the options of a request, call before function before queue before settings; whatever its arguments are.

    So they are the same for all requests of one spec with the same options.
    """
    spec, options, settings = request.spec, request.options, get_settings()
    queue_name = next(
        (each for each in (options.queue_name, spec.options.queue_name) if isinstance(each, str)), DEFAULT_QUEUE
    )
    merged = _below_the_call(spec, queue_name, settings).overlaid(options)
    deduplicate = _or(merged.deduplicate, None)
    if deduplicate is not None and (merged.idempotency_key is not UNSET or spec.key_function is not None):
        raise InvalidOption(
            f"{spec.name} has an idempotency_key and deduplicate, which contradict each other: the one promises the "
            "row for good, the other only for a while. Leave one of them out."
        )
    own_backoff = spec.backoff_function is not None and options.backoff is UNSET
    return ResolvedOptions(
        queue_name=queue_name,
        priority=_or(merged.priority, 0),
        lifo=_or(merged.lifo, False),
        run_after=_or(merged.run_after, None),
        expires=_expiry(spec, merged),
        max_attempts=_or(merged.max_attempts, settings.MAX_ATTEMPTS),
        backoff=None if own_backoff else _or(merged.backoff, DEFAULT_BACKOFF),
        timeout=_or(merged.timeout, settings.TIMEOUT),
        max_stalls=_or(merged.max_stalls, settings.MAX_STALLS),
        max_starts=_or(merged.max_starts, None),
        max_payload_bytes=_or(merged.max_payload_bytes, settings.MAX_PAYLOAD_BYTES),
        idempotency_key=_or(merged.idempotency_key, None),
        idempotency_ttl=_or(merged.idempotency_ttl, None),
        keep=stored_keep(_or(merged.keep, None), settings),
        metadata=_or(merged.metadata, None),
        deduplicate=deduplicate,
    )


def key_of(request: JobRequest, options: ResolvedOptions) -> str | None:
    """Return the idempotency key of a request: the one that was given before the one that its function computes."""
    if options.idempotency_key is None and request.spec.key_function is not None:
        return _computed_key(request.spec.key_function, request)
    return options.idempotency_key


def deduplication_key_of(request: JobRequest, asked: Deduplicate) -> str | None:
    """Return the key of a request that is to be deduplicated; None where its arguments are the key."""
    function = request.spec.deduplication_key_function
    # A call that says it all itself has no part of what the decorator says.
    if function is None or request.options.deduplicate is not UNSET:
        return None if asked.key is None else str(asked.key)
    key = function(*request.args, **request.kwargs)
    return check_key(key, f"The deduplication key of @job {request.spec.name}")


def timeout_of(spec: JobSpec, settings: JobsSettings) -> float | None:
    """Return how many seconds the body of a job may take whose call says nothing. Raises InvalidOption."""
    queue_name = _or(spec.options.queue_name, DEFAULT_QUEUE)
    timeout: float | None = _or(_below_the_call(spec, queue_name, settings).timeout, settings.TIMEOUT)
    return timeout


def queue_options(settings: JobsSettings, queue_name: str) -> JobOptions:
    """Return what DJANGO_JOBS["QUEUES"] says for a queue. Raises InvalidOption."""
    values = job_values(settings, queue_name)
    whose = f"DJANGO_JOBS['QUEUES'][{queue_name!r}]"
    if not values.keys().isdisjoint(_OF_ONE_CALL):
        raise InvalidOption(f"{whose} cannot set QUEUE_NAME, IDEMPOTENCY_KEY or DEDUPLICATE.")
    known = [name.upper() for name in (*OPTION_NAMES, *OF_THE_QUEUE) if name not in _OF_ONE_CALL]
    return make_options(values, whose=whose, known=known)


@lru_cache(maxsize=4096)
def check_fit(spec: JobSpec, count: int, names: tuple[str, ...]) -> bool:
    """Raise TypeError unless a call fits, which the number of arguments and the names of the others decide.

    Tell whether its values are to be read as annotations say.
    """
    spec.signature.bind(*range(count), **dict.fromkeys(names))
    return asks_for_types(spec)


@lru_cache(maxsize=4096)
def _below_the_call(spec: JobSpec, queue_name: str, settings: JobsSettings) -> JobOptions:
    """The layers that are the same for every call."""
    return queue_options(settings, queue_name).overlaid(spec.options)


def _expiry(spec: JobSpec, options: JobOptions) -> datetime | float | None:
    """Return when a job expires. Raises InvalidOption for one that could never start: it would be lost in silence."""
    expires, run_after = options.expires, options.run_after
    if expires is UNSET:
        return None
    comparable = type(expires) is type(run_after)
    if comparable and expires <= run_after:  # type: ignore[operator]
        raise InvalidOption(
            f"{spec.name}: expires ({expires!r}) is not after run_after ({run_after!r}), so it could never start."
        )
    return expires


def _computed_key(function: Callable[..., str], request: JobRequest) -> str:
    whose = f"idempotency_key of @job {request.spec.name}"
    key = function(*request.args, **request.kwargs)
    checked = make_options({"idempotency_key": key}, whose=whose).idempotency_key
    if checked is UNSET:
        raise InvalidOption(f"{whose} returned None; it must return a text.")
    return str(checked)


def _or(value: Any, default: Any) -> Any:
    return default if value is UNSET else value
