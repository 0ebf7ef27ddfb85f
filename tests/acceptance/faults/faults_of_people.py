"""People and producers who do things at the wrong moment."""

import random
import threading
from uuid import UUID

from django.db import Error as AnyDatabaseError
from django.db import transaction

from django_jobs import cancel, queues, reprioritize, run_now
from django_jobs.models import Job
from django_jobs.states import State
from tests.acceptance.faults.jobs import plain
from tests.acceptance.faults.load import NEVER_TOO_OFTEN, Rollback
from tests.acceptance.faults.scene import Scene, fault

PRODUCERS, KEYS, CALLS = 4, 8, 12


@fault()
def steered_at_random(scene: Scene) -> None:
    """Jobs are cancelled, hurried and reordered, and the queue is paused, while they start, run and end."""
    queue = queues["default"]
    for _ in range(10):
        scene.load.enqueue(3)
        jobs = list(scene.load.jobs())
        some = [job.pk for job in scene.chance.sample(jobs, min(3, len(jobs)))]
        match scene.chance.choice(("cancel", "run now", "reprioritize", "pause")):
            case "cancel":
                for id in some:
                    scene.load.allowed[id] = frozenset({State.SUCCESSFUL, State.CANCELLED, State.FAILED})
                cancel(some)
            case "run now":
                run_now(some)
            case "reprioritize":
                reprioritize(some, scene.chance.randint(-100, 100))
            case "pause":
                queue.pause()
                scene.go_on(0.05)
                queue.resume()
    queue.resume()


@fault()
def keys_storm(scene: Scene) -> None:
    """Producers ask for the same few keys at once, a third of them roll back, and a worker is killed meanwhile."""
    wins: list[tuple[str, UUID]] = []
    threads = [
        threading.Thread(target=_produce, args=(scene, random.Random(scene.chance.random()), wins))
        for _ in range(PRODUCERS)
    ]
    for each in threads:
        each.start()
    scene.until_running()
    scene.fleet.kill_a_child()
    for each in threads:
        each.join()
    stored = dict(wins)
    assert len(set(wins)) == len(stored), f"A key has several jobs: {sorted(set(wins))}"
    assert Job.objects.filter(pk__in=stored.values()).count() == len(stored)
    scene.load.committed |= set(stored.values())


def _produce(scene: Scene, chance: random.Random, wins: list[tuple[str, UUID]]) -> None:
    with scene.stage.connection():
        for _ in range(CALLS):
            key = f"storm-{scene.load.name}-{chance.randrange(KEYS)}"
            request = plain.using(idempotency_key=key, max_stalls=NEVER_TOO_OFTEN)
            try:
                with transaction.atomic():
                    job = request.enqueue(0.01, key)
                    if chance.random() < 0.3:
                        raise Rollback
            except Rollback:
                continue
            except AnyDatabaseError:
                continue  # a deadlock, which MariaDB gives to one of those who wait: the caller may try again
            wins.append((key, job.pk))
