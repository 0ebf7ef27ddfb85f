"""What a person at a terminal sees and is asked."""

from io import StringIO

import pytest
from django.core.management.base import CommandError, OutputWrapper

from django_jobs.management.terminal import ProgressBar, confirm


class Terminal(StringIO):
    def isatty(self):
        return True


def test_a_bar_grows_on_one_line():
    screen = Terminal()
    bar = ProgressBar(OutputWrapper(screen), 2_000)
    for done in (500, 501, 2_000):
        bar(done)
    bar.end()
    first, second, *rest = screen.getvalue().lstrip("\r").split("\r")
    assert first == "[#######.......................]  25 % of 2,000"
    assert second == "[##############################] 100 % of 2,000\n"
    assert rest == []


def test_a_bar_never_passes_its_end():
    screen = Terminal()
    ProgressBar(OutputWrapper(screen), 2_000)(3_000)
    assert "100 %" in screen.getvalue()


@pytest.mark.parametrize(("screen", "total"), [(StringIO(), 2_000), (Terminal(), 1_999)])
def test_no_bar_where_nobody_looks_and_none_for_short_work(screen, total):
    bar = ProgressBar(OutputWrapper(screen), total)
    bar(total)
    bar.end()
    assert screen.getvalue() == ""


@pytest.mark.parametrize("answer", ["yes\n", " YES \n"])
def test_only_yes_is_yes(answer):
    screen = Terminal()
    confirm(OutputWrapper(screen), "It will be gone.", Terminal(answer))
    assert screen.getvalue() == "It will be gone. Type yes to go on: "


@pytest.mark.parametrize("answer", ["y\n", "no\n", "\n", ""])
def test_everything_else_is_no(answer):
    with pytest.raises(CommandError, match="Nothing was done"):
        confirm(OutputWrapper(Terminal()), "It will be gone.", Terminal(answer))


def test_where_nobody_can_be_asked_it_must_have_been_said():
    with pytest.raises(CommandError, match=r"It will be gone\. Nobody can be asked here; with --yes"):
        confirm(OutputWrapper(StringIO()), "It will be gone.", StringIO("yes\n"))
