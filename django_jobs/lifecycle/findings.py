"""What was found of one part: what it is like, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# Without these nothing can be said about the jobs.
BOOK = ("settings", "database", "migrations")


class Status(StrEnum):
    """Late: it works, but jobs start later than they should. Failed: it does not work."""

    OK = "ok"
    LATE = "late"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one part is like, what to do about it, and the numbers behind it."""

    part: str
    status: Status
    told: str
    advice: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def leaves_all_open(self) -> bool:
        """Whether nothing can be said about the jobs."""
        return self.part in BOOK and self.status is Status.FAILED
