"""What bodies say while they run. It stays in memory and is written now and then, for all of them together, and at
the end of each attempt in the transaction that writes its outcome. A body that says nothing costs nothing.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import clean_text
from django_jobs.definitions.outcomes import Claim
from django_jobs.definitions.progress import Progress, checked, is_plain, to_text
from django_jobs.models import LogLine
from django_jobs.models.report import line_text
from django_jobs.transitions.reports import ReportRow, fences, keep_reports, stored_logs
from django_jobs.transitions.transactions import in_transaction

# The notes of a job are written once in so long, however much it says.
REST_SECONDS = 2.5
LONGEST_LOG_CALL = 10_000

# Notes that hold something new, by claim: id and fence.
_new: dict[tuple[UUID, int], "Notes"] = {}
# For log lines alone: bodies may have threads of their own, and the recorder reads.
_lock = threading.Lock()


def write_due(using: str) -> None:
    """Write what running bodies have said, those whose time has come, in a transaction of its own."""
    if not _new:
        return
    now = clock.monotonic()
    due = [each for each in list(_new.values()) if each.is_due(now)]
    if not due:
        return
    for each in due:
        each.take()
    try:
        in_transaction(using, lambda: write(using, due))
    except BaseException:
        put_back(due)
        raise


def take_last(claims: Iterable[Claim]) -> list["Notes"]:
    """Return the notes of attempts that are over, those that hold something new, to be written with their outcomes."""
    if not _new:
        return []
    last = [notes for claim in claims if (notes := _new.get((claim.id, claim.fence))) is not None]
    for each in last:
        each.take()
    return last


def put_back(notes: Iterable["Notes"]) -> None:
    """Keep notes that could not be written."""
    for each in notes:
        each.put_forward()


def write(using: str, notes: Sequence["Notes"]) -> None:
    """Write notes in the caller's transaction, except those of jobs that were taken away since: these are closed."""
    if not notes:
        return
    present = fences(using, [each.id for each in notes])
    own: list[Notes] = []
    for each in notes:
        if present.get(each.id) == each.fence:
            own.append(each)
        else:
            each.close()
    unread = [each for each in own if each.needs_earlier]
    if unread:
        logs = stored_logs(using, [each.id for each in unread])
        for each in unread:
            each.put_earlier(*logs.get(each.id, ("", 0)))
    keep_reports(using, [each.row() for each in own])


class Notes:
    """What one attempt says. It costs nothing until something is said."""

    _progress: tuple[Any, Any, Any] | None = None
    _lines: deque[str] | None = None
    _size = 0
    _dropped = 0
    _is_new = False
    _next_write = 0.0
    # Whether the lines of earlier attempts stand before those of this one.
    _has_earlier = False

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    @property
    def id(self) -> UUID:
        return self._claim.id

    @property
    def fence(self) -> int:
        return self._claim.fence

    # Called by the body, in any of its threads.

    def progress(self, current: Any, total: float | None, message: str) -> None:
        if not is_plain(current, total, message):
            current, total, message = checked(current, total, message)
        self._progress = (current, total, message)
        # Looked at after that: whoever takes the notes looks the other way round, and nothing is lost.
        if not self._is_new:
            self.put_forward()

    def log(self, text: object) -> None:
        attempt, now = self._claim.attempt, clock.now()
        lines = [line_text(LogLine(attempt, now, each)) for each in log_lines(text)]
        with _lock:
            if self._lines is None:
                self._lines = deque()
            self._lines += lines
            self._size += sum(map(_size, lines))
            self._cut()
        if not self._is_new:
            self.put_forward()

    # Called by whoever writes.

    def is_due(self, now: float) -> bool:
        return now >= self._next_write

    def take(self) -> None:
        """Say that they are about to be written; what is said from now on is new again."""
        _new.pop((self.id, self.fence), None)
        self._is_new = False
        self._next_write = clock.monotonic() + REST_SECONDS

    def put_forward(self) -> None:
        """Say that they hold something new."""
        self._is_new = True
        _new[self.id, self.fence] = self

    def close(self) -> None:
        """Say that the job is another's now: nothing that is said from now on is new."""
        self._is_new = True

    @property
    def needs_earlier(self) -> bool:
        # The first start of a job has nothing before it.
        return self.fence > 1 and not self._has_earlier

    def put_earlier(self, log_text: str, dropped: int) -> None:
        """Put the lines of earlier attempts before those of this one."""
        earlier = [each for each in log_text.split("\n") if each]
        with _lock:
            self._lines = deque([*earlier, *(self._lines or ())])
            self._size += sum(map(_size, earlier))
            self._dropped += dropped
            self._has_earlier = True
            self._cut()

    def row(self) -> ReportRow:
        progress = "" if self._progress is None else to_text(Progress(*self._progress))
        with _lock:
            log, dropped = "\n".join(self._lines or ()), self._dropped
        return ReportRow(self.id, progress, log, dropped, self.fence)

    def _cut(self) -> None:
        """Drop the oldest lines of a log that is too long; its end tells more than its beginning."""
        settings, lines = get_settings(), self._lines
        while lines and (len(lines) > settings.MAX_LOG_LINES or self._size > settings.MAX_LOG_BYTES):
            self._size -= _size(lines.popleft())
            self._dropped += 1


def log_lines(text: object) -> list[str]:
    """Return the lines that a log takes of a text, clean, and not more of it than a log may hold."""
    limit = min(LONGEST_LOG_CALL, get_settings().MAX_LOG_BYTES // 4)
    return clean_text(str(text), limit).splitlines() or [""]


def _size(line: str) -> int:
    return (len(line) if line.isascii() else len(line.encode())) + 1


_make_notes: Callable[[Claim], Notes] = Notes


def notes_of(claim: Claim) -> Notes:
    """Return notes for an attempt that begins."""
    return _make_notes(claim)


def make_notes_by(make: Callable[[Claim], Notes]) -> None:
    """Have the notes of this process made by another: one that passes on what is said to whoever writes it."""
    global _make_notes
    _make_notes = make
