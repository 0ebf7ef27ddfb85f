"""Batches: one call of a function for many jobs of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asgiref.sync import iscoroutinefunction

from django_jobs.definitions.arguments import decode_call, encode_value
from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidArguments, InvalidOption

# As many as the memory that a worker shares with its supervisor can name of one body.
MOST_MEMBERS = 1000
MOST_ALIKE_BYTES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Call the function once for up to `size` jobs, with a list of BatchItems.

    The body starts as soon as `minimum` of them are there (without one: `size`), or `wait` (seconds or timedelta)
    after the first was claimed. Only jobs that are `alike` share a body: those with equal values of this keyword
    argument, or of what this callable makes of the arguments as JSON has them. Raises InvalidOption.
    """

    size: int = 100
    wait: float | timedelta = 2.0
    minimum: int | None = None
    alike: str | Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        _check_count(self.size, "size", 1, MOST_MEMBERS)
        if self.minimum is not None:
            _check_count(self.minimum, "minimum", 1, self.size)
        object.__setattr__(self, "wait", seconds(self.wait, option="The wait of Batch"))
        is_name = isinstance(self.alike, str) and self.alike.isidentifier()
        if not (self.alike is None or is_name or (callable(self.alike) and not iscoroutinefunction(self.alike))):
            raise InvalidOption(
                "The alike of Batch must be the name of a keyword argument, or a `def` of the arguments, "
                f"not {self.alike!r}."
            )

    @property
    def enough(self) -> int:
        """With how many jobs the body starts at once."""
        return self.size if self.minimum is None else self.minimum

    @property
    def wait_seconds(self) -> float:
        return float(self.wait)  # type: ignore[arg-type]


def likeness(batch: Batch, name: str, arguments: str) -> str:
    """Return a text that is equal for jobs of a name which may share a body; `arguments` is the stored text of one.

    Raises InvalidArguments where it cannot be told.
    """
    if batch.alike is None:
        return ""
    what = f"alike of {name}"
    args, kwargs = decode_call(arguments)
    if isinstance(batch.alike, str):
        if batch.alike not in kwargs:
            raise InvalidArguments(
                f"Batch(alike={batch.alike!r}) of job {name} asks for an argument of this name, and the call has "
                f"{', '.join(map(repr, kwargs)) or 'none'} by name. Pass it by name: {batch.alike}=..."
            )
        value = kwargs[batch.alike]
    else:
        try:
            value = batch.alike(*args, **kwargs)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise InvalidArguments(f"The {what}, a callable of the arguments, raised {told}") from error
    text = encode_value(value, what, limit=MOST_ALIKE_BYTES, advice="Return a key of the data, not the data.")
    # Whatever the order of keys.
    return json.dumps(json.loads(text), sort_keys=True)


def _check_count(value: object, name: str, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidOption(f"The {name} of Batch must be a whole number from {least} to {most}, not {value!r}.")
