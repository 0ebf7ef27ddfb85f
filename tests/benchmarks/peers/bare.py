"""No queue at all: the same rows of the same table, written by a driver that does nothing else.

What is left is the database, so nothing that keeps such rows can be faster.
"""

import json
import os
import sys
from collections.abc import Sequence

import psycopg

from tests.benchmarks.peers.ours import Ours

VALUES = {
    "id": "gen_random_uuid()",
    "name": "%s",
    "queue_name": "'default'",
    "state": "'ready'",
    "arguments": "%s",
    "run_after": "now()",
    "enqueued_at": "now()",
    "rank": "%s",
    **dict.fromkeys(("priority", "fence", "attempt", "starts", "stalls", "duplicates"), "0"),
    **dict.fromkeys(("max_attempts", "max_stalls"), "1"),
    **dict.fromkeys(("lifo", "cancel_requested", "suspect"), "FALSE"),
    **dict.fromkeys(("backoff", "error", "headers", '"group"'), "''"),
}
NAMES = ", ".join(VALUES)
INSERT = f"INSERT INTO django_jobs_job ({NAMES}) VALUES ({', '.join(VALUES.values())})"
GIVEN = ("name", "arguments", "rank")
TYPES = {"name": "text", "arguments": "text", "rank": "bigint"}
INSERT_MANY = (
    f"INSERT INTO django_jobs_job ({NAMES}) "
    f"SELECT {', '.join(f'given.{name}' if name in GIVEN else value for name, value in VALUES.items())} "
    f"FROM unnest({', '.join(f'%s::{TYPES[name]}[]' for name in GIVEN)}) AS given({', '.join(GIVEN)})"
)


class Bare(Ours):
    def __init__(self) -> None:
        self.connection = psycopg.connect(os.environ["DJANGO_JOBS_TEST_DATABASE"], autocommit=True)

    def enqueue(self, body: str, number: int) -> None:
        self.connection.execute(INSERT, [body, _arguments(number), number])

    def enqueue_many(self, body: str, numbers: Sequence[int]) -> None:
        given = [body] * len(numbers), [_arguments(number) for number in numbers], list(numbers)
        self.connection.execute(INSERT_MANY, given)

    def enqueue_in_transaction(self, body: str, numbers: Sequence[int]) -> None:
        with self.connection.transaction():
            for number in numbers:
                self.enqueue(body, number)

    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        return [[sys.executable, "-m", "tests.benchmarks.peers.bare_worker"]] * processes


def _arguments(number: int) -> str:
    return json.dumps([[number], {}])


PEER = Bare
