"""How long the row of a job is kept once it has ended."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django_jobs.conf import LONGEST_SECONDS, SETTING, JobsSettings, did_you_mean
from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption

# What has no bound. A time must be stored, so that the index over what has ended holds every such row.
FOR_EVER = LONGEST_SECONDS
UNCOUNTED = 2_147_483_647
# Cancelled jobs are kept as long as successful ones.
STATES = ("successful", "failed")


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep rows for `age` (seconds or timedelta), and of each function in each queue the newest `count`.

    Both bounds apply; without any the row is kept for ever.
    """

    age: float | timedelta | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.age is not None:
            object.__setattr__(self, "age", seconds(self.age, option="The age of Keep"))
        count = self.count
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < UNCOUNTED):
            raise InvalidOption(f"The count of Keep must be a whole number from 0 on, not {count!r}.")

    @property
    def whole_seconds(self) -> int:
        return FOR_EVER if self.age is None else math.ceil(self.age)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class KeepRules:
    """What one layer says for jobs that succeeded or were cancelled, and for those that failed; None: nothing."""

    successful: Keep | None = None
    failed: Keep | None = None


@dataclass(frozen=True, slots=True)
class StoredKeep:
    """What a row keeps of the rules. Seconds that are None are decided by the settings when the job ends."""

    successful: int | None
    failed: int | None
    # Both or none.
    successful_count: int | None
    failed_count: int | None


def keep_rules(value: object, what: str) -> KeepRules:
    """Return rules as users write them: a duration, a Keep, or a dict of either by state. Raises InvalidOption."""
    if not isinstance(value, Mapping):
        keep = _keep(value, what)
        return KeepRules(keep, keep)
    for state in value:
        if state not in STATES:
            raise InvalidOption(f"{what} knows no state {state!r}.{did_you_mean(str(state), STATES)}")
    return KeepRules(**{state: _keep(each, f"{what}[{state!r}]") for state, each in value.items()})


@lru_cache(maxsize=16)
def kept_by_settings(settings: JobsSettings) -> KeepRules:
    """Return what the setting KEEP says, the defaults for what it leaves out. Raises InvalidOption."""
    if not isinstance(settings.KEEP, Mapping):
        raise InvalidOption(f"{SETTING}['KEEP'] must be a dict, not {settings.KEEP!r}.")
    defaults: Mapping[str, Any] = JobsSettings().KEEP
    return keep_rules({**defaults, **settings.KEEP}, f"{SETTING}['KEEP']")


@lru_cache(maxsize=4096)
def stored_keep(rules: KeepRules | None, settings: JobsSettings) -> StoredKeep | None:
    """Return what the row of a new job must say; None if the settings' ages decide alone."""
    defaults = kept_by_settings(settings)
    said = rules or KeepRules()
    counts = [(getattr(said, state) or getattr(defaults, state)).count for state in STATES]
    if said == KeepRules() and counts == [None, None]:
        return None
    bounds = [UNCOUNTED if each is None else each for each in counts] if counts != [None, None] else [None, None]
    successful, failed = (None if each is None else each.whole_seconds for each in (said.successful, said.failed))
    return StoredKeep(successful, failed, *bounds)


def _keep(value: object, what: str) -> Keep:
    if value is None:
        return Keep()
    if isinstance(value, Keep):
        return value
    if isinstance(value, int | float | timedelta) and not isinstance(value, bool):
        return Keep(seconds(value, option=what))
    raise InvalidOption(f"{what} must be seconds, a timedelta, Keep(...), or a dict of them by state, not {value!r}.")
