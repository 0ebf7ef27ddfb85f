"""What only a worker has to know; `runworkers` says it when it starts."""

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage

from django_jobs.check_messages import warning


def check_worker() -> Iterator[CheckMessage]:
    """Ask whether this project's settings suit a process that runs for long."""
    if settings.DEBUG:
        yield warning(
            "W007",
            "DEBUG is on: Django keeps the statements of each body until it ends, up to 9,000 a connection.",
            "Set DEBUG = False wherever this is not your own machine.",
        )
