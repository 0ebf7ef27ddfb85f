"""Until when the row of a job that ends is kept: decided in the statement that ends it."""

from django_jobs.conf import get_settings
from django_jobs.definitions.keeping import kept_by_settings
from django_jobs.models.job import HOLDER
from django_jobs.states import State
from django_jobs.transitions.sql.base import Dialect


def keep_until(sql: Dialect, state: State, *, since: str = "0", prefix: str = "") -> str:
    """Return the moment until which a row is kept that ends in `state`, `since` seconds, an SQL number, from now.

    Not before the promise of its idempotency key is over, nor the time for which it holds a deduplication key: so who
    prunes does not look at it again and again until then.
    """
    rules = kept_by_settings(get_settings())
    is_failure = state is State.FAILED
    column, default = ("keep_failed", rules.failed) if is_failure else ("keep_successful", rules.successful)
    assert default is not None
    moment = sql.later(f"({since} + COALESCE({prefix}{column}, {default.whole_seconds}))")
    holds = f"{prefix}deduplication_slot = '{sql.id_parameter(HOLDER)}'"
    promises = (f"{prefix}key_expires_at", f"CASE WHEN {holds} THEN {prefix}deduplication_expires_at END")
    return sql.latest(*(f"COALESCE({each}, {moment})" for each in promises), moment)
