"""Bodies in four steps, killed with SIGKILL at every point at which anything differs: each goes on where it was.

Each run takes some of the points, by a seed that it prints. The environment may say:

    DJANGO_JOBS_KILLS_SEED      the seed of an earlier run, to have its points again
    DJANGO_JOBS_KILLS_POINTS    how many points (5); 1000 is all of them
"""

import os
import random
from collections import Counter

import pytest

from django_jobs import enqueue_many
from django_jobs.models import Job, Step
from django_jobs.states import State
from tests.acceptance.jobs import four_async_steps, four_steps
from tests.conftest import StartWorkers
from tests.project.models import Effect
from tests.waiting import wait_until
from tests.worker.watching import end_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

NAMES = [f"step {number}" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("function", "atomic"), [(four_steps, {"step 2", "step 4"}), (four_async_steps, set())], ids=["def", "async def"]
)
def test_a_body_that_is_killed_anywhere_goes_on_after_its_last_step(start_workers: StartWorkers, function, atomic):
    start_workers("--processes", "2", "--concurrency", "1")
    unharmed = end_of(function.enqueue(0))
    assert effects_of(unharmed) == [(name, 1) for name in NAMES]
    points = unharmed.result
    assert points >= 12
    some = chosen(range(1, points + 1))
    # With one stall each is alone from its own death on, so that none of a neighbour starts it once more.
    lonely = function.using(max_stalls=1)
    jobs = enqueue_many(lonely.request(point) for point in some)
    wait_until(lambda: not Job.objects.alive().exists(), 180, what=f"the end of {len(some)} jobs")
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.starts) == (State.SUCCESSFUL, 2), job
        assert [step.name for step in job.steps.all()] == NAMES
        assert_goes_on(job, atomic)
    assert not Step.objects.filter(unused=True).exists()


def chosen(points: range) -> list[int]:
    seed = int(os.environ.get("DJANGO_JOBS_KILLS_SEED", random.randrange(1_000_000)))
    print(f"DJANGO_JOBS_KILLS_SEED={seed}")
    count = int(os.environ.get("DJANGO_JOBS_KILLS_POINTS", 5))
    return random.Random(seed).sample(points, min(count, len(points)))


def assert_goes_on(job: Job, atomic: set[str]) -> None:
    """Each step is done, in order; one at most is done twice, the one that was cut off, and never an atomic one."""
    done = effects_of(job)
    first, second = ([name for name, start in done if start == number] for number in (1, 2))
    assert first == NAMES[: len(first)], done
    assert second == NAMES[len(NAMES) - len(second) :], done
    assert {*first, *second} == set(NAMES), done
    twice = {name for name, count in Counter(name for name, _ in done).items() if count > 1}
    assert len(twice) <= 1, done
    assert not twice & atomic, done


def effects_of(job: Job) -> list[tuple[str, int]]:
    """Return the steps whose effects are there, and in which start of the body they were done."""
    texts = Effect.objects.filter(job_id=job.pk).order_by("pk").values_list("worker", flat=True)
    return [(text.split(" ", 1)[1].rpartition(" ")[0], int(text.rpartition(" ")[2])) for text in texts]
