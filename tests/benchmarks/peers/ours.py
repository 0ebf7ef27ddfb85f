"""django_jobs itself."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import django
import redis
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now

from tests.benchmarks import client

if not apps.models_ready:
    django.setup()

from django_jobs import Job, enqueue_many, job
from django_jobs.models import Chore
from django_jobs.transports import get_transport

BODIES: dict[str, Any] = {"empty": job(client.empty), "io": job(client.io), "aio": job(client.aio)}
# Ids in the order of time, as the product makes them, from long ago.
OLD_ID = "lpad(to_hex(1600000000000000 + n), 32, '0')::uuid"


class Ours(client.Peer):
    def prepare(self) -> None:
        call_command("migrate", verbosity=0)

    def clear(self) -> None:
        models = ["job", "attempt", "worker", "chore"]
        with connection.cursor() as cursor:
            for name in models:
                empty = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
                cursor.execute(f"{empty} django_jobs_{name}")
        if address := os.environ.get("BENCHMARK_REDIS"):
            redis.Redis.from_url(address).flushdb()
        if settings.DJANGO_JOBS["TRANSPORT"] != "database:":
            # Said to be complete, as it is: there are no jobs.
            get_transport().open()

    def enqueue(self, body: str, number: int) -> None:
        BODIES[body].enqueue(number)

    def enqueue_many(self, body: str, numbers: Sequence[int]) -> None:
        enqueue_many([BODIES[body].request(number) for number in numbers])

    def enqueue_in_transaction(self, body: str, numbers: Sequence[int]) -> None:
        with transaction.atomic():
            for number in numbers:
                BODIES[body].enqueue(number)

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        command = [sys.executable, "-m", "django", "runworkers", "--no-autoreload"]
        return [[*command, "--processes", str(processes), "--concurrency", str(concurrency)]]

    def finished(self) -> int:
        return Job.objects.successful().count()

    def fill_finished(self, count: int) -> None:
        """Copy the last finished job so often, with ids of its own."""
        columns = [str(field.column) for field in Job._meta.concrete_fields if field.column != "id"]
        names = ", ".join(connection.ops.quote_name(column) for column in columns)
        pattern = Job.objects.successful().order_by("pk").last()
        assert pattern is not None
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {Job.table()} (id, {names}) SELECT {OLD_ID}, {names} "
                f"FROM {Job.table()}, generate_series(1, %s) AS n WHERE id = %s",
                [count, pattern.pk],
            )

    def let_expire(self) -> None:
        Job.objects.successful().update(keep_until=Now())
        # Whoever comes first does the chore at once.
        Chore.objects.update_or_create(name="prune", defaults={"due_at": Now()})
        with connection.cursor() as cursor:
            # As a database that has been at rest for a while.
            cursor.execute(f"VACUUM ANALYZE {Job.table()}")


PEER = Ours
