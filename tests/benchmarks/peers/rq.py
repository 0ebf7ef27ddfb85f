"""RQ on Redis, with its SimpleWorker: the default one forks for each job."""

import os
import sys
from collections.abc import Sequence

import redis
from rq import Queue

from tests.benchmarks import client

BODIES = {"empty": client.empty, "io": client.io}


class RQ(client.Peer):
    def __init__(self) -> None:
        self.redis = redis.Redis.from_url(os.environ["BENCHMARK_REDIS"])
        self.queue = Queue("benchmarks", connection=self.redis)

    def prepare(self) -> None:
        """It has no tables."""

    def clear(self) -> None:
        self.redis.flushdb()

    def enqueue(self, body: str, number: int) -> None:
        self.queue.enqueue(BODIES[body], number)

    def enqueue_many(self, body: str, numbers: Sequence[int]) -> None:
        self.queue.enqueue_many([Queue.prepare_data(BODIES[body], (number,)) for number in numbers])

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        """It runs one job at a time, whatever the concurrency."""
        url = os.environ["BENCHMARK_REDIS"]
        command = [sys.executable, "-m", "rq.cli", "worker", "--url", url, "--worker-class", "rq.SimpleWorker"]
        return [[*command, "--quiet", "benchmarks"]] * processes


PEER = RQ
