"""Every check has a hint and a section on the page, and the page has no other."""

import re
from pathlib import Path

import pytest

import django_jobs
from django_jobs import check_messages

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
SOURCES = sorted(Path(django_jobs.__file__).parent.rglob("*.py"))
MADE = re.compile(r"""\b(error|warning|info)\(\s*"([EWI]\d{3})\"""")
HEADING = re.compile(r"^### (\w+)$", re.MULTILINE)


def test_each_id_in_the_code_has_its_section_and_each_section_its_id():
    in_code = [made for source in SOURCES for made in MADE.findall(source.read_text())]
    sections = HEADING.findall((ROOT / check_messages.PAGE).read_text())
    assert sections == sorted({number for _, number in in_code}, key=lambda each: ("EWI".index(each[0]), each))
    # A letter that says something else than the level would mislead.
    assert {(kind[0].upper(), number[0]) for kind, number in in_code} == {("E", "E"), ("W", "W"), ("I", "I")}


def test_nobody_makes_a_message_without_a_section():
    by_hand = re.compile(r"\bchecks\.(Error|Warning|Info)\(")
    makers = [source.name for source in SOURCES if by_hand.search(source.read_text())]
    assert makers == ["check_messages.py"]


def test_a_hint_ends_with_where_to_read_on():
    message = check_messages.warning("W001", "told", "Do this.")
    assert (message.id, message.hint) == ("django_jobs.W001", "Do this. See docs/checks.md#w001")
