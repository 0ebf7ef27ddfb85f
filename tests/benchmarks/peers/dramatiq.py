"""Dramatiq on Redis with django_dramatiq, whose AdminMiddleware keeps a row for each message."""

import os
import sys

import django
import redis
from django.apps import apps
from django.core.management import call_command

from tests.benchmarks import client

if not apps.models_ready:
    django.setup()

import dramatiq
from django_dramatiq.models import Task

BODIES = {body.__name__: dramatiq.actor(body) for body in (client.empty, client.io)}


class Dramatiq(client.Peer):
    def prepare(self) -> None:
        call_command("migrate", verbosity=0)

    def clear(self) -> None:
        redis.Redis.from_url(os.environ["BENCHMARK_REDIS"]).flushdb()
        Task.tasks.all().delete()

    def enqueue(self, body: str, number: int) -> None:
        BODIES[body].send(number)

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        command = [sys.executable, "-m", "dramatiq", "django_dramatiq.setup", __name__]
        return [[*command, "--processes", str(processes), "--threads", str(concurrency)]]

    def finished(self) -> int:
        return Task.tasks.filter(status=Task.STATUS_DONE).count()


PEER = Dramatiq
