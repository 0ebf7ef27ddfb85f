"""The job: one row, the truth about it."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.definitions.arguments import decode_call
from django_jobs.definitions.identifiers import uuid7
from django_jobs.definitions.metadata import Fact
from django_jobs.definitions.progress import Progress, from_text
from django_jobs.models import awaiting, history
from django_jobs.models.fields import DigestField, NameField
from django_jobs.models.job_indexes import INDEXES
from django_jobs.models.job_queryset import JobQuerySet
from django_jobs.models.row import JobRow, JobsManager, Result
from django_jobs.states import ENDED, STATUS, State

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from django_jobs.models.attempt import Attempt
    from django_jobs.models.report import LogLine
    from django_jobs.models.step import Step

# The deduplication slot of the row that holds its key.
HOLDER = UUID(int=0)

JobManager = JobsManager.from_queryset(JobQuerySet)


class Job(JobRow[Result]):
    """One job. Written by the verbs alone: saving a changed instance would pass by every guard."""

    id: "models.Field[UUID, UUID]" = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name: "models.Field[str, str]" = NameField(_("name"), max_length=200)
    queue_name: "models.Field[str, str]" = NameField(_("queue"), max_length=100)
    state: "models.Field[str, str]" = NameField(_("state"), max_length=10, choices=State.choices, default=State.READY)

    # Order and time. `rank` is computed from the three before it, see definitions/rank.py.
    priority: "models.Field[int, int]" = models.SmallIntegerField(_("priority"), default=0)
    lifo = models.BooleanField(_("last in, first out"), default=False)
    run_after: "models.Field[datetime, datetime]" = models.DateTimeField(_("run after"))
    rank = models.BigIntegerField(editable=False)
    # What has not been started by then never is.
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    enqueued_at: "models.Field[datetime, datetime]" = models.DateTimeField(_("enqueued at"))
    started_at: "models.Field[datetime | None, datetime | None]" = models.DateTimeField(
        _("started at"), null=True, blank=True
    )
    finished_at: "models.Field[datetime | None, datetime | None]" = models.DateTimeField(
        _("finished at"), null=True, blank=True
    )

    # Ownership. `fence` only grows; a write that carries an old one changes nothing. `owner` is the worker that has the
    # job, or of one that has ended the worker of its last attempt; nobody has what waits.
    owner = models.UUIDField(_("worker"), null=True, blank=True)
    fence = models.IntegerField(default=0, editable=False)
    timeout = models.FloatField(_("timeout"), null=True, blank=True)
    deadline_at = models.DateTimeField(_("deadline"), null=True, blank=True)
    # While it is set, `error` holds the reason that was given.
    cancel_requested = models.BooleanField(_("cancel requested"), default=False)
    cancel_requested_at = models.DateTimeField(_("cancel requested at"), null=True, blank=True)
    # Workers died under this job: it starts alone, in a process of its own, until it ends cleanly.
    suspect = models.BooleanField(_("suspect"), default=False)

    # Counters.
    attempt: "models.Field[int, int]" = models.PositiveSmallIntegerField(_("attempt"), default=0)
    max_attempts: "models.Field[int, int]" = models.PositiveSmallIntegerField(_("most attempts"), default=1)
    starts = models.PositiveIntegerField(_("starts"), default=0)
    max_starts = models.PositiveIntegerField(_("most starts"), null=True, blank=True)
    stalls = models.PositiveSmallIntegerField(_("stalls"), default=0)
    max_stalls = models.PositiveSmallIntegerField(_("most stalls"), default=3)
    backoff = models.CharField(_("backoff"), max_length=200, blank=True, default="")

    group: "models.Field[str, str]" = NameField(_("group"), max_length=200, blank=True, default="")

    # The call and what came of it. JSON as text: a jsonb column would change numbers and the order of keys.
    arguments = models.TextField(_("arguments"))
    # What middleware sent along, as JSON; empty for nothing.
    headers = models.TextField(_("headers"), blank=True, default="")
    metadata_text = models.TextField(_("metadata"), null=True, blank=True)  # noqa: DJ001 (None: has none)
    result_text = models.TextField(_("result"), null=True, blank=True)  # noqa: DJ001 (None: nothing was returned)
    error: "models.Field[str, str]" = models.CharField(_("error"), max_length=500, blank=True, default="")

    # Idempotency: the digest is unique, the text stands beside it for people.
    idempotency_key = models.TextField(_("idempotency key"), null=True, blank=True)  # noqa: DJ001 (None: has no key)
    key_digest = DigestField(null=True, editable=False)
    key_expires_at = models.DateTimeField(_("key expires at"), null=True, blank=True)
    arguments_digest = DigestField(null=True, editable=False)

    # Retention. The rules are stored where something else than the settings decides; see definitions/keeping.py.
    keep_successful = models.BigIntegerField(null=True, editable=False)
    keep_failed = models.BigIntegerField(null=True, editable=False)
    keep_successful_count = models.IntegerField(null=True, editable=False)
    keep_failed_count = models.IntegerField(null=True, editable=False)
    # Set when the job ends, and then only: every row with it has ended.
    keep_until = models.DateTimeField(_("kept until"), null=True, blank=True)

    # Deduplication. Of the rows with one digest the one with the slot zero holds the key. A row whose slot is its own
    # id does not: it waits for the key, or its time ran out. None: it gave the key back at its end.
    deduplication_mode = NameField(_("deduplication"), max_length=40, null=True, blank=True)
    deduplication_key = models.TextField(_("deduplication key"), null=True, blank=True)  # noqa: DJ001 (None: arguments)
    deduplication_digest = DigestField(null=True, editable=False)
    deduplication_slot = models.UUIDField(null=True, editable=False)
    deduplication_expires_at = models.DateTimeField(_("deduplicates until"), null=True, blank=True)
    # How often a call was not stored because this row was there, or was stored and made way for it.
    duplicates = models.PositiveIntegerField(_("duplicates"), default=0)

    # Set by enqueue alone: False when a key gave back a row that was there before.
    created: bool = True

    attempts: "RelatedManager[Attempt]"
    steps: "RelatedManager[Step]"

    # A manager; only mypy's plugin could tell what a class that is made at run time has.
    objects: ClassVar[JobQuerySet] = JobManager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        # Jobs are enqueued and steered, never added, changed or deleted by hand: one permission a verb.
        default_permissions = ("view",)
        permissions = [
            ("cancel_job", _("Can cancel jobs")),
            ("remove_job", _("Can remove jobs")),
            ("reprioritize_job", _("Can change the priority of jobs")),
            ("retry_job", _("Can run jobs again")),
            ("run_now_job", _("Can run scheduled jobs now")),
            ("view_payload", _("Can view arguments and results of jobs")),
        ]
        indexes = INDEXES

    def __str__(self) -> str:
        return f"{self.name} {self.id}"

    @property
    def args(self) -> list[Any]:
        return decode_call(self.arguments)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        return decode_call(self.arguments)[1]

    @property
    def result(self) -> Any:
        """What the function returned, or None."""
        return None if self.result_text is None else json.loads(self.result_text)

    @property
    def metadata(self) -> dict[str, Fact]:
        """The facts by which the job can be looked for."""
        facts: dict[str, Fact] = json.loads(self.metadata_text or "{}")
        return facts

    @property
    def is_finished(self) -> bool:
        return self.state in ENDED

    # It reads like the TaskResult of Django's Tasks framework.

    @property
    def status(self) -> str:
        """The state in Django's four words: READY, RUNNING, SUCCESSFUL, FAILED; a cancelled job has failed."""
        return STATUS.get(self.state, "READY")

    @property
    def return_value(self) -> Result:
        """What the function returned. Raises ValueError for a job that has not succeeded."""
        if self.state != State.SUCCESSFUL:
            raise ValueError("Task failed" if self.is_finished else "Task has not finished yet")
        result: Result = self.result
        return result

    @property
    def last_attempted_at(self) -> datetime | None:
        """When the newest attempt began; None as long as there was none."""
        return self.started_at

    @property
    def errors(self) -> list[history.JobError]:
        """What went wrong, the oldest first: an error of each attempt, and one of ours where none was the reason."""
        return history.errors(self, history.attempts(self))

    @property
    def worker_ids(self) -> list[str]:
        """The worker of each attempt; an empty text where no record of it is kept."""
        return history.worker_ids(self, history.attempts(self))

    def refresh(self) -> None:
        """Read the row again."""
        awaiting.refresh(self)

    async def arefresh(self) -> None:
        """Read the row again; see `refresh`."""
        await sync_to_async(self.refresh)()

    def wait(self, timeout: float | None = None) -> Result:
        """Wait until the job has ended, at most `timeout` seconds, and return its result.

        Looks at the row, at first after milliseconds and then once a second. Raises JobFailed, JobCancelled,
        TimeoutError (the job goes on), DoesNotExist if the job is removed, and TransactionManagementError inside of
        a transaction, where the end could never be seen.
        """
        result: Result = awaiting.wait(self, timeout)
        return result

    async def await_result(self, timeout: float | None = None) -> Result:
        """Wait as `wait` does. However many jobs a process awaits, it asks for all of them at once."""
        result: Result = await awaiting.await_result(self, timeout)
        return result

    @property
    def progress(self) -> Progress | None:
        """How far the newest start of the job has said that it has come; None if it has said nothing."""
        report = getattr(self, "report", None)
        if report is None or report.fence < self.fence or not report.progress_text:
            return None
        return from_text(report.progress_text)

    @property
    def log(self) -> list["LogLine"]:
        """What all attempts have logged, the oldest line first, as far as it is kept."""
        report = getattr(self, "report", None)
        return [] if report is None else report.lines

    @property
    def data(self) -> dict[str, Any]:
        """What the job has saved last for its later attempts."""
        saved = getattr(self, "saved_data", None)
        return {} if saved is None else json.loads(saved.text)

    def is_scheduled(self, now: datetime) -> bool:
        """Tell whether the job waits for its time at `now`."""
        return self.state == State.READY and self.run_after > now

    def phase(self, now: datetime) -> str:
        """Return the state, told finer: a job whose time has not come at `now` is scheduled, or retrying."""
        if not self.is_scheduled(now):
            return str(self.state)
        return "retrying" if self.attempt else "scheduled"

    @classmethod
    def table(cls) -> str:
        return cls._meta.db_table

    @property
    def short_id(self) -> str:
        """The end of the id: the beginning is the time, which neighbours share."""
        return UUID(str(self.id)).hex[-8:]
