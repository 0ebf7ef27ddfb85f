"""What all of our tables share: where their rows are."""

from typing import Any, ClassVar, TypeVar

from django.db import models

from django_jobs.conf import get_settings

AnyRow = TypeVar("AnyRow", bound=models.Model)


class JobsManager(models.Manager[AnyRow]):
    """Asks the database that DJANGO_JOBS names, whatever routers say: a replica learns of a change too late."""

    def get_queryset(self) -> models.QuerySet[AnyRow]:
        rows = super().get_queryset()
        return rows if self._db else rows.using(get_settings().DATABASE)


class Row(models.Model):
    """A row of ours."""

    objects: ClassVar[JobsManager[Any]] = JobsManager()

    class Meta:
        abstract = True
        # Reading a row again, and what belongs to it, asks there too.
        base_manager_name = "objects"

    def __class_getitem__(cls, parameters: object) -> "type[Row]":
        return cls
