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
    if not rows:
        return
    if len(rows) > MOST_ENTRIES:
        record_many(request, type(rows[0]), len(rows), told, flag=flag)
        return
    user: Any = request.user.pk
    LogEntry.objects.log_actions(user, rows, flag, told)  # type: ignore[arg-type]


def record_many(request: HttpRequest, model: type[Model], count: int, told: str, *, flag: int = CHANGE) -> None:
    """Log what was done to many rows as one entry; the filter that chose them is part of it."""
    filters = request.GET.urlencode()
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(model),
        object_repr=f"{grouped(count)} {model._meta.verbose_name_plural}",
        action_flag=flag,
        change_message=f"{told} (?{filters})" if filters else told,
    )
