"""The data that lives with a job: a small dict that one attempt saves and a later one finds."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import connections

from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import encode_value, shown
from django_jobs.definitions.outcomes import Claim
from django_jobs.errors import ClaimLost, InvalidArguments
from django_jobs.transitions.reports import save_data, saved_data


class JobData:
    """The data as one attempt sees it: read at first use, and after a save as it was saved."""

    _values: dict[str, Any] | None = None
    _unsure = False

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def get(self) -> dict[str, Any]:
        if self._values is None:
            # The first start of a job finds nothing, and need not look.
            looks = self._unsure or self._claim.fence > 1
            text = saved_data(get_settings().DATABASE, self._claim.id) if looks else None
            self._values = {} if text is None else json.loads(text)
        return self._values

    def save(self, data: Mapping[str, Any]) -> None:
        if not isinstance(data, Mapping):
            raise InvalidArguments(f"save() of job {self._claim.name} needs a dict, not {shown(data)}.")
        settings = get_settings()
        text = encode_value(
            data, "data", limit=settings.MAX_DATA_BYTES, advice="Store it and save its key, or raise MAX_DATA_BYTES."
        )
        if not save_data(settings.DATABASE, self._claim, text):
            raise ClaimLost(
                f"Job {self._claim.id} ({self._claim.name}) was taken from this worker, and another may run it. "
                "Nothing was saved; let this attempt end."
            )
        # In a transaction nobody knows yet whether it is stored: the next look asks.
        self._unsure = connections[settings.DATABASE].in_atomic_block
        self._values = None if self._unsure else json.loads(text)
