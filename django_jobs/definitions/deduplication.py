"""Deduplication: which calls count as the same, and what becomes of a call while another of its kind is there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption

LONGEST_KEY = 1000
# What a row says of a key that is only held while its job is alive.
WHILE_ALIVE = "while alive"
_FLAGS = ("replace", "extend", "keep_last")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicate:
    """Store a call only if no other with its key is there; by default as long as that one is alive.

    `key`: a text; on @job also a callable of the arguments; without one, calls with equal arguments are the same.
    `ttl`: the key is held for this time after the first call instead (seconds or timedelta), whatever became of it.
    `extend`: each further call begins the time anew. `replace`: a job that has not started yet makes way for the
    newest call. `keep_last`: while one runs, the last call waits to run after it. Raises InvalidOption.
    """

    key: str | Callable[..., str] | None = None
    ttl: float | timedelta | None = None
    replace: bool = False
    extend: bool = False
    keep_last: bool = False

    def __post_init__(self) -> None:
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise InvalidOption(f"The {name} of Deduplicate must be True or False, not {getattr(self, name)!r}.")
        if self.key is not None and not callable(self.key):
            check_key(self.key, "The key of Deduplicate")
        if self.ttl is not None:
            object.__setattr__(self, "ttl", seconds(self.ttl, option="The ttl of Deduplicate"))
            if not self.ttl:
                raise InvalidOption("The ttl of Deduplicate must be more than 0 seconds. Leave it out to hold no time.")
        if self.extend and self.ttl is None:
            raise InvalidOption("Deduplicate(extend=True) needs a ttl: there is no time to extend.")
        if self.keep_last and self.ttl is not None:
            raise InvalidOption(
                "Deduplicate(keep_last=True) holds its key while a job is alive, so it takes no ttl. "
                "Leave one of them out."
            )

    @property
    def mode(self) -> str:
        """Return what the row keeps of it: the words "ttl", "replace", "extend", "keep_last", as far as they hold."""
        words = [*(["ttl"] if self.ttl is not None else []), *(name for name in _FLAGS if getattr(self, name))]
        return " ".join(words) or WHILE_ALIVE


def check_key(value: object, what: str) -> str:
    """Return a key. Raises InvalidOption, which begins with `what`, for what no database would keep as it is."""
    if not isinstance(value, str) or not value or len(value) > LONGEST_KEY or "\0" in value:
        raise InvalidOption(f"{what} must be a text of 1 to {LONGEST_KEY} characters without NUL, not {value!r}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidOption(f"{what} holds a lone surrogate, which is no text: {value!r}.") from None
    return value
