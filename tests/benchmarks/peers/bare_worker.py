"""Drains the rows without a queue: two statements and a commit for so many at once, and bodies that do nothing."""

import json
import os
import time

import psycopg
import redis

from tests.benchmarks import client

AT_ONCE = 500
BELL = "bare_bell"
CLAIM = (
    "UPDATE django_jobs_job SET state = 'running', fence = fence + 1, started_at = now() WHERE id = ANY(ARRAY("
    "SELECT id FROM django_jobs_job WHERE queue_name = 'default' AND NOT suspect AND state = 'ready' "
    "ORDER BY rank, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)) RETURNING id, arguments"
)
SUCCEED = (
    "UPDATE django_jobs_job SET state = 'successful', finished_at = now() WHERE id = ANY(%s) AND state = 'running'"
)


def drain() -> None:
    """Drain for ever; with Redis, wait for the bell while there is nothing."""
    server = redis.Redis.from_url(address) if (address := os.environ.get("BENCHMARK_REDIS")) else None
    connection = psycopg.connect(os.environ["DJANGO_JOBS_TEST_DATABASE"], autocommit=True)
    claimed: list[tuple[object, ...]] = []
    while True:
        with connection.transaction():
            if claimed:
                connection.execute(SUCCEED, [[id for id, _ in claimed]])
            claimed = connection.execute(CLAIM, [AT_ONCE]).fetchall()
        for _, arguments in claimed:
            client.empty(json.loads(str(arguments))[0][0])
        if not claimed and server is not None:
            server.blpop([BELL], timeout=1)
        elif not claimed:
            time.sleep(0.01)


if __name__ == "__main__":
    drain()
