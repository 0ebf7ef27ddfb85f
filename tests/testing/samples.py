"""Jobs as an application has them. What they did stands in the table of groups, by name."""

from contextlib import suppress
from datetime import date
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.utils import translation

from django_jobs import (
    Batch,
    CancelJob,
    Exponential,
    Fixed,
    JobContext,
    RetryLater,
    Snooze,
    compat,
    current_job,
    enqueue_many,
    job,
)
from django_jobs.errors import GiveUp

task: Any = compat.task


def effects() -> list[str]:
    """Return what jobs did, in order."""
    return list(Group.objects.order_by("pk").values_list("name", flat=True))


@job(name="testing.write")
def write(name: str) -> str:
    Group.objects.create(name=name)
    return name.upper()


@job(name="testing.awrite")
async def awrite(name: str) -> str:
    await Group.objects.acreate(name=name)
    return name.upper()


@job(name="testing.mail", queue_name="mail", sensitive=["password"])
def mail(address: str, copies: int = 1, *, password: str = "") -> None:
    Group.objects.create(name=address)


@job(name="testing.remind")
def remind(day: date, *tags: str, **facts: Any) -> None: ...


@job(name="testing.fail", max_attempts=3, backoff=Exponential(60, jitter=0))
def fail(name: str) -> None:
    Group.objects.create(name=f"{name} {job_attempt()}")
    raise ValueError(f"{name} is wrong.")


@job(name="testing.afail")
async def afail(name: str) -> None:
    await Group.objects.acreate(name=name)
    raise ValueError(f"{name} is wrong.")


@job(name="testing.break_transaction")
def break_transaction(name: str) -> None:
    Group.objects.create(name=name)
    Group.objects.create(name=name)


@job(name="testing.swallow_database_error")
def swallow_database_error(name: str) -> None:
    """Leave the transaction as PostgreSQL has it after an error that nobody heard of."""
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


@job(name="testing.at_commit")
def at_commit(name: str, error: str = "") -> None:
    def callback() -> None:
        Group.objects.create(name=f"{name} is committed")
        if error:
            raise ValueError(error)

    with transaction.atomic():
        transaction.on_commit(callback)
        Group.objects.create(name=name)


@job(name="testing.at_commit_robustly")
def at_commit_robustly() -> None:
    def callback() -> None:
        raise ValueError("Nobody listens.")

    transaction.on_commit(callback, robust=True)


@job(name="testing.speak_german", aliases=["testing.speak"])
def speak_german() -> None:
    translation.activate("de")


@job(name="testing.aspeak_german")
async def aspeak_german() -> None:
    translation.activate("de")


@job(name="testing.steer")
def steer(how: str) -> None:
    if job_attempt() > 1 or starts() > 1:
        return
    raise {
        "later": RetryLater(60),
        "snooze": Snooze(60),
        "cancel": CancelJob("Not wanted."),
        "give up": GiveUp("Hopeless."),
        "interrupt": KeyboardInterrupt(),
        "exit": SystemExit(3),
    }[how]


@job(name="testing.fan_out")
def fan_out(*names: str) -> None:
    enqueue_many(write.request(name) for name in names)
    Group.objects.create(name="fanned out")


@job(name="testing.again")
def again() -> None:
    again.enqueue()


@job(name="testing.wait_long", timeout=0.05)
def wait_long() -> None:
    while True:
        pass


@job(name="testing.whole", atomic=True)
def whole(name: str, error: str = "") -> None:
    Group.objects.create(name=name)
    if error:
        raise ValueError(error)


@job(name="testing.together", batch=Batch(size=3, wait=60))
def together(items):
    Group.objects.create(name="+".join(item.args[0] for item in items))


@job(name="testing.by_kind", batch=Batch(size=3, wait=60, alike=lambda name: name.lower()))
def by_kind(items):
    Group.objects.create(name="+".join(item.args[0] for item in items))


@job(name="testing.alike", batch=Batch(size=9, wait=60, alike="to"))
def alike(items):
    Group.objects.create(name="+".join(item.args[0] for item in items))


@job(name="testing.shut_in", sandbox=True)
def shut_in(name: str) -> None:
    Group.objects.create(name=name)


@job(name="testing.report", takes_context=True)
def report(context: JobContext, total: int) -> dict[str, Any]:
    context.progress(total, total)
    context.log("Counted.")
    context.save({"total": total})
    return {"step": context.step("count", lambda: total), "attempt": context.attempt}


@job(name="testing.retried_at_once", max_attempts=3, backoff=Fixed(0))
def retried_at_once() -> int:
    if job_attempt() < 3:
        raise ValueError("Too early.")
    return job_attempt()


@task
def shout(text):
    return text.upper()


@task
async def ashout(text):
    count = await sync_to_async(Group.objects.count)()
    return f"{text.upper()} {count}"


def job_attempt() -> int:
    context = current_job()
    assert context is not None
    return context.attempt


def starts() -> int:
    context = current_job()
    assert context is not None
    return context.starts
