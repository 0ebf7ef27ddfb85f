"""Durations as users write them, seconds or a timedelta, and as they read them."""

from datetime import timedelta

from django_jobs.conf import LONGEST_SECONDS
from django_jobs.errors import InvalidOption


def seconds(value: object, *, option: str) -> float:
    """Return `value` in seconds. Raises InvalidOption, naming `option`, for what is no duration or below zero."""
    if isinstance(value, timedelta):
        number: float = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    else:
        raise InvalidOption(f"{option} must be seconds or a timedelta, not {value!r}.")
    if not 0 <= number <= LONGEST_SECONDS:
        raise InvalidOption(f"{option} must be a duration from 0 seconds to 1,000 years, not {value!r}.")
    return float(number)


def in_words(duration: timedelta) -> str:
    """Return a duration in its two largest units, for people: "350 ms", "4.2 s", "3 min 5 s", "2 d 4 h"."""
    total = max(duration.total_seconds(), 0.0)
    if total < 1:
        return f"{int(total * 1000)} ms"
    if total < 60:
        return f"{int(total * 10) / 10} s"
    minutes, rest = divmod(int(total), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
