"""What a sandbox prints, Python or native code, to standard output or error: one pipe that its worker reads."""

import os
import re
from collections.abc import Callable, Iterable

# Before each line that a body says to the log of its job: it begins a line of its own, and is no output.
SAID = b"\x1e"
# A line that is longer is cut into several.
LONGEST_LINE = 40_000
CHUNK = 65536
_LINE_END = re.compile(rb"\n|(?<=[^\n])(?=" + SAID + rb")")

Hear = Callable[[bytes], None]


class Output:
    """The worker's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._begun = b""
        # Whether nobody can print any more.
        self.is_over = False

    def fileno(self) -> int:
        return self._descriptor

    def read(self, hear: Hear) -> bool:
        """Hand over the lines that are there, without their ends; return whether more may be there now."""
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return False
        self.is_over = not data
        *whole, self._begun = _LINE_END.split(self._begun + data)
        for line in whole:
            _hand_over(line, hear)
        if len(self._begun) >= LONGEST_LINE:
            self.end_line(hear)
        return bool(data)

    def read_all(self, hear: Hear) -> None:
        """Hand over what is there; the last line too, if it has no end."""
        # Bounded, for a process that the body has left behind may print for ever.
        for _ in range(64):
            if not self.read(hear):
                break
        self.end_line(hear)

    def end_line(self, hear: Hear) -> None:
        begun, self._begun = self._begun, b""
        if begun:
            _hand_over(begun, hear)

    def close(self) -> None:
        os.close(self._descriptor)


def _hand_over(line: bytes, hear: Hear) -> None:
    for start in range(0, max(len(line), 1), LONGEST_LINE):
        hear(line[start : start + LONGEST_LINE])


def say(descriptor: int, lines: Iterable[str]) -> None:
    """Write lines for the log of the job to the pipe, in order with what is printed."""
    data = b"".join(SAID + line.encode(errors="replace") + b"\n" for line in lines)
    while data:
        data = data[os.write(descriptor, data) :]
