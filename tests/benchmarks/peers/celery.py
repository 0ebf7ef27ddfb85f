"""Celery on Redis: plain, and with django-celery-results, which writes a row for each job when it starts."""

import json
import os
import sys

import redis
from celery import Celery

from tests.benchmarks import client

OPTIONS = json.loads(os.environ["BENCHMARK_OPTIONS"])
REDIS = os.environ["BENCHMARK_REDIS"]
KEEPS_ROWS = "apps" in OPTIONS

app = Celery("benchmarks", broker=REDIS, set_as_current=True)
app.conf.update(OPTIONS["celery"])
BODIES = {body.__name__: app.task(body, name=body.__name__) for body in (client.empty, client.io)}


class CeleryPeer(client.Peer):
    def __init__(self) -> None:
        # The client is started again after servers have counted.
        if KEEPS_ROWS:
            import django

            django.setup()

    def prepare(self) -> None:
        if KEEPS_ROWS:
            from django.core.management import call_command

            call_command("migrate", verbosity=0)

    def clear(self) -> None:
        redis.Redis.from_url(REDIS).flushdb()
        if KEEPS_ROWS:
            from django_celery_results.models import TaskResult

            TaskResult.objects.all().delete()

    def enqueue(self, body: str, number: int) -> None:
        BODIES[body].delay(number)

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        command = [sys.executable, "-m", "celery", "-A", __name__, "worker", "--loglevel", "ERROR"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        if concurrency == 1:
            return [[*command, "--pool", "prefork", "--concurrency", str(processes)]]
        threads = ["--pool", "threads", "--concurrency", str(concurrency)]
        return [[*command, *threads, "--hostname", f"w{index}@%h"] for index in range(processes)]

    def finished(self) -> int | None:
        if not KEEPS_ROWS:
            return None
        from django_celery_results.models import TaskResult

        return TaskResult.objects.filter(status="SUCCESS").count()


PEER = CeleryPeer
