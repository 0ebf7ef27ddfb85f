"""No queue at all: the same row of the same table by one INSERT and its commit, as fast as the driver can."""

import json

from django.db import connection

from tests.benchmarks.peers.ours import Ours


class Bare(Ours):
    def prepare(self) -> None:
        super().prepare()
        connection.ensure_connection()
        columns = {
            "id": "gen_random_uuid()",
            "name": "%s",
            "queue_name": "'default'",
            "state": "'ready'",
            "arguments": "%s",
            "run_after": "now()",
            "enqueued_at": "now()",
            "rank": "%s",
            **dict.fromkeys(("priority", "fence", "attempt", "starts", "stalls"), "0"),
            **dict.fromkeys(("max_attempts", "max_stalls"), "1"),
            **dict.fromkeys(("lifo", "cancel_requested", "suspect"), "FALSE"),
            **dict.fromkeys(("backoff", "error", '"group"'), "''"),
        }
        self.statement = f"INSERT INTO django_jobs_job ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"

    def enqueue(self, body: str, number: int) -> None:
        # The driver's own connection: neither Django's cursor nor its bookkeeping stands in between.
        connection.connection.execute(self.statement, [body, json.dumps([[number], {}]), number])


PEER = Bare
