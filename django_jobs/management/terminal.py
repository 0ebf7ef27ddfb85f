"""What somebody at a terminal sees and is asked while a command works."""

import sys
from typing import TextIO

from django.core.management.base import CommandError, OutputWrapper

# What takes no time needs no bar.
LEAST = 2_000
WIDTH = 30


class ProgressBar:
    """A bar on a terminal; nothing at all anywhere else. Call it with the number that is done."""

    def __init__(self, stream: OutputWrapper, total: int) -> None:
        self._stream, self._total = stream, total
        self._is_shown = total >= LEAST and stream.isatty()
        self._drawn = ""

    def __call__(self, done: int) -> None:
        if not self._is_shown:
            return
        # There may be more by now than there were when they were counted.
        share = min(done / self._total, 1.0)
        filled = int(share * WIDTH)
        drawn = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {int(share * 100):3d} % of {self._total:,}"
        if drawn != self._drawn:
            self._drawn = drawn
            self._write(f"\r{drawn}")

    def end(self) -> None:
        """Leave the line, so that what follows begins on the next one."""
        if self._drawn:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text, style_func=str, ending="")
        self._stream.flush()


def confirm(stream: OutputWrapper, what: str, answers: TextIO | None = None) -> None:
    """Ask whether `what` shall be done. Raises CommandError unless somebody at a terminal says yes."""
    answers = answers or sys.stdin
    if not answers.isatty():
        raise CommandError(f"{what} Nobody can be asked here; with --yes it is done without asking.")
    stream.write(f"{what} Type yes to go on: ", style_func=str, ending="")
    stream.flush()
    if answers.readline().strip().lower() != "yes":
        raise CommandError("Nothing was done.")
