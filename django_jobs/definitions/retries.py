"""How long a failed job waits before its next attempt."""

import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption

# The contract that Django's Tasks framework is to get, (exception, result): seconds (or timedelta) to wait, None to
# give up. The result is a JobContext, which has the names that a backoff asks a TaskResult for.
BackoffFunction = Callable[[BaseException, Any], float | timedelta | None]

LONGEST_SECONDS = 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """Wait the same time before every attempt; durations are seconds or timedelta."""

    delay: float | timedelta

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", seconds(self.delay, option="The delay of Fixed"))

    def delay_seconds(self, attempt: int) -> float:
        """Return the seconds to wait after the failed attempt of this number, counted from 1."""
        return min(float(self.delay), LONGEST_SECONDS)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Exponential:
    """Wait `base`, then `factor` times as long after each further failure, at most `maximum`.

    `jitter` (0 to 1) is the share of each delay that is drawn by chance, so that jobs which failed together
    do not come back together: the delay lies between `(1 - jitter) * full` and `full`.
    """

    base: float | timedelta
    maximum: float | timedelta | None = None
    jitter: float = 0.0
    factor: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", seconds(self.base, option="The base of Exponential"))
        if self.maximum is not None:
            object.__setattr__(self, "maximum", seconds(self.maximum, option="The maximum of Exponential"))
        for name, least, most in (("jitter", 0.0, 1.0), ("factor", 1.0, 1000.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise InvalidOption(
                    f"The {name} of Exponential must be a number from {least:g} to {most:g}, not {value!r}."
                )

    def delay_seconds(self, attempt: int) -> float:
        """Return the seconds to wait after the failed attempt of this number, counted from 1."""
        ceiling = LONGEST_SECONDS if self.maximum is None else min(float(self.maximum), LONGEST_SECONDS)  # type: ignore[arg-type]
        base = float(self.base)  # type: ignore[arg-type]
        if not base:
            return 0.0
        # Compared as logarithms first: a thousandth attempt must not overflow.
        exponent = max(attempt - 1, 0)
        too_long = math.log(base) + exponent * math.log(self.factor) > math.log(max(ceiling, 1e-9))
        full = ceiling if too_long else base * self.factor**exponent
        return full * (1 - self.jitter * random.random())


Backoff = Fixed | Exponential
DEFAULT_BACKOFF = Exponential(2, maximum=3600, jitter=0.5)


def error_classes(value: object, *, option: str) -> tuple[type[BaseException], ...]:
    """Return the exception classes that `retry_on` or `no_retry_on` name. Raises InvalidOption for anything else."""
    classes = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | type) else (value,)
    for each in classes:
        if not isinstance(each, type) or not issubclass(each, BaseException):
            raise InvalidOption(f"{option} must be exception classes, not {each!r}.")
    if not classes:
        raise InvalidOption(f"{option} names no exception class.")
    return classes


def to_text(backoff: Backoff | None) -> str:
    """Return what the row keeps of a backoff; empty where the function's own callable, or nothing, decides."""
    match backoff:
        case None:
            return ""
        case Fixed():
            return json.dumps(["fixed", backoff.delay])
        case Exponential():
            return json.dumps(["exponential", backoff.base, backoff.maximum, backoff.jitter, backoff.factor])


def from_text(text: str) -> Backoff | None:
    """Return the backoff that a row keeps. Raises ValueError for a text that `to_text` did not write."""
    if not text:
        return None
    kind, *values = json.loads(text)
    if kind == "fixed":
        return Fixed(*values)
    if kind == "exponential":
        return Exponential(*values)
    raise ValueError(f"{text!r} is no backoff.")
