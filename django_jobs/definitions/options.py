"""The options of a job: plain data, checked where they are written, laid over each other when a job is stored."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from django.conf import settings
from django.utils.timezone import is_naive

from django_jobs.conf import did_you_mean
from django_jobs.definitions.deduplication import Deduplicate, check_key
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.keeping import KeepRules, keep_rules
from django_jobs.definitions.metadata import Fact, check_metadata
from django_jobs.definitions.rank import HIGHEST_PRIORITY, LOWEST_PRIORITY
from django_jobs.definitions.retries import Backoff, Exponential, Fixed
from django_jobs.errors import InvalidOption, NotAvailableYet

JOB_NAME = re.compile(r"[\w.:-]{1,200}")
QUEUE_NAME = re.compile(r"[\w.:-]{1,100}")

NOT_AVAILABLE_YET = frozenset("concurrency group group_concurrency on_child_failure rate_limit schedule".split())


# They belong to the function: classes and names are never read from data.
ON_JOB_ALONE = frozenset("aliases atomic batch name no_retry_on retry_on sandbox sensitive takes_context".split())


class Unset(Enum):
    """Stands where nothing was said, so that None can mean something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What one layer (call, function, queue or settings) says. Durations in seconds."""

    queue_name: str | Unset = UNSET
    priority: int | Unset = UNSET
    lifo: bool | Unset = UNSET
    # A moment, or seconds from the time of the INSERT by the database's clock.
    run_after: datetime | float | Unset = UNSET
    # The same; from then on it is not started any more.
    expires: datetime | float | Unset = UNSET
    max_attempts: int | Unset = UNSET
    backoff: Backoff | Unset = UNSET
    timeout: float | Unset = UNSET
    max_stalls: int | Unset = UNSET
    max_starts: int | Unset = UNSET
    max_payload_bytes: int | Unset = UNSET
    idempotency_key: str | Unset = UNSET
    idempotency_ttl: float | Unset = UNSET
    keep: KeepRules | Unset = UNSET
    metadata: Mapping[str, Fact] | Unset = UNSET
    deduplicate: Deduplicate | Unset = UNSET

    def overlaid(self, upper: "JobOptions") -> "JobOptions":
        """Return these options with whatever `upper` says laid over them."""
        said = {each: value for each in OPTION_NAMES if (value := getattr(upper, each)) is not UNSET}
        return replace(self, **said) if said else self


OPTION_NAMES = tuple(each.name for each in fields(JobOptions))


def make_options(values: Mapping[str, object], *, whose: str, known: Collection[str] = OPTION_NAMES) -> JobOptions:
    """Return checked options. None stands for "as if nothing was said".

    Raises InvalidOption or NotAvailableYet; `whose` ("@job of shop.send") begins the message, and `known` has the
    names as they are written there.
    """
    checked: dict[str, Any] = {}
    for name, value in values.items():
        check = _CHECKS.get(name)
        if check is None:
            _refuse(name, whose, known)
        elif value is not None:
            checked[name] = check(value, f"{whose}: {name}")
    return JobOptions(**checked)


def without(options: JobOptions, names: set[str]) -> JobOptions:
    """Return `options` as if those named had not been said."""
    return replace(options, **dict.fromkeys(names, UNSET)) if names else options


def _refuse(name: str, whose: str, known: Collection[str]) -> None:
    if name in NOT_AVAILABLE_YET:
        raise NotAvailableYet(f"{whose}: the option {name!r} is not available yet.")
    if name in ON_JOB_ALONE:
        raise InvalidOption(f"{whose}: the option {name!r} goes on @job alone.")
    raise InvalidOption(f"{whose}: there is no option {name!r}.{did_you_mean(name, known)}")


def _queue_name(value: object, what: str) -> str:
    if not isinstance(value, str) or not QUEUE_NAME.fullmatch(value):
        raise InvalidOption(f"{what} must be 1 to 100 letters, digits or _ . : -, not {value!r}.")
    return value


def _whole(least: int, most: int) -> Callable[[object, str], int]:
    def check(value: object, what: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidOption(f"{what} must be a whole number from {least} to {most}, not {value!r}.")
        return value

    return check


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(f"{what} must be True or False, not {value!r}.")
    return value


def _moment(value: object, what: str) -> datetime | float:
    if isinstance(value, datetime):
        if is_naive(value):
            if settings.USE_TZ:
                raise InvalidOption(f"{what} must be an aware datetime, not {value!r}. Use django.utils.timezone.")
            return value.astimezone()
        return value
    if isinstance(value, timedelta) and value < timedelta(0):
        return 0.0
    if not isinstance(value, timedelta | int | float):
        raise InvalidOption(f"{what} must be a datetime, a timedelta or seconds, not {value!r}.")
    return seconds(value, option=what)


def _backoff(value: object, what: str) -> Backoff:
    if not isinstance(value, Fixed | Exponential):
        raise InvalidOption(f"{what} must be Fixed(...) or Exponential(...), not {value!r}. A callable goes on @job.")
    return value


def _deduplicate(value: object, what: str) -> Deduplicate:
    if not isinstance(value, Deduplicate):
        raise InvalidOption(f"{what} must be Deduplicate(...), not {value!r}.")
    if callable(value.key):
        raise InvalidOption(f"{what} has a callable as its key, which goes on @job: here say the key itself.")
    return value


def _duration(value: object, what: str) -> float:
    return seconds(value, option=what)


def _timeout(value: object, what: str) -> float:
    timeout = seconds(value, option=what)
    if not timeout:
        raise InvalidOption(f"{what} must be more than 0 seconds, not {value!r}.")
    return timeout


_CHECKS: dict[str, Callable[[object, str], object]] = {
    "queue_name": _queue_name,
    "priority": _whole(LOWEST_PRIORITY, HIGHEST_PRIORITY),
    "lifo": _flag,
    "run_after": _moment,
    "expires": _moment,
    "max_attempts": _whole(1, 32_000),
    "backoff": _backoff,
    "timeout": _timeout,
    "max_stalls": _whole(0, 32_000),
    "max_starts": _whole(1, 2_000_000_000),
    "max_payload_bytes": _whole(2, 16 * 1024 * 1024),
    "idempotency_key": check_key,
    "idempotency_ttl": _duration,
    "keep": keep_rules,
    "metadata": check_metadata,
    "deduplicate": _deduplicate,
}
