"""Jobs that run in batches; what each body was called with stands in the results."""

import fcntl
import os
from typing import Any

from asgiref.sync import sync_to_async

from django_jobs import Batch, BatchItem, Fixed, job
from tests.project.models import Effect


def leave_effects(items: list[BatchItem]) -> None:
    for item in items:
        Effect.objects.create(job_id=item.id, worker=str(os.getpid()))


@job(name="batches.count", batch=Batch(size=10, wait=3600), max_attempts=3, backoff=Fixed(0))
def count(items: list[BatchItem]) -> list[int]:
    """Tell each item how many there are."""
    leave_effects(items)
    return [len(items)] * len(items)


@job(name="batches.count_async", batch=Batch(size=10, wait=3600), max_attempts=3, backoff=Fixed(0))
async def count_async(items: list[BatchItem]) -> list[int]:
    await sync_to_async(leave_effects)(items)
    return [len(items)] * len(items)


@job(name="batches.soon", batch=Batch(size=10, wait=0.5))
def soon(items: list[BatchItem]) -> list[int]:
    return [len(items)] * len(items)


@job(name="batches.three", batch=Batch(size=10, wait=3600, minimum=3))
def three(items: list[BatchItem]) -> list[int]:
    return [len(items)] * len(items)


def region(order: int | str, *args: Any) -> Any:
    """Tell where an order is from; one who cannot tell is to end nobody else."""
    if order == "broken":
        raise LookupError("It has no region.")
    if order == "exit":
        raise SystemExit(3)
    return ["odd" if int(order) % 2 else "even"]


@job(name="batches.of_a_customer", batch=Batch(size=3, wait=3600, alike="customer"))
def of_a_customer(items: list[BatchItem]) -> list[Any]:
    """Tell each item whose items there are."""
    return [[item.kwargs["customer"] for item in items]] * len(items)


@job(name="batches.of_a_region", batch=Batch(size=3, wait=3600, alike=region))
def of_a_region(items: list[BatchItem]) -> list[Any]:
    """Tell each item which items there are."""
    return [[item.args[0] for item in items]] * len(items)


@job(name="batches.choosy", batch=Batch(size=3, wait=0.5), max_attempts=2, backoff=Fixed(0))
def choosy(items: list[BatchItem]) -> list[Any]:
    """Fail those that are to fail, in their first attempt or in each."""
    for item in items:
        if item.args[0] == "always" or (item.args[0] == "once" and item.attempt == 1):
            item.fail(f"It is one of those: {item.args[0]}.")
    return [item.attempt for item in items]


@job(name="batches.stay", batch=Batch(size=3, wait=3600), queue_name="batches")
def stay(items: list[BatchItem]) -> list[int]:
    """Run until nobody holds the lock of a file any more."""
    leave_effects(items)
    with open(items[0].args[0]) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    return [len(items)] * len(items)
