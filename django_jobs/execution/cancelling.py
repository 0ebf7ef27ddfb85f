"""Cancels that were asked for while jobs run here, as the worker last heard of them; and tasks that can be cancelled.

A `def` body asks through its context; an `async def` body is told by the cancellation of its task.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from uuid import UUID

# Id and fence: one attempt of one job.
Key = tuple[UUID, int]

_asked: dict[Key, str] = {}
_tasks: dict[Key, "TaskBody"] = {}


def hear(asked: Mapping[Key, str]) -> None:
    """Learn which running jobs of this process were asked to cancel, and why. Replaces what was known before."""
    global _asked
    before, _asked = _asked, dict(asked)
    for key in asked.keys() - before.keys():
        body = _tasks.get(key)
        if body is not None:
            body.interrupt()


def reason_of(key: Key | None) -> str | None:
    """Return why an attempt was asked to cancel; None if it was not."""
    # Nearly always nobody is asked.
    return _asked.get(key) if _asked and key is not None else None


class TaskBody:
    """The body of an `async def` job while its task runs: other threads may interrupt it, once it has begun."""

    __slots__ = ("_key", "_loop", "_task", "is_late")

    def __init__(self, key: Key) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._key, self._task, self._loop = key, task, task.get_loop()
        self.is_late = False

    def __enter__(self) -> "TaskBody":
        _tasks[self._key] = self
        # Looked at after that: whoever asked while middleware prepared the body found nothing to interrupt.
        if self._key in _asked:
            self.interrupt()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Whatever comes now comes too late: it must not hit what the task does after the body.
        del _tasks[self._key]

    def interrupt(self) -> None:
        """Cancel the task. From any thread."""
        with suppress(RuntimeError):  # the loop has ended, and the task with it
            self._loop.call_soon_threadsafe(self._cancel)

    def strike(self) -> None:
        """Cancel the task because its time is up. From any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel_late)

    def _cancel(self) -> None:
        if _tasks.get(self._key) is self:
            self._task.cancel()

    def _cancel_late(self) -> None:
        if _tasks.get(self._key) is self:
            self.is_late = True
            self._task.cancel()
