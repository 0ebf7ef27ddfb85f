"""Huey on Redis."""

import os
import sys

from huey import RedisHuey

from tests.benchmarks import client

huey = RedisHuey("benchmarks", url=os.environ["BENCHMARK_REDIS"])
BODIES = {body.__name__: huey.task(name=body.__name__)(body) for body in (client.empty, client.io)}


class Huey(client.Peer):
    def prepare(self) -> None:
        """It has no tables."""

    def clear(self) -> None:
        huey.storage.conn.flushdb()

    def enqueue(self, body: str, number: int) -> None:
        BODIES[body](number)

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        command = [sys.executable, "-m", "huey.bin.huey_consumer", f"{__name__}.huey", "--worker-type", "thread"]
        return [[*command, "--workers", str(concurrency), "--quiet"]] * processes


PEER = Huey
