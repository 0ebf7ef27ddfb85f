"""Procrastinate on PostgreSQL, through its Django app."""

import sys
from collections.abc import Sequence

import django
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from tests.benchmarks import client, ledger

if not apps.models_ready:
    django.setup()

from procrastinate.contrib.django import app


async def empty(number: int) -> None:
    """Do nothing as a coroutine: a plain function costs Procrastinate a thread."""
    ledger.record(number)


BODIES = {
    "empty": app.task(name="empty")(empty),
    "io": app.task(name="io")(client.io),
    "aio": app.task(name="aio")(client.aio),
}


class Procrastinate(client.Peer):
    def prepare(self) -> None:
        call_command("migrate", verbosity=0)

    def clear(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE procrastinate_jobs CASCADE")

    def enqueue(self, body: str, number: int) -> None:
        BODIES[body].defer(number=number)

    def enqueue_many(self, body: str, numbers: Sequence[int]) -> None:
        BODIES[body].batch_defer(*({"number": number} for number in numbers))

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        command = [sys.executable, "-m", "django", "procrastinate", "worker", "--concurrency", str(concurrency)]
        return [command] * processes

    def finished(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'")
            return int(cursor.fetchone()[0])


PEER = Procrastinate
