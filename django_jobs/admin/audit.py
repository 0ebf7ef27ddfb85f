"""Who did what to which rows: kept where the admin keeps it, in its log."""

from collections.abc import Collection
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest

# What is done to more than a page of rows at once is one entry, which says how many they were.
MOST_ENTRIES = 100


def record(request: HttpRequest, rows: QuerySet[Any], keys: Collection[object], told: str) -> None:
    """Log what was done to the rows with these keys, so that the history of each tells it."""
    user: Any = request.user.pk
    if len(keys) <= MOST_ENTRIES:
        LogEntry.objects.log_actions(user, rows.filter(pk__in=keys), CHANGE, told)
        return
    LogEntry.objects.create(
        user_id=user,
        content_type=ContentType.objects.get_for_model(rows.model),
        object_repr=f"{len(keys)} {rows.model._meta.verbose_name_plural}",
        action_flag=CHANGE,
        change_message=told,
    )
