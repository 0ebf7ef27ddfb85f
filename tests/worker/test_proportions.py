"""Queues by weight and in strict order, counted with real workers on every transport."""

from collections import Counter
from itertools import groupby
from typing import Any
from uuid import uuid4

import pytest

from django_jobs import enqueue_many
from django_jobs.transports import get_transport
from tests.conftest import StartWorkers
from tests.project.jobs import leave_effect_slowly
from tests.project.models import Effect
from tests.worker.watching import all_successful

pytestmark = pytest.mark.django_db(transaction=True)

TRANSPORTS = pytest.mark.parametrize("transport", [None, "database:"], ids=["of the run", "database"])
JOBS = 60
# Without weights a worker fetches ahead what it can do in 200 ms: of jobs of no time, all there are of a queue.
NOT_FETCHED_AHEAD = 0.03


@pytest.fixture(autouse=True)
def no_stale_bells(settings: Any) -> None:
    """Bells of jobs that are gone, of other tests, would take the turns of those that are there."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "PREFIX": f"proportions_{uuid4().hex}"}
    get_transport().open()


def order_of_starts(
    start_workers: StartWorkers, transport: str | None, *arguments: str, seconds: float = 0.0
) -> list[str]:
    """Run as many jobs of each of two queues in one worker, one at a time; return the queues in order of the starts."""
    handles = [leave_effect_slowly.using(queue_name=name) for name in ("default", "mail")]
    jobs = enqueue_many([handle.request(seconds) for handle in handles for _ in range(JOBS)])
    options: dict[str, Any] = {} if transport is None else {"TRANSPORT": transport}
    start_workers("--concurrency", "1", *arguments, options=options)
    all_successful(jobs)
    queues = {job.pk: job.queue_name for job in jobs}
    return [queues[id] for id in Effect.objects.order_by("pk").values_list("job_id", flat=True)]


@TRANSPORTS
def test_while_both_have_work_a_queue_of_weight_5_gets_five_starts_where_one_of_weight_1_gets_one(
    start_workers: StartWorkers, transport: str | None
):
    queues = order_of_starts(start_workers, transport, "--queue", "mail=5", "--queue", "default=1")
    while_both = Counter(queues[:JOBS])
    assert abs(while_both["mail"] - JOBS * 5 / 6) <= 5
    assert while_both["default"] >= 5
    assert Counter(queues) == {"mail": JOBS, "default": JOBS}


@TRANSPORTS
def test_in_strict_order_nothing_of_a_queue_starts_while_one_before_it_has_work(
    start_workers: StartWorkers, transport: str | None
):
    queues = order_of_starts(start_workers, transport, "--strict", "--queue", "mail", "--queue", "default")
    assert [name for name, _ in groupby(queues)] == ["mail", "default"]


@TRANSPORTS
def test_without_weights_no_queue_starves(start_workers: StartWorkers, transport: str | None):
    each_queue = ("--queue", "mail", "--queue", "default")
    queues = order_of_starts(start_workers, transport, *each_queue, seconds=NOT_FETCHED_AHEAD)
    assert min(Counter(queues[:JOBS]).values()) >= JOBS / 4
