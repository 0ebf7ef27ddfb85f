"""What a `runworkers` command was asked to do; a plain value that also travels to the children."""

import json
from dataclasses import asdict, dataclass, replace

from django_jobs.worker.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to work. Times in seconds."""

    # Empty: all queues that the settings, the jobs or the queues' rows name.
    queue_names: tuple[str, ...] = ()
    # One for each queue that is named, or none at all.
    weights: tuple[int, ...] = ()
    # Start nothing of a queue while one before it has something to start.
    strict: bool = False
    processes: int = 1
    concurrency: int = 10
    # Start nothing until resumed.
    quiet: bool = False
    # End when nothing due can start here and nothing runs.
    burst: bool = False
    autoreload: bool = False
    grace_seconds: float = 30.0
    # After so many jobs, or when it holds so much memory, another process takes its place.
    recycle_after_jobs: int | None = None
    recycle_after_megabytes: int | None = None
    # This child starts the suspects, one after the other, and ends when there are none.
    suspects_only: bool = False

    def for_suspects(self) -> "Plan":
        """Return the plan of a child that starts suspects alone."""
        return replace(
            self,
            suspects_only=True,
            burst=True,
            concurrency=1,
            quiet=False,
            recycle_after_jobs=None,
            recycle_after_megabytes=None,
        )

    def new_turns(self) -> Turns:
        """Return the turns of the queues, for one who asks for jobs."""
        return Turns(dict(zip(self.queue_names, self.weights, strict=bool(self.weights))), strict=self.strict)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Plan":
        values = json.loads(text)
        lists = {name: tuple(values[name]) for name in ("queue_names", "weights")}
        return cls(**{**values, **lists})
