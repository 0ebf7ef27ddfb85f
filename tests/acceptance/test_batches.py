"""When a whole machine dies while jobs wait for their batch."""

import pytest

from tests.conftest import StartWorkers
from tests.project.batches import count
from tests.rows import fresh
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

KNOWS = {"DJANGO_JOBS_TEST_IMPORTS": "tests.project.batches"}
LIMITS = {"HEARTBEAT_SECONDS": 0.5, "DEAD_AFTER_SECONDS": 2}


def test_those_who_waited_for_their_batch_are_blamed_by_nobody(start_workers: StartWorkers):
    workers = start_workers(options=LIMITS, environment=KNOWS)
    jobs = [count.enqueue(number) for number in range(2)]
    wait_until(lambda: all(fresh(job).owner for job in jobs), what="members that wait")
    owners = {fresh(job).owner for job in jobs}
    workers.kill()
    start_workers(options=LIMITS, environment=KNOWS)
    wait_until(lambda: all(fresh(job).owner not in {None, *owners} for job in jobs), what="another worker")
    assert {(row.attempt, row.starts, row.stalls, row.suspect) for row in map(fresh, jobs)} == {(1, 1, 0, False)}
