"""Workers that are killed, paused, told to go, spoiled, or brought down by the jobs that they run."""

import os
import signal
from contextlib import suppress

from django_jobs.models import Job, JobQuerySet, Worker
from django_jobs.states import State
from django_jobs.transports import get_transport
from tests.acceptance.faults.jobs import hold_the_interpreter, kill_when_over, plain, poison
from tests.acceptance.faults.load import NEVER_TOO_OFTEN
from tests.acceptance.faults.scene import LIMIT, Scene, fault
from tests.acceptance.faults.stage import ORDERED
from tests.acceptance.fleet import LIMITS
from tests.waiting import wait_until

KILLS = 3


@fault()
def child_killed(scene: Scene) -> None:
    """SIGKILL for worker processes under their jobs, one after the other; their parents take the jobs back at once."""
    scene.times = KILLS
    for _ in range(KILLS):
        scene.load.enqueue(8)
        scene.until_running()
        scene.fleet.kill_a_child()


@fault()
def supervisor_killed(scene: Scene) -> None:
    """SIGKILL for a supervisor; its children end by themselves, and what they run goes back."""
    scene.load.may_hand_back = True
    scene.until_running()
    scene.fleet.kill_a_supervisor()


@fault()
def host_killed(scene: Scene) -> None:
    """SIGKILL for a supervisor and all its children at once, as when a machine loses its power."""
    scene.until_running()
    scene.fleet.kill_a_family()


@fault()
def child_paused(scene: Scene) -> None:
    """SIGSTOP for a worker process while its supervisor beats for it, and SIGCONT."""
    scene.until_running()
    child = scene.fleet.one_child()
    os.kill(child.pid, signal.SIGSTOP)
    scene.go_on(1.5 * LIMIT)
    with suppress(ProcessLookupError):  # on a busy machine so long that its supervisor has ended it
        os.kill(child.pid, signal.SIGCONT)


@fault()
def supervisor_paused(scene: Scene) -> None:
    """SIGSTOP for a supervisor beyond the limit: its children begin nothing more and are robbed, then SIGCONT."""
    scene.fleet.pause_a_supervisor()


@fault()
def host_paused(scene: Scene) -> None:
    """SIGSTOP for a supervisor and all its children beyond the limit, in the middle of jobs, then SIGCONT."""
    scene.fleet.pause_a_family()


@fault()
def rolling_deploy(scene: Scene) -> None:
    """A new command starts, an old one is told to end with hardly any time: what runs starts elsewhere."""
    scene.load.may_hand_back = True
    scene.until_running()
    scene.fleet.replace_one()


@fault()
def killed_after_the_end(scene: Scene) -> None:
    """SIGKILL in the moment between the end of a body and the writing of its outcome, or just after it."""
    requests = [
        kill_when_over.using(max_stalls=NEVER_TOO_OFTEN).request(scene.chance.choice((0.0, 0.0005, 0.002, 0.005)))
        for _ in range(2)
    ]
    scene.load.commit(requests)
    scene.until_some_ended()


@fault()
def poisoned(scene: Scene) -> None:
    """A job that kills the process of whoever runs it: it fails alone, as often as max_stalls says."""
    (bad,) = scene.load.commit([poison.using(max_stalls=2).request()])
    scene.load.allowed[bad.pk] = frozenset({State.FAILED})
    scene.go_on(0.3)


@fault()
def interpreter_held(scene: Scene) -> None:
    """A job keeps its whole process from doing anything for longer than the limit: nobody is declared dead for it."""
    (job,) = scene.load.commit([hold_the_interpreter.using(max_stalls=NEVER_TOO_OFTEN).request(1.5 * LIMIT)])
    wait_until(lambda: Job.objects.get(pk=job.pk).is_finished)


@fault()
def bodies_beyond_the_limit(scene: Scene) -> None:
    """Jobs that take much longer than a worker may be silent are left alone while it beats."""
    jobs = scene.load.commit([plain.using(max_stalls=NEVER_TOO_OFTEN).request(2.5 * LIMIT) for _ in range(2)])
    wait_until(lambda: all(Job.objects.get(pk=job.pk).is_finished for job in jobs))


@fault()
def output_full(scene: Scene) -> None:
    """The disk that worker processes write their output to is full: what they log of failures goes nowhere."""
    _work_beside(scene, {"DJANGO_JOBS_TEST_SPOILED": "tests.acceptance.faults.full_disk"})


@fault()
def clock_shifted(scene: Scene) -> None:
    """A host whose clock is hours wrong takes part; it starts nothing early and declares nobody dead."""
    shift = str(scene.chance.choice((-1, 1)) * 7200)
    spoil = {"DJANGO_JOBS_TEST_SPOILED": "tests.project.shifted_clock", "DJANGO_JOBS_TEST_SHIFT": shift}
    _work_beside(scene, spoil)


@fault()
def statements_collide(scene: Scene) -> None:
    """One in twenty writes of a worker to the table of jobs ends in a deadlock, as its database reports it."""
    _work_beside(scene, {"DJANGO_JOBS_TEST_SPOILED": "tests.acceptance.faults.collisions"})


@fault()
def killed_in_order(scene: Scene) -> None:
    """A worker of one job at a time is killed again and again: jobs still begin in the order of their ranks."""
    requests = [
        plain.using(queue_name=ORDERED, priority=scene.chance.choice((0, 10, 20)), max_stalls=NEVER_TOO_OFTEN).request(
            scene.chance.choice((0.0, 0.02))
        )
        for _ in range(25)
    ]
    # One by one: those of one INSERT have the same rank, and MariaDB has an order of its own for ids.
    ids = [job.pk for request in requests for job in scene.load.commit([request])]
    scene.load.in_order = list(Job.objects.filter(pk__in=ids).order_by("rank", "pk").values_list("pk", flat=True))
    # From the table: a bell that was not rung in time, on a busy machine, would be heard only with the next sweep.
    options = {**LIMITS, "TRANSPORT": "database:"}
    workers = scene.stage.start("--queue", ORDERED, "--concurrency", "1", options=options)
    ended = Job.objects.filter(pk__in=ids).ended()
    for share in (3, 10):
        _wait_for(ended, share)
        with suppress(ProcessLookupError):  # it is dead, and its parent has not said so yet
            os.kill(_child_of(workers.process.pid).pid, signal.SIGKILL)
    _wait_for(ended, len(ids))
    scene.stage.retire(workers)
    get_transport().forget(ORDERED)


def _wait_for(jobs: JobQuerySet, count: int) -> None:
    wait_until(lambda: jobs.count() >= count, what=f"{count} jobs")


def _work_beside(scene: Scene, environment: dict[str, str]) -> None:
    """Let a spoiled worker take part for a while, and end in good order."""
    scene.load.may_hand_back = True
    spoiled = scene.stage.start("--concurrency", "4", options=LIMITS, environment=environment)
    _child_of(spoiled.process.pid)
    scene.go_on(0.7)
    scene.stage.retire(spoiled)


def _child_of(supervisor: int) -> Worker:
    alive = Worker.objects.filter(supervisor_pid=supervisor, dead_at=None)
    found: Worker | None = wait_until(alive.first, what="a child of the command")
    assert found is not None
    return found
