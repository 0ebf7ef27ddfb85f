"""Who did what to which rows: kept where the admin keeps it, in its log."""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

from django_jobs.admin.read_only import grouped

# What is done to more than a page of rows at once is one entry, which says how many they were.
MOST_ENTRIES = 100


def record(request: HttpRequest, rows: Sequence[Model], told: str, *, flag: int = CHANGE) -> None:
    """Log what was done to these rows, so that the history of each tells it."""
    user: Any = request.user.pk
    if len(rows) <= MOST_ENTRIES:
        LogEntry.objects.log_actions(user, rows, flag, told)
    else:
        finish(begin(request, type(rows[0]), told, flag=flag), len(rows), told)


def begin(request: HttpRequest, model: type[Model], told: str, *, flag: int = CHANGE) -> LogEntry:
    """Log what is about to be done to many rows, as one entry, which is there even if the rest is cut off."""
    user: Any = request.user.pk
    content_type = ContentType.objects.get_for_model(model)
    name = str(model._meta.verbose_name_plural)
    return LogEntry.objects.create(
        user_id=user, content_type=content_type, object_repr=name, action_flag=flag, change_message=told
    )


def finish(entry: LogEntry, count: int, told: str) -> None:
    """Tell in the entry what came of it."""
    entry.object_repr = f"{grouped(count)} {entry.object_repr}"
    entry.change_message = told
    entry.save(update_fields=["object_repr", "change_message"])
