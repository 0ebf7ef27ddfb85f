"""Thousands of jobs while their workers are killed and paused at random: nothing is lost, nothing is written too late.

Each run prints its seed and its story. The environment may say:

    DJANGO_JOBS_KILLS_SEED      the seed of an earlier run, to have its faults again
    DJANGO_JOBS_KILLS_FAULTS    how many faults (10); a long run has thousands
    DJANGO_JOBS_KILLS_JOBS      how many jobs between two faults (84; on SQLite 17)
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection

from django_jobs import JobRequest, enqueue_many
from django_jobs.models import Attempt, Job
from django_jobs.states import State
from django_jobs.transports import get_transport
from tests.acceptance.fleet import Fleet, wait_a_while
from tests.acceptance.jobs import stumble, work, work_async
from tests.conftest import StartWorkers
from tests.project.models import Effect
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

TOO_LATE = "ended too late"
MOST_ATTEMPTS = 3
# A random death may meet the same job again and again; that is not what is tested here.
NEVER_TOO_OFTEN = 10_000
LOOKED_BACK_AT = 2000
MOST_PAUSES_MORE = 20


def number(name: str, default: int) -> int:
    return int(os.environ.get(f"DJANGO_JOBS_KILLS_{name}", default))


def requests(count: int, chance: random.Random) -> Iterator[JobRequest]:
    for _ in range(count):
        seconds = chance.choice((0, 0, 0, 0.02, 0.04, 0.08))
        if chance.random() < 0.2:
            # In one of four cases there is no attempt that succeeds.
            yield stumble.using(max_stalls=NEVER_TOO_OFTEN).request(seconds, chance.randint(1, MOST_ATTEMPTS + 1))
        else:
            yield chance.choice((work, work_async)).using(max_stalls=NEVER_TOO_OFTEN).request(seconds)


def final_rows(jobs: list[Job]) -> dict[UUID, list[Any]]:
    """Return the rows of those that have ended, with what must never change again."""
    names = ("state", "fence", "attempt", "starts", "stalls", "owner", "started_at", "finished_at", "result_text")
    rows = Job.objects.ended().filter(enqueued_at__gte=jobs[0].enqueued_at).values_list("pk", *names, "error")
    return {id: values for id, *values in rows}


@pytest.fixture(autouse=True)
def keys_of_our_own(settings: Any) -> None:
    """What is left in Redis in the end shall be ours."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "PREFIX": f"kills_{uuid4().hex}"}


def test_jobs_survive_workers_that_are_killed_and_paused_at_random(start_workers: StartWorkers):
    seed = number("SEED", random.randrange(1_000_000))
    print(f"DJANGO_JOBS_KILLS_SEED={seed}")
    chance = random.Random(seed)
    jobs_a_fault = number("JOBS", 17 if connection.vendor == "sqlite" else 84)
    fleet = Fleet(start_workers, 2, chance)
    deck = [fleet.kill_a_child] * 10 + [fleet.pause_a_family] * 5 + [fleet.pause_a_supervisor] * 4
    deck += [fleet.pause_a_child] * 3 + [fleet.kill_a_supervisor] * 2
    chance.shuffle(deck)
    faults = list(islice(cycle(deck), number("FAULTS", 10)))
    jobs: list[Job] = []
    final: dict[UUID, list[Any]] = {}

    def live_through(fault: Callable[[], str]) -> None:
        jobs.extend(enqueue_many(requests(jobs_a_fault, chance)))
        wait_a_while(Job.objects.running().exists)
        print(fault(), flush=True)
        # The oldest are looked at again in the end.
        final.update(assert_nothing_final_changed(final, jobs[-LOOKED_BACK_AT:]))

    for fault in faults:
        live_through(fault)
    # A pause shows a fence only if a body ended in it, which on a busy machine may be none of so few.
    for _ in range(MOST_PAUSES_MORE):
        if fleet.count_said(TOO_LATE):
            break
        live_through(fleet.pause_a_family)
    wait_until(lambda: not Job.objects.alive().exists(), what="the end of all jobs")
    final.update(assert_nothing_final_changed(final, jobs))
    assert final.keys() == {job.pk for job in jobs}
    assert_every_start_is_explained()
    wait_until(is_transport_clean, what="nothing is left in Redis")
    print(f"{(too_late := fleet.count_said(TOO_LATE))} outcomes came too late.")
    assert_nothing_final_changed(final, jobs)
    assert too_late, "No outcome came too late, so nothing was shown of fences: pause more often, or longer."


def assert_nothing_final_changed(before: dict[UUID, list[Any]], jobs: list[Job]) -> dict[UUID, list[Any]]:
    """Return the rows that have ended now; those that had ended before are as they were."""
    now = final_rows(jobs)
    for job in jobs:
        assert job.pk not in before or now.get(job.pk) == before[job.pk], f"{job} had ended, and was changed."
    return now


def assert_every_start_is_explained() -> None:
    begins = Counter(Effect.objects.filter(worker__contains=" begins ").values_list("job_id", flat=True))
    ends = set(Effect.objects.filter(worker__contains=" ends ").values_list("job_id", flat=True))
    stalled: Counter[UUID] = Counter()
    recorded: dict[UUID, list[int]] = {}
    for id, attempt, outcome in Attempt.objects.order_by("number", "pk").values_list("job_id", "number", "outcome"):
        if outcome == "stalled":
            stalled[id] += 1
        else:
            recorded.setdefault(id, []).append(attempt)
    for job in Job.objects.all():
        wished = job.args[1] if job.name == stumble.name else 1
        assert job.state == (State.SUCCESSFUL if wished <= MOST_ATTEMPTS else State.FAILED), job.error
        assert job.attempt == min(wished, MOST_ATTEMPTS), job
        assert recorded.get(job.pk, []) == (list(range(1, job.attempt + 1)) if wished > 1 else []), job
        # What was not counted as an attempt was cut off by a death, or handed back by an orphan.
        assert job.attempt + stalled[job.pk] <= job.starts <= job.fence, job
        assert job.attempt <= begins[job.pk] <= job.fence, job
        if job.state == State.SUCCESSFUL:
            assert job.pk in ends
            # Written by the one that ran under the row's last claim.
            assert job.result == job.fence, job
        assert (job.owner is None, job.suspect) == (False, False), job


def is_transport_clean() -> bool:
    """Tell whether the server keeps nothing but its epoch, marks to wake somebody, and last answers that expire."""
    server = getattr(get_transport(), "_server", None)
    if server is None:
        return True
    start = f"{{{settings.DJANGO_JOBS['PREFIX']}:1}}:"

    def left(client: Any) -> set[str]:
        keys = {key.decode() for key in client.scan_iter(f"{start}*")}
        kept = {key for key in keys if key.removeprefix(start).partition(":")[0] in ("epoch", "wake", "wake-process")}
        return {key for key in keys - kept if not (key.startswith(f"{start}batch:") and client.ttl(key) > 0)}

    found = server.ask(left)
    print(f"Left in Redis: {found}")
    return not found
