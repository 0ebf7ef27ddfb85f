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
    # What is stored, as far as it is known.
    _text: str | None = None
    # Whether what was saved may be undone, or may have been: each look asks the database.
    _is_unsure = False

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def get(self) -> dict[str, Any]:
        if self._values is None or self._is_unsure:
            self._values = self._look()
        return self._values

    def _look(self) -> dict[str, Any]:
        using = get_settings().DATABASE
        # The first start of a job finds nothing, and need not look.
        text = saved_data(using, self._claim.id) if self._is_unsure or self._claim.fence > 1 else None
        self._is_unsure = self._is_unsure and _may_be_undone(using)
        if self._values is not None and text == self._text:
            return self._values  # the same one, for the body may have changed it
        self._text = text
        return {} if text is None else json.loads(text)

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
        self._values, self._text = json.loads(text), text
        self._is_unsure = _may_be_undone(settings.DATABASE)


def _may_be_undone(using: str) -> bool:
    """Tell whether what is written here is for somebody else to commit."""
    return connections[using].in_atomic_block or not connections[using].get_autocommit()
