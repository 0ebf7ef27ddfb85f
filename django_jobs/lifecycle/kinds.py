"""What the options of a call come to as columns of a row: found out once for all calls that say the same."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from django_jobs.conf import JobsSettings, get_settings
from django_jobs.definitions.keeping import StoredKeep
from django_jobs.definitions.metadata import metadata_text
from django_jobs.definitions.options import JobOptions
from django_jobs.definitions.registry import JobSpec
from django_jobs.definitions.requests import JobRequest, ResolvedOptions, resolve
from django_jobs.definitions.retries import to_text
from django_jobs.models import Job
from django_jobs.transitions.drafts import Template

# What is enqueued one by one mostly has options that were said once; those of a call of its own are not worth a place.
MOST_KNOWN = 256
# Every column of the row, as long as nothing was said.
_DEFAULTS = {field.attname: field.get_default() for field in Job._meta.concrete_fields}
_known: dict[tuple[int, int], "Kind"] = {}


@dataclass(eq=False)
class Kind:
    """The requests that share function, options and settings."""

    spec: JobSpec
    options: JobOptions
    settings: JobsSettings
    resolved: ResolvedOptions
    template: Template

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the row is stored, and no key can be in its way."""
        return self.template.unique is None and not self.template.metadata

    @cached_property
    def template_with_headers(self) -> Template:
        return replace(self.template, own=(*self.template.own, "headers"))


def kind_of(request: JobRequest) -> Kind:
    """Return the kind of a request. Raises InvalidOption."""
    spec, options, settings = request.spec, request.options, get_settings()
    kind = _known.get((id(spec), id(options)))
    # It keeps them, so no others have their ids.
    if kind is None or kind.spec is not spec or kind.options is not options or kind.settings is not settings:
        resolved = resolve(request)
        kind = Kind(spec, options, settings, resolved, _template(spec, resolved))
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[id(spec), id(options)] = kind
    return kind


def _template(spec: JobSpec, options: ResolvedOptions) -> Template:
    own, key_seconds, held_seconds = ["id", "arguments"], None, None
    if spec.key_function is not None or options.idempotency_key is not None:
        own += ["idempotency_key", "key_digest", "arguments_digest"]
        key_seconds = options.idempotency_ttl
    if (asked := options.deduplicate) is not None:
        own += ["deduplication_mode", "deduplication_key", "deduplication_digest", "deduplication_slot"]
        held_seconds = asked.ttl if isinstance(asked.ttl, float) else None
    return Template(
        _columns(spec, options),
        tuple(own),
        delay=options.run_after if isinstance(options.run_after, float) else None,
        expires_after=options.expires if isinstance(options.expires, float) else None,
        key_seconds=key_seconds,
        held_seconds=held_seconds,
        metadata=options.metadata or None,
    )


def _columns(spec: JobSpec, options: ResolvedOptions) -> Mapping[str, Any]:
    """Return all columns of a row: those that the options fill, and the defaults."""
    return _DEFAULTS | {
        "name": spec.name,
        "queue_name": options.queue_name,
        "priority": options.priority,
        "lifo": options.lifo,
        "run_after": options.run_after if isinstance(options.run_after, datetime) else None,
        "max_attempts": options.max_attempts,
        "expires_at": options.expires if isinstance(options.expires, datetime) else None,
        "timeout": options.timeout,
        "max_stalls": options.max_stalls,
        "max_starts": options.max_starts,
        "backoff": to_text(options.backoff),
        "metadata_text": metadata_text(options.metadata) if options.metadata else None,
        **_keep_columns(options.keep),
    }


def _keep_columns(keep: StoredKeep | None) -> dict[str, int | None]:
    return {} if keep is None else {f"keep_{name}": value for name, value in asdict(keep).items()}
