"""Wait for something that another process does: look again and again until a deadline, the one place that rests."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

REST_SECONDS = 0.02
# Only what never comes is waited for so long: a machine may be slow, and busy with other tests.
LONGEST_SECONDS = 180


def wait_until(condition: Callable[[], Answer], seconds: float = LONGEST_SECONDS, what: str = "") -> Answer:
    """Return the first true answer of `condition`; fail, naming `what`, when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"After {seconds:g} seconds still not: {what or condition}. Last answer: {answer!r}.")
        time.sleep(REST_SECONDS)
    return answer
