"""Claims that no row stands behind, for what only passes them on."""

import json
from typing import Any
from uuid import uuid4

from django_jobs.decorators import JobFunction
from django_jobs.definitions.identifiers import uuid7
from django_jobs.definitions.outcomes import Claim


def claim(job: JobFunction[..., Any], *args: Any, fence: int = 1) -> Claim:
    return Claim(
        id=uuid7(),
        name=job.name,
        queue_name="default",
        rank=1,
        fence=fence,
        attempt=1,
        starts=1,
        max_attempts=1,
        owner=uuid4(),
        arguments=json.dumps([args, {}]),
        backoff="",
        enqueued=0.0,
    )
