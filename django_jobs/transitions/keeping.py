"""Until when the row of a job that ends is kept: decided in the statement that ends it."""

from django_jobs.conf import get_settings
from django_jobs.definitions.keeping import kept_by_settings
from django_jobs.states import State
from django_jobs.transitions.sql.base import Dialect


def keep_until(sql: Dialect, state: State, *, since: str = "0", prefix: str = "") -> str:
    """Return the moment until which a row is kept that ends in `state`, `since` seconds, an SQL number, from now.

    Not before the promise of its idempotency key is over.
    """
    rules = kept_by_settings(get_settings())
    is_failure = state is State.FAILED
    column, default = ("keep_failed", rules.failed) if is_failure else ("keep_successful", rules.successful)
    assert default is not None
    moment = sql.later(f"({since} + COALESCE({prefix}{column}, {default.whole_seconds}))")
    promised = f"{prefix}key_expires_at"
    return f"CASE WHEN {promised} > {moment} THEN {promised} ELSE {moment} END"
