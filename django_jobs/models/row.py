"""What all of our tables share: where their rows are."""

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

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


if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    # What the function of a job returns; open for a plain `Job`. Not Any: of a Job[Any] mypy forgets all fields.
    Result = TypeVarWithDefault("Result", covariant=True, default=object)

    class JobRow(Row, Generic[Result]):
        class Meta:
            abstract = True
else:
    # Nothing generic: it would stand among the bases in the migration.
    JobRow, Result = Row, Any
