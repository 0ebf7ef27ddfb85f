"""The indexes of the table of jobs: what each of them is for."""

from django.db.models import Index, Q

from django_jobs.models.indexes import PartialIndex

INDEXES: list[Index] = [
    # Claim by query, sweeps, counts of what waits.
    PartialIndex(
        name="django_jobs_ready",
        fields=("queue_name", "suspect", "rank", "id"),
        only=Q(state="ready"),
        otherwise=("queue_name", "state", "suspect", "rank", "id"),
    ),
    # Rescue and reconcile: what does this worker have?
    PartialIndex(
        name="django_jobs_owner",
        fields=("owner",),
        only=Q(state="running"),
        otherwise=("state", "owner"),
    ),
    # What waits and may expire: few rows, or none.
    PartialIndex(
        name="django_jobs_expiry",
        fields=("expires_at",),
        only=Q(state="ready", starts=0, expires_at__isnull=False),
        otherwise=("state", "starts", "expires_at"),
    ),
    # One row a key.
    PartialIndex(
        name="django_jobs_key",
        fields=("key_digest",),
        only=Q(key_digest__isnull=False),
        otherwise=("key_digest",),
        unique=True,
    ),
    # One holder a key, and those who wait for it.
    PartialIndex(
        name="django_jobs_deduplication",
        fields=("deduplication_digest", "deduplication_slot"),
        only=Q(deduplication_slot__isnull=False),
        otherwise=("deduplication_digest", "deduplication_slot"),
        unique=True,
    ),
    # Lists of what is rare, newest first. A job that succeeds is never in it.
    PartialIndex(
        name="django_jobs_rare",
        fields=("state", "id"),
        # Not IN: SQLite sees only in an OR that a single state is meant.
        only=Q(state="blocked") | Q(state="failed") | Q(state="cancelled"),
        otherwise=("state", "id"),
    ),
    # What has ended, by queue: to count it, and to find what is not to be kept any longer.
    PartialIndex(
        name="django_jobs_ended",
        fields=("queue_name", "state", "keep_until"),
        only=Q(keep_until__isnull=False),
        otherwise=("queue_name", "state", "keep_until"),
    ),
    # Those of which only so many are kept: the newest.
    PartialIndex(
        name="django_jobs_counted",
        fields=("keep_successful_count", "queue_name", "name", "state", "id"),
        only=Q(keep_successful_count__isnull=False),
        otherwise=("keep_successful_count", "queue_name", "name", "state", "id"),
    ),
]
