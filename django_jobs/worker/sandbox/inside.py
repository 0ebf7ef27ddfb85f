"""Where a sandbox begins: a fresh interpreter that sets Django up, and hangs on the lifeline of its worker."""

import faulthandler
import fcntl
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import django

from django_jobs.worker.connections import leave_pools
from django_jobs.worker.interpreters import handed


def main() -> None:
    """Set Django up and run what comes. Ends the process, and those that its bodies have left in its group."""
    given = handed()
    for descriptor in given.values():
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _hang_on(given["lifeline"])
    _be_first_to_go()
    # Where a body was when it crashed stands in the log of its job.
    faulthandler.enable(all_threads=False)
    django.setup()
    leave_pools()

    # Needs the models, so not before the apps are ready.
    from django_jobs.worker.sandbox.messages import Channel
    from django_jobs.worker.sandbox.runner import Runner

    Runner(Channel(socket.socket(fileno=given["line"]))).run()


def _hang_on(lifeline: int) -> None:
    """Have the kernel kill this group when the worker is gone: a body that holds the interpreter would not notice."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _be_first_to_go() -> None:
    """Where the system has no memory left, it shall kill a sandbox before it kills a worker with all its jobs."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
