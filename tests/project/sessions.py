"""Jobs that tell which session of a PostgreSQL server they had, for workers that import this."""

import threading

from django.db import connection

from django_jobs import JobContext, job
from tests.project.models import Effect

_meetings: dict[int, threading.Barrier] = {}


def session() -> int:
    """Return the process of the server that answers this connection now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@job(takes_context=True)
def tell_session(context: JobContext) -> int:
    Effect.objects.create(job_id=context.id)
    return session()


@job(takes_context=True)
def meet_in_the_database(context: JobContext, size: int) -> int:
    """Run until so many of these jobs have a session at once."""
    found = session()
    Effect.objects.create(job_id=context.id)
    _meetings.setdefault(size, threading.Barrier(size)).wait(30)
    return found


@job(takes_context=True, sandbox=True)
def tell_session_in_a_sandbox(context: JobContext) -> bool:
    """Return whether a pool would be used here."""
    session()
    return bool(connection.settings_dict["OPTIONS"].get("pool"))


@job(timeout=0.2)
def hang_in_the_database() -> None:
    with connection.cursor() as cursor:
        while True:
            # The server goes on with a query whose client is gone.
            cursor.execute("SELECT pg_sleep(0.1)")


@job(atomic=True, takes_context=True)
def write_together(context: JobContext) -> int:
    Effect.objects.create(job_id=context.id)
    return session()


@job(takes_context=True)
def take_steps(context: JobContext) -> None:
    """Use all that a context writes by itself."""
    context.save({"begun": True})
    context.progress(1, 2)
    context.log("begun")
    context.step("effect", leave, str(context.id), atomic=True)


def leave(job_id: str) -> None:
    Effect.objects.create(job_id=job_id)
