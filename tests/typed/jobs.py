"""Jobs of each kind."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

from django_jobs import (
    Batch,
    BatchItem,
    Deduplicate,
    Exponential,
    Fixed,
    GiveUp,
    JobContext,
    Keep,
    RetryLater,
    Sandbox,
    current_job,
    job,
)
from tests.project.models import Effect


@job
def add(one: int, two: int = 1) -> int:
    return one + two


@job
async def think(seconds: float) -> bool:
    return seconds > 0


@job()
def forget() -> None:
    pass


def key_of(customer: str, day: date) -> str:
    return f"{customer} {day}"


@job(
    name="typed.price",
    aliases=["typed.cost"],
    sensitive=["customer"],
    queue_name="mail",
    priority=5,
    lifo=False,
    max_attempts=3,
    backoff=Exponential(1, maximum=60, jitter=0.5),
    retry_on=(OSError, TimeoutError),
    no_retry_on=KeyError,
    timeout=timedelta(seconds=30),
    expires=timedelta(days=1),
    max_stalls=1,
    max_starts=10,
    max_payload_bytes=10_000,
    idempotency_key=key_of,
    idempotency_ttl=timedelta(days=1),
    keep={"successful": Keep(3600, count=10), "failed": timedelta(days=90)},
    metadata={"kind": "price", "paid": True},
)
def price(customer: str, day: date) -> str:
    return str(Decimal(len(customer) * day.day))


def wait_longer(error: BaseException, context: JobContext) -> float | None:
    return None if isinstance(error, GiveUp) else 2.0 * context.attempt


@job(backoff=wait_longer, deduplicate=Deduplicate(key=str.lower, keep_last=True), keep=60)
def read(path: str) -> int:
    return len(path)


@job(takes_context=True)
def count(context: JobContext, numbers: list[int], *, start: int = 0) -> int:
    total = start
    for done, number in enumerate(numbers, start=1):
        context.raise_if_cancelled()
        context.progress(done, len(numbers))
        total += number
    context.log(f"counted {total}")
    context.save({"total": total})
    return total


@job(takes_context=True, max_attempts=2, backoff=Fixed(0))
async def look_twice(context: JobContext, text: str) -> str:
    if context.attempt == 1:
        raise RetryLater(0, "Once more.")
    await context.asave({"seen": text})
    return text.upper()


@job(atomic=True)
def leave_effect(kind: str) -> int:
    Effect.objects.create(job_id=uuid4(), worker=kind)
    return Effect.objects.filter(worker=kind).count()


@job(sandbox=Sandbox(memory_megabytes=512))
def guarded(text: str) -> str:
    return text


@job(sandbox=True, timeout=5)
def guarded_plainly() -> None:
    pass


@job(batch=Batch(size=10, wait=0))
def measure(items: list[BatchItem]) -> list[int]:
    return [len(str(item.args[0])) for item in items]


@job(batch=Batch(size=10, wait=0, alike="kind"))
async def note_all(items: list[BatchItem]) -> None:
    for item in items:
        if item.kwargs["kind"] == "bad":
            item.fail("It is bad.", retry=False)


@job
def introduce() -> str | None:
    running = current_job()
    return None if running is None else str(running.id)
