"""What a `runworkers` command was asked to do; a plain value that also travels to the children."""

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to work. Times in seconds."""

    # Empty: all queues that the settings, the jobs or the queues' rows name.
    queue_names: tuple[str, ...] = ()
    processes: int = 1
    concurrency: int = 10
    # End when nothing due can start here and nothing runs.
    burst: bool = False
    autoreload: bool = False
    grace_seconds: float = 30.0
    # This child starts the suspects, one after the other, and ends when there are none.
    suspects_only: bool = False

    def for_suspects(self) -> "Plan":
        """Return the plan of a child that starts suspects alone."""
        return replace(self, suspects_only=True, burst=True, concurrency=1)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Plan":
        values = json.loads(text)
        return cls(**{**values, "queue_names": tuple(values["queue_names"])})
