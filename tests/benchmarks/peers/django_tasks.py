"""Django's own Tasks framework with the database backend, django-tasks-db."""

import sys

import django
from django.apps import apps
from django.core.management import call_command

from tests.benchmarks import client

if not apps.models_ready:
    django.setup()

from django.tasks import task
from django_tasks_db.models import DBTaskResult


@task
def empty(number: int) -> None:
    client.empty(number)


@task
def io(number: int) -> None:
    client.io(number)


BODIES = {"empty": empty, "io": io}


class DjangoTasks(client.Peer):
    def prepare(self) -> None:
        call_command("migrate", verbosity=0)

    def clear(self) -> None:
        DBTaskResult.objects.all().delete()

    def enqueue(self, body: str, number: int) -> None:
        BODIES[body].enqueue(number)

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        """It runs one job at a time, whatever the concurrency."""
        return [[sys.executable, "-m", "django", "db_worker", "--no-startup-delay", "--no-reload"]] * processes

    def finished(self) -> int:
        return DBTaskResult.objects.successful().count()


PEER = DjangoTasks
