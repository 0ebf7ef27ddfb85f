"""How far a body has come: a number, of a total if there is one, or any structure."""

import json
import math
from typing import Any, NamedTuple

from django_jobs.definitions.arguments import clean_text, encode_value, shown
from django_jobs.errors import InvalidArguments

LARGEST_BYTES = 4096
LONGEST_MESSAGE = 500
# No number of a real count is larger, and every database and browser can write it.
_LARGEST = 2**63


class Progress(NamedTuple):
    current: Any
    total: float | None = None
    message: str = ""

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None where nothing tells."""
        if not self.total or isinstance(self.current, bool) or not isinstance(self.current, int | float):
            return None
        return min(max(self.current / self.total, 0.0), 1.0)


def is_plain(current: object, total: object, message: object) -> bool:
    """Tell whether this is what nearly always comes, a number, so that nothing has to be looked at twice."""
    kind = type(current)
    fits = kind is int and -_LARGEST < current < _LARGEST  # type: ignore[operator]
    fits = fits or (kind is float and math.isfinite(current))  # type: ignore[arg-type]
    return fits and (total is None or (type(total) is int and 0 <= total < _LARGEST)) and type(message) is str


def checked(current: Any, total: Any, message: Any) -> Progress:
    """Return a progress that can be stored, a copy of any structure. Raises InvalidArguments."""
    if current is None:
        raise InvalidArguments("progress() needs a number or a structure, not None.")
    if total is not None and (
        isinstance(total, bool) or not isinstance(total, int | float) or not 0 <= total < _LARGEST
    ):
        raise InvalidArguments(f"The total of progress() must be a number from 0 on, not {shown(total)}.")
    text = encode_value(current, "progress", limit=LARGEST_BYTES, advice="Say less, or save() it.")
    return Progress(json.loads(text), total, str(message))


def to_text(progress: Progress) -> str:
    current, total, message = progress
    value = {"current": current, "total": total, "message": clean_text(message, LONGEST_MESSAGE)}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Progress:
    return Progress(**json.loads(text))
