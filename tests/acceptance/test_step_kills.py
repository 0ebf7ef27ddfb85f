"""Bodies in four steps, killed with SIGKILL at every point at which anything differs: each goes on where it was."""

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

pytestmark = pytest.mark.django_db(transaction=True)

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
    jobs = enqueue_many(function.request(point) for point in range(1, points + 1))
    wait_until(lambda: not Job.objects.alive().exists(), 180, what=f"the end of {points} jobs")
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.starts) == (State.SUCCESSFUL, 2), job
        assert [step.name for step in job.steps.all()] == NAMES
        assert_goes_on(job, atomic)
    assert not Step.objects.filter(unused=True).exists()


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
