"""Where a child process begins. The supervisor starts it as a fresh interpreter, so nothing is inherited by fork."""

import atexit
import gc
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

import django

from django_jobs.conf import get_settings
from django_jobs.worker.board import Board
from django_jobs.worker.connections import leave_pools
from django_jobs.worker.interpreters import handed
from django_jobs.worker.plan import Plan

if TYPE_CHECKING:
    from django_jobs.worker.worker import Worker

# The exit status of a child that ends although there is work.
RECYCLED = 75
# Seconds an orphan may still work: nobody beats for it any more.
ORPHAN_SHARE = 0.5


def main() -> None:
    """Set Django up and work. Ends the process, whatever bodies still run in threads."""
    child = handed()
    # The supervisor hears the terminal's Ctrl-C and passes it on as SIGTERM, in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # These are for the supervisor alone, and whoever sends them to the whole group shall not end the children. No
    # SIG_IGN: the programs that bodies start would inherit it.
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: None)

    django.setup()

    leave_pools()

    # Needs the models, so not before the apps are ready.
    from django_jobs.worker.worker import Worker

    board = Board(child["board"])
    worker = Worker(Plan.from_text(child["plan"]), board)

    def on_signal(number: int, frame: FrameType | None) -> None:
        worker.ask_to_stop()

    signal.signal(signal.SIGTERM, on_signal)
    patience = get_settings().DEAD_AFTER_SECONDS * ORPHAN_SHARE
    threading.Thread(target=_watch_parent, args=(child["lifeline"], worker, board, patience), daemon=True).start()
    # What a project loads at its start stays to the end: no collection needs to look through it again and again.
    gc.collect()
    gc.freeze()
    worker.run()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # A body that was handed back may still run in its thread; it must not keep the process.
    os._exit(RECYCLED if worker.is_recycled else 0)


def _watch_parent(lifeline: int, worker: "Worker", board: Board, patience: float) -> None:
    """End when the supervisor is gone: its end of the pipe closes with it, whatever killed it."""
    os.read(lifeline, 1)
    worker.ask_to_stop()
    threading.Event().wait(patience)
    board.hurry()
