"""The states of a job and the table of moves between them. Read it aloud: it is the whole state machine."""

from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    BLOCKED = "blocked", _("Blocked")
    READY = "ready", _("Ready")
    RUNNING = "running", _("Running")
    SUCCESSFUL = "successful", _("Successful")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


ALIVE = (State.BLOCKED, State.READY, State.RUNNING)
ENDED = (State.SUCCESSFUL, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Move:
    """A named step: from one of `sources` to `target`.

    `yields_to_cancel`: a cancel that was asked for in the meantime turns the target into cancelled.
    """

    name: str
    sources: tuple[State, ...]
    target: State
    yields_to_cancel: bool = False


RELEASE = Move("release", (State.BLOCKED,), State.READY)
CLAIM = Move("claim", (State.READY,), State.RUNNING)
SUCCEED = Move("succeed", (State.RUNNING,), State.SUCCESSFUL)
FAIL = Move("fail", (State.RUNNING,), State.FAILED, yields_to_cancel=True)
RETRY = Move("retry", (State.RUNNING,), State.READY, yields_to_cancel=True)
SNOOZE = Move("snooze", (State.RUNNING,), State.READY, yields_to_cancel=True)
GIVE_BACK = Move("give back", (State.RUNNING,), State.READY, yields_to_cancel=True)
STOP = Move("stop", (State.RUNNING,), State.CANCELLED)
RESCUE = Move("rescue", (State.RUNNING,), State.READY, yields_to_cancel=True)
CANCEL = Move("cancel", (State.READY, State.BLOCKED), State.CANCELLED)
EXPIRE = Move("expire", (State.READY,), State.CANCELLED)
RETRY_BY_HAND = Move("retry by hand", ENDED, State.READY)

MOVES = (RELEASE, CLAIM, SUCCEED, FAIL, RETRY, SNOOZE, GIVE_BACK, STOP, RESCUE, CANCEL, EXPIRE, RETRY_BY_HAND)

# What Django's Tasks framework calls them; all others are READY.
STATUS: dict[str, str] = {
    State.RUNNING: "RUNNING",
    State.SUCCESSFUL: "SUCCESSFUL",
    State.FAILED: "FAILED",
    State.CANCELLED: "FAILED",
}
