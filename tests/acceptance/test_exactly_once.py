"""Atomic jobs while their workers are killed and paused at random: each leaves one effect, never two, never none.

Each run prints its seed and its story. The environment may say:

    DJANGO_JOBS_KILLS_SEED      the seed of an earlier run, to have its faults again
    DJANGO_JOBS_ATOMIC_KILLS    how many kills (20); the full test has 200
    DJANGO_JOBS_ATOMIC_JOBS     how many jobs (200; on SQLite 100); the full test has 2,000
"""

import os
import random
from collections import Counter

import pytest
from django.db import connection

from django_jobs import enqueue_many
from django_jobs.models import Job
from tests.acceptance.fleet import Fleet, wait_a_while
from tests.acceptance.jobs import leave_one_effect
from tests.conftest import StartWorkers
from tests.project.models import Effect
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# So many kills for a pause: pauses make workers come back to jobs that others have finished in the meantime.
KILLS_A_PAUSE = 5
# A random death may meet the same job again and again; that is not what is tested here.
NEVER_TOO_OFTEN = 10_000


def test_every_atomic_job_leaves_one_effect_whoever_is_killed(start_workers: StartWorkers):
    seed = int(os.environ.get("DJANGO_JOBS_KILLS_SEED", random.randrange(1_000_000)))
    print(f"DJANGO_JOBS_KILLS_SEED={seed}")
    chance = random.Random(seed)
    kills = int(os.environ.get("DJANGO_JOBS_ATOMIC_KILLS", 20))
    count = int(os.environ.get("DJANGO_JOBS_ATOMIC_JOBS", 100 if connection.vendor == "sqlite" else 200))
    fleet = Fleet(start_workers, 2, chance)
    kill = [fleet.kill_a_child] * 9 + [fleet.kill_a_supervisor]
    request = leave_one_effect.using(max_stalls=NEVER_TOO_OFTEN).request
    jobs: list[Job] = []
    for number in range(kills):
        share = count * (number + 1) // kills - len(jobs)
        jobs += enqueue_many(request(chance.choice((0, 0.02, 0.05, 0.1))) for _ in range(share))
        wait_a_while(Job.objects.running().exists)
        print(chance.choice(kill)(), flush=True)
        if number % KILLS_A_PAUSE == 0:
            wait_a_while(Job.objects.running().exists)
            print(fleet.pause_a_family(), flush=True)
    wait_until(lambda: not Job.objects.alive().exists(), 120, what="the end of all jobs")
    starts = sum(Job.objects.values_list("starts", flat=True))
    print(f"{count} jobs were started {starts} times; {fleet.count_said('ended too late')} ends came too late.")
    effects = Counter(Effect.objects.values_list("job_id", flat=True))
    assert effects == {job.pk: 1 for job in jobs}
    assert Job.objects.successful().count() == len(jobs) == count
    # The effect that is there is that of the attempt that the row tells of.
    told = {job.pk: str(job.result) for job in Job.objects.all()}
    assert {effect.job_id: effect.worker.split()[1] for effect in Effect.objects.all()} == told
    assert starts > count, "No body was interrupted, so nothing was shown."
