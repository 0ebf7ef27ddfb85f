"""No queue at all: the same rows of the same table, written by a driver that does nothing else.

What is left is the database, so nothing that keeps such rows can be faster.

python -m tests.benchmarks.peers.bare drains them in a loop.
"""

import json
import os
import sys
import time
from collections.abc import Sequence

import psycopg

from tests.benchmarks import client
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
AT_ONCE = 500
CLAIM = (
    "UPDATE django_jobs_job SET state = 'running', fence = fence + 1, started_at = now() WHERE id = ANY(ARRAY("
    "SELECT id FROM django_jobs_job WHERE queue_name = 'default' AND NOT suspect AND state = 'ready' "
    "ORDER BY rank, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)) RETURNING id, arguments"
)
SUCCEED = (
    "UPDATE django_jobs_job SET state = 'successful', finished_at = now() WHERE id = ANY(%s) AND state = 'running'"
)


def connect() -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(os.environ["DJANGO_JOBS_TEST_DATABASE"], autocommit=True)


class Bare(Ours):
    def __init__(self) -> None:
        self.connection = connect()

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
        return [[sys.executable, "-m", "tests.benchmarks.peers.bare"]] * processes


def drain() -> None:
    """Drain for ever: two statements and a commit for so many jobs at once, and bodies that do nothing."""
    connection = connect()
    claimed: list[tuple[object, ...]] = []
    while True:
        with connection.transaction():
            if claimed:
                connection.execute(SUCCEED, [[id for id, _ in claimed]])
            claimed = connection.execute(CLAIM, [AT_ONCE]).fetchall()
        for _, arguments in claimed:
            client.empty(json.loads(str(arguments))[0][0])
        if not claimed:
            time.sleep(0.01)


def _arguments(number: int) -> str:
    return json.dumps([[number], {}])


PEER = Bare

if __name__ == "__main__":
    drain()
