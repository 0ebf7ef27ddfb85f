"""Tell systemd how the service stands: one datagram each time, to the socket that NOTIFY_SOCKET names."""

import contextlib
import os
import socket
import time

from django_jobs import clock
from django_jobs.worker.standing import Standing

# systemd waits for twice as long.
WATCHDOG_SHARE = 0.5


class Systemd:
    """A listener. It says what has changed, and that the supervisor goes round, as often as the watchdog wants it."""

    def __init__(self, address: str, watchdog_seconds: float | None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.setblocking(False)
        # An abstract socket begins with a zero byte, which no environment can hold.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_seconds, self._next_watchdog = watchdog_seconds, 0.0
        self._said = ""
        self._was_ready = self._was_reloading = self._was_stopping = False

    def __call__(self, standing: Standing) -> None:
        lines = [*self._changes(standing)]
        status = _status(standing)
        if status != self._said:
            self._said = status
            lines.append(f"STATUS={status}")
        now = clock.monotonic()
        if self._watchdog_seconds is not None and now >= self._next_watchdog and standing.is_live:
            self._next_watchdog = now + self._watchdog_seconds * WATCHDOG_SHARE
            lines.append("WATCHDOG=1")
        if lines:
            with contextlib.suppress(OSError):  # it will be told again; the jobs come first
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        self._socket.close()

    def _changes(self, standing: Standing) -> list[str]:
        lines = []
        if standing.is_stopping and not self._was_stopping:
            self._was_stopping = True
            lines.append("STOPPING=1")
        elif standing.is_reloading and not self._was_reloading:
            self._was_reloading, self._was_ready = True, False
            # systemd compares it with the moment at which it asked.
            lines.append(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        elif standing.is_ready and not standing.is_reloading and not self._was_ready:
            self._was_ready, self._was_reloading = True, False
            lines.append("READY=1")
        return lines


def of_environment() -> Systemd | None:
    """Return the listener that the service manager wants; None where there is none.

    The children, and what they start, shall not be able to speak for the service.
    """
    address = os.environ.pop("NOTIFY_SOCKET", "")
    microseconds, meant = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
    if not address:
        return None
    is_ours = microseconds.isdecimal() and meant in ("", str(os.getpid()))
    return Systemd(address, int(microseconds) / 1e6 if is_ours else None)


def _status(standing: Standing) -> str:
    places = sum(each.concurrency for each in standing.children)
    how = "stopping" if standing.is_stopping else "quiet" if standing.is_quiet else "working"
    return f"{how}; {len(standing.children)} worker processes, {standing.running} of {places} jobs running"
