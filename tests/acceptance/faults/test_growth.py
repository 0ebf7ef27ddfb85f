"""The short look; the long one is a command: python -m tests.acceptance.faults growth --jobs 1000000"""

import pytest

from django_jobs import enqueue_many
from tests.acceptance.faults.growth import LATE_CONNECTIONS, MOST_BYTES, Size, growth, size_of
from tests.conftest import StartWorkers
from tests.project.jobs import add
from tests.waiting import wait_until
from tests.worker.watching import all_successful, living_workers

FEW = 300


def test_what_grows_is_told():
    small = Size(jobs=1, memory=0, descriptors=5, threads=5)
    large = Size(jobs=2, memory=MOST_BYTES + 1, descriptors=6 + LATE_CONNECTIONS, threads=6)
    assert growth("worker", [small, small]) == []
    assert len(growth("worker", [small, large])) == 3


@pytest.mark.django_db(transaction=True)
def test_a_worker_opens_no_more_files_and_threads_with_every_job(start_workers: StartWorkers):
    workers = start_workers("--concurrency", "4")
    (child,) = living_workers()
    sizes = []
    for number in range(6):
        all_successful(enqueue_many([add.request(1, 1) for _ in range(FEW)]))
        sizes.append([size_of(pid, number * FEW) for pid in (child.pid, workers.process.pid)])
    # The threads of chores and bodies open what they need one after the other, and two that ask Redis at the same time
    # for the first time need a connection more. SQLite has a file more for the moment of a transaction.
    earlier = sizes[-3]

    def hardly_more() -> bool:
        present = [size_of(pid, 6 * FEW) for pid in (child.pid, workers.process.pid)]
        return all(
            now.descriptors <= before.descriptors + LATE_CONNECTIONS and now.threads <= before.threads
            for now, before in zip(present, earlier, strict=True)
        )

    # A file for each of the jobs since then would be hundreds.
    assert wait_until(hardly_more, what=f"hardly more files and no more threads than in {earlier}")
