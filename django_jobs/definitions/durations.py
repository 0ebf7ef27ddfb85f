"""Durations as users write them: seconds or a timedelta."""

import math
from datetime import timedelta

from django_jobs.errors import InvalidOption


def seconds(value: object, *, option: str) -> float:
    """Return `value` in seconds. Raises InvalidOption, naming `option`, for what is no duration or below zero."""
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise InvalidOption(f"{option} must be seconds or a timedelta, not {value!r}.")
    if not math.isfinite(number) or number < 0:
        raise InvalidOption(f"{option} must be a finite duration of at least 0 seconds, not {value!r}.")
    return number
