"""Plain text for terminals."""

from django_jobs.management.tables import block, facts, line, table


def test_columns_are_as_wide_as_they_need_and_numbers_stand_on_the_right():
    assert table(("NAME", "N"), [("a", 1), ("longer", 10_000)]) == "NAME        N\na           1\nlonger  10000"


def test_nothing_is_a_dash():
    assert [line(value) for value in (None, "", 0, False)] == ["-", "-", "0", "False"]


def test_names_stand_before_their_values():
    assert facts({"id": 1, "queue": None}) == "id:    1\nqueue: -"


def test_control_characters_are_made_visible():
    assert line("a\n\x1b[0m\x9b\u202eé") == r"a\n\x1b[0m\x9b\u202eé"


def test_a_block_keeps_its_lines_and_nothing_else_that_moves_the_cursor():
    assert block("one\n\ttwo\r\n\nthree") == "    one\n        two\\r\n\n    three"
