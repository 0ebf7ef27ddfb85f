"""The router of the page on several databases, and one that sends readers to the replica."""

from typing import Any

from django.db.models import Model


class Apart:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "jobs" if app_label == "django_jobs" else db != "jobs"

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "django_jobs" else None
