"""The first process of a container inherits every process whose parent is gone, and must bury it."""

import os
from collections.abc import Collection

# The kernel gives it all orphans; any other process has no children but its own.
FIRST = 1


def reap_orphans(own: Collection[int]) -> None:
    """Bury the orphans that have ended. Children of our `own` are left to those who wait for them."""
    if os.getpid() != FIRST:
        return
    while (ended := _next_ended()) is not None and ended not in own:
        os.waitpid(ended, 0)


def _next_ended() -> int | None:
    """Look who has ended, without burying it."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
