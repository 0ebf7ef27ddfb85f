"""Commands of this project as child processes that end with this one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType, TracebackType

MANAGE = Path(__file__).resolve().parents[1] / "manage.py"
# Workers let running jobs finish; who has not ended after so long is killed.
END_SECONDS = 20.0
LOOK_SECONDS = 0.1


class ChildDied(Exception):
    """A child has ended that nobody asked to end."""


class Children:
    """Starts commands, ends them when the block ends, and watches for the signs that it should."""

    def __init__(self) -> None:
        self.is_asked_to_end = False
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # tox ended by SIGTERM leaves its child running: a parent that changes is a sign to end as well.
        self._parent = os.getppid()

    def __enter__(self) -> "Children":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        for child in self._children.values():
            try:
                child.communicate(timeout=max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()

    def start(self, command: str, *arguments: str, silent: bool = False) -> None:
        """Start `manage.py command`, out of the reach of the terminal's Ctrl-C: it is passed on from here."""
        self._children[command] = subprocess.Popen(
            [sys.executable, str(MANAGE), "attended", command, *arguments],
            # Ends with us, even if we are killed.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if silent else None,
            start_new_session=True,
        )

    def rest(self, seconds: float = 1.0) -> bool:
        """Rest, but not when it is time to end; return whether to go on. Raises ChildDied."""
        until = time.monotonic() + seconds
        while self._may_go_on() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return not self.is_asked_to_end

    def _may_go_on(self) -> bool:
        self.is_asked_to_end |= os.getppid() != self._parent
        for command, child in self._children.items():
            if not self.is_asked_to_end and child.poll() is not None:
                raise ChildDied(f"'manage.py {command}' has ended with status {child.returncode}; its output says why.")
        return not self.is_asked_to_end

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A second one is for the workers to judge: at once, or just a doubled one.
        if self.is_asked_to_end:
            self._pass_on(signal.SIGTERM)
        self.is_asked_to_end = True

    def _pass_on(self, number: int) -> None:
        for child in self._children.values():
            child.send_signal(number)
