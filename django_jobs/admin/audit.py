"""Who did what to which rows: kept where the admin keeps it, in its log."""

from collections.abc import Sequence

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

# What is done to more than a page of rows at once is one entry, which says how many they were.
MOST_ENTRIES = 100


def record(request: HttpRequest, rows: Sequence[Model], told: str) -> None:
    """Log what was done to these rows, so that the history of each tells it."""
    LogEntry.objects.log_actions(request.user.pk, rows, CHANGE, told)  # type: ignore[arg-type]


def record_many(request: HttpRequest, model: type[Model], how_many: int, told: str) -> None:
    """Log what was done to many rows of a model, in one entry."""
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(model),
        object_repr=f"{how_many} {model._meta.verbose_name_plural}",
        action_flag=CHANGE,
        change_message=told,
    )
