"""From one value of a column to the next over an index: one look for each, however many rows have it."""

from collections.abc import Iterator
from typing import Any

from django_jobs.models import JobQuerySet


def each_value(rows: JobQuerySet, column: str, *, above: Any) -> Iterator[Any]:
    """Yield each value above a first one once, in order. An index begins with the column, after what `rows` fix."""
    values = rows.order_by(column).values_list(column, flat=True)
    while (above := values.filter(**{f"{column}__gt": above}).first()) is not None:
        yield above
