"""What only a worker has to know; `runworkers` says it when it starts."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import connections

from django_jobs.check_messages import warning

# What psycopg_pool takes where nothing is said.
POOL_DEFAULT = 4


def check_worker(*, concurrency: int) -> Iterator[CheckMessage]:
    """Ask whether this project's settings suit a process that runs so many jobs at once."""
    if settings.DEBUG:
        yield warning(
            "W007",
            "DEBUG is on: Django keeps the statements of each body until it ends, up to 9,000 a connection, and "
            "workers restart when code changes.",
            "Set DEBUG = False wherever this is not your own machine.",
        )
    for alias in connections:
        most = _most_pooled(connections[alias].settings_dict)
        if most is not None and most < concurrency:
            yield warning(
                "W008",
                f"The pool of the database {alias!r} has {most} connections for {concurrency} jobs at once: the others "
                "wait for one, and fail when that takes too long.",
                f'Write DATABASES[{alias!r}]["OPTIONS"]["pool"] = {{"min_size": 0, "max_size": {2 * concurrency}}}, or '
                "lower --concurrency.",
            )


def _most_pooled(database: dict[str, Any]) -> int | None:
    """Return how many connections a process may have at once, None where nobody counts."""
    pool = database["OPTIONS"].get("pool")
    if not pool:
        return None
    options = {} if pool is True else pool
    least = int(options.get("min_size", POOL_DEFAULT))
    return max(least, int(options.get("max_size") or least))
