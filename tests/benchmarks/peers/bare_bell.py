"""No queue, but a bell: after each row's commit whoever waits is woken through Redis, and claims it.

What a job that is kept needs at least between its enqueue and its start.
"""

import os

import redis

from tests.benchmarks.peers.bare import Bare
from tests.benchmarks.peers.bare_worker import BELL


class BareWithBell(Bare):
    def __init__(self) -> None:
        super().__init__()
        self.redis = redis.Redis.from_url(os.environ["BENCHMARK_REDIS"])

    def enqueue(self, body: str, number: int) -> None:
        super().enqueue(body, number)
        self.redis.lpush(BELL, 1)


PEER = BareWithBell
