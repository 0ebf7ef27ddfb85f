"""A loop is a step that returns how long to rest; the thread, the sleeping and the stopping are written once, here."""

import logging
import threading

logger = logging.getLogger("django_jobs")

SHORTEST_PENALTY, LONGEST_PENALTY = 0.5, 10.0


class Service:
    """Takes steps in a thread of its own until it is stopped. A step that raises is logged and taken again later."""

    name = "service"

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"django_jobs {self.name}", daemon=True)

    def step(self) -> float:
        """Do one round; return the seconds to rest before the next, unless woken."""
        raise RuntimeError(f"{type(self).__name__} has no step.")

    def prepare(self) -> None:
        """Called in the thread before the first step."""

    def finish(self) -> None:
        """Called in the thread after the last step."""

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """End a rest now."""
        self._woken.set()

    def stop(self) -> None:
        """Ask to end after the step under way."""
        self._stopping = True
        self._woken.set()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self.prepare()
        penalty = 0.0
        while not self._stopping:
            try:
                rest = self.step()
                penalty = 0.0
            except Exception:
                penalty = min(max(penalty * 2, SHORTEST_PENALTY), LONGEST_PENALTY)
                rest = penalty
                logger.exception("The %s of this worker stumbled and goes on in %.1f s.", self.name, rest)
            if rest > 0 and not self._stopping:
                self._woken.wait(rest)
            self._woken.clear()
        self.finish()
