"""Batches: one call of a function for many jobs of it."""

from dataclasses import dataclass
from datetime import timedelta

from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption, NotAvailableYet

# As many as the memory that a worker shares with its supervisor can name of one body.
MOST_MEMBERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Call the function once for up to `size` jobs, with a list of BatchItems.

    The body starts as soon as `minimum` of them are there (without one: `size`), or `wait` (seconds or timedelta)
    after the first was claimed. Raises InvalidOption.
    """

    size: int = 100
    wait: float | timedelta = 2.0
    minimum: int | None = None
    # Jobs of one group alone.
    per_group: bool = False

    def __post_init__(self) -> None:
        _check_count(self.size, "size", 1, MOST_MEMBERS)
        if self.minimum is not None:
            _check_count(self.minimum, "minimum", 1, self.size)
        object.__setattr__(self, "wait", seconds(self.wait, option="The wait of Batch"))
        if not isinstance(self.per_group, bool):
            raise InvalidOption(f"The per_group of Batch must be True or False, not {self.per_group!r}.")
        if self.per_group:
            raise NotAvailableYet("Batch(per_group=True) needs groups, which are not available yet.")

    @property
    def enough(self) -> int:
        """With how many jobs the body starts at once."""
        return self.size if self.minimum is None else self.minimum

    @property
    def wait_seconds(self) -> float:
        return float(self.wait)  # type: ignore[arg-type]


def _check_count(value: object, name: str, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidOption(f"The {name} of Batch must be a whole number from {least} to {most}, not {value!r}.")
