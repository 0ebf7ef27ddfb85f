"""What is printed in a sandbox arrives line by line, in order, whatever bytes it is made of."""

import os
from collections.abc import Iterator

import pytest

from django_jobs.worker.sandbox.output import LONGEST_LINE, SAID, Output, say


class Pipe:
    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        self.output = Output(reading)
        self.lines: list[bytes] = []

    def write(self, data: bytes) -> list[bytes]:
        """Write and return the lines that are whole since."""
        self.lines.clear()
        os.write(self.writing, data)
        while self.output.read(self.lines.append):
            pass
        return list(self.lines)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.output.close()
    os.close(pipe.writing)


def test_lines_arrive_when_they_are_whole(pipe: Pipe):
    assert pipe.write(b"one\ntw") == [b"one"]
    assert pipe.write(b"o\n\n\xff\xfe\nthree") == [b"two", b"", b"\xff\xfe"]
    pipe.lines.clear()
    pipe.output.read_all(pipe.lines.append)
    assert pipe.lines == [b"three"]


def test_what_a_body_logs_begins_a_line_of_its_own(pipe: Pipe):
    os.write(pipe.writing, b"no end")
    say(pipe.writing, ["logged", "", "again ä"])
    assert pipe.write(b"printed\n") == [
        b"no end",
        SAID + b"logged",
        SAID,
        SAID + "again ä".encode(),
        b"printed",
    ]


def test_a_line_that_never_ends_fills_no_memory(pipe: Pipe):
    lines = [*pipe.write(b"x" * (LONGEST_LINE + 5)), *pipe.write(b"y\n")]
    assert b"".join(lines) == b"x" * (LONGEST_LINE + 5) + b"y"
    assert max(map(len, lines)) <= LONGEST_LINE


def test_the_end_of_all_that_may_print_is_noticed(pipe: Pipe):
    os.close(pipe.writing)
    assert not pipe.output.read(pipe.lines.append)
    assert pipe.output.is_over
    pipe.writing = os.dup(2)
