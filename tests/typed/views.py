"""Where jobs are enqueued, waited for, looked at and steered."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import assert_type
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse

from django_jobs import (
    Fixed,
    Job,
    JobCancelled,
    JobFailed,
    JobFunction,
    JobRequest,
    aenqueue_many,
    cancel,
    enqueue_many,
    queues,
    remove,
    reprioritize,
    reschedule,
    retry,
    run_now,
)
from tests.typed import jobs, tasks


def enqueue(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        added = jobs.add.enqueue(1, two=2)
        assert_type(added, Job[int])
        assert_type(jobs.forget.enqueue(), Job[None])
        assert_type(jobs.price.enqueue("you", date(2026, 1, 2)), Job[str])
        # The context is not passed.
        assert_type(jobs.count.enqueue([1, 2], start=3), Job[int])
        assert_type(jobs.look_twice.enqueue("a"), Job[str])
        assert_type(jobs.guarded.enqueue("a"), Job[str])
        # The item of a batch, not the list.
        assert_type(jobs.measure.enqueue("abc"), Job[int])
        assert_type(jobs.note_all.enqueue(kind="good"), Job[None])
    return JsonResponse({"id": str(added.pk), "created": added.created})


def wait(request: HttpRequest) -> HttpResponse:
    job = jobs.add.using(run_after=0).enqueue(1)
    try:
        total = job.wait(timeout=10)
    except TimeoutError:
        return HttpResponse("not yet known")
    except (JobFailed, JobCancelled) as error:
        return HttpResponse(str(error))
    assert_type(total, int)
    assert_type(job.return_value, int)
    assert_type(jobs.introduce.enqueue().wait(), str | None)
    return HttpResponse(str(total + 1))


async def await_it(request: HttpRequest) -> HttpResponse:
    job = await jobs.think.aenqueue(1.5)
    assert_type(job, Job[bool])
    assert_type(await job.await_result(timeout=10), bool)
    assert_type(await (await jobs.look_twice.using(priority=1).aenqueue("a")).await_result(10), str)
    assert_type(await jobs.think(0.5), bool)
    return HttpResponse(str(await jobs.think.acall(0.5)))


def change_options() -> Job[int]:
    handle = jobs.add.using(
        queue_name="mail",
        priority=10,
        lifo=True,
        run_after=timedelta(minutes=5),
        expires=datetime.now().astimezone() + timedelta(hours=1),
        max_attempts=5,
        backoff=Fixed(timedelta(seconds=2)),
        timeout=1.5,
        idempotency_key="add 1",
        idempotency_ttl=60,
        metadata={"order": 7},
        keep=timedelta(days=1),
    )
    assert_type(handle(1), int)
    assert_type(handle.request(1, 2), JobRequest)
    return handle.using(idempotency_key=None, run_after=None).enqueue(1)


def many() -> list[Job]:
    def requests() -> Iterator[JobRequest]:
        yield jobs.add.request(1)
        yield jobs.count.using(queue_name="mail").request([1], start=2)
        yield jobs.measure.request("anything", at=2)

    return enqueue_many(requests())


async def many_at_once() -> int:
    return len(await aenqueue_many([jobs.add.request(number) for number in range(3)]))


def look(job_id: str) -> dict[str, object]:
    job = jobs.add.get_result(job_id)
    assert_type(job, Job[int])
    some = Job.objects.filter(pk=UUID(job_id)).first()
    assert some is not None
    # Nobody can know what it returns; `result` may be anything.
    assert_type(some.wait(1), object)
    total: int = some.result
    return {
        "state": job.state.title(),
        "status": job.status.title(),
        "finished": job.is_finished,
        "attempt": job.attempt + 1,
        "since": job.enqueued_at.isoformat(),
        "attempts": [each.outcome.title() + each.error_class.title() for each in job.attempts.all()],
        "errors": len(job.error) + len(job.errors) + len(job.worker_ids),
        "queue": job.queue_name.title(),
        "args": len(job.args) + len(job.kwargs),
        "failed": Job.objects.failed().count(),
        "gold": [each.name for each in Job.objects.with_metadata(plan="gold").scheduled()],
        "total": total,
    }


def steer(job: Job) -> int:
    moved = cancel(job, reason="Not needed.") + retry(job.pk) + run_now([job]) + reprioritize(job, 5)
    moved += reschedule(Job.objects.scheduled(), timedelta(hours=1)) + remove(Job.objects.cancelled())
    queue = queues["mail"]
    queue.pause()
    counts = queue.counts()
    queue.resume()
    return moved + counts.ready


def run_here(function: JobFunction[..., int]) -> int:
    return function(1)


def use_tasks() -> str:
    result = tasks.greet.enqueue("you")
    result.refresh()
    assert_type(tasks.shout.using(priority=5).enqueue("you", copies=2).is_finished, bool)
    assert_type(tasks.attempt_of.enqueue(more=1).attempts, int)
    return result.return_value if result.is_finished else result.id
