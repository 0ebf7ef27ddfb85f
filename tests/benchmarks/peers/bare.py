"""No queue at all: the same row of the same table by one INSERT and its commit, as fast as the driver can."""

import json
import os

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
INSERT = f"INSERT INTO django_jobs_job ({', '.join(VALUES)}) VALUES ({', '.join(VALUES.values())})"


class Bare(Ours):
    def __init__(self) -> None:
        self.connection = psycopg.connect(os.environ["DJANGO_JOBS_TEST_DATABASE"], autocommit=True)

    def enqueue(self, body: str, number: int) -> None:
        self.connection.execute(INSERT, [body, json.dumps([[number], {}]), number])


PEER = Bare
