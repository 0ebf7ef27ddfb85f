"""How much a database does for some queries: a number that grows with the rows that it looks at, and not with time."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

TABLE = "django_jobs_job"


def refresh_statistics() -> None:
    """Let the planner know what is in the table."""
    statements = {"mysql": f"ANALYZE TABLE {TABLE}", "postgresql": f"VACUUM ANALYZE {TABLE}", "sqlite": "ANALYZE"}
    with connection.cursor() as cursor:
        cursor.execute(statements[connection.vendor])


def work(act: Callable[[], object]) -> int:
    """Return what the database did for `act`: rows of the job table, or steps of its machine."""
    return {"mysql": _rows_read, "postgresql": _rows_of_plans, "sqlite": _steps}[connection.vendor](act)


def _steps(act: Callable[[], object]) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.ensure_connection()
    raw: Any = connection.connection
    raw.set_progress_handler(count, 10)
    try:
        act()
    finally:
        raw.set_progress_handler(None, 0)
    return steps


def _rows_read(act: Callable[[], object]) -> int:
    def read() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%%'")
            return sum(int(value) for _, value in cursor.fetchall())

    # To ask for the status reads rows, too; how many is seen by asking twice.
    first = read()
    asking = read() - first
    before = read()
    act()
    return read() - before - asking


def _rows_of_plans(act: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    asked = [each["sql"] for each in queries if TABLE in each["sql"] and each["sql"].startswith("SELECT")]
    return sum(_rows_of_plan(sql) for sql in asked)


def _rows_of_plan(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}".replace("%", "%%"), [])
        (plan,) = cursor.fetchone()
    return sum(
        _rows_of_node(node) for node in _nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)


def _rows_of_node(node: dict[str, Any]) -> int:
    if node.get("Relation Name") != TABLE:
        return 0
    passed_over = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    seen: float = node["Actual Rows"] + sum(node.get(key, 0) for key in passed_over)
    return round(seen * node["Actual Loops"])
