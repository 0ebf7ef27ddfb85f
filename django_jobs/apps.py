"""Wiring only: find the projects' jobs modules, register the checks."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from django_jobs.conf import task_aliases


class DjangoJobsConfig(AppConfig):
    name = "django_jobs"
    verbose_name = _("Jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_jobs import checks

        checks.register()
        autodiscover_modules("jobs")
        if task_aliases():
            from django_jobs import backend

            backend.discover()
