"""SQLite: one writer at a time, so nothing is locked by row; and lists travel as JSON."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django_jobs.definitions.rank import LAST_TICK, TICKS_PER_SECOND
from django_jobs.transitions.sql.base import Answer, Dialect, Insertion
from django_jobs.transitions.sql.records import Columns, Row, Table

_ORIGIN_JULIAN_DAY = 2460676.5
_UNIX_JULIAN_DAY = 2440587.5
# As Django writes datetimes, so that they compare as text. SQLite's clock knows milliseconds.
_FORMAT = "'%%Y-%%m-%%d %%H:%%M:%%f000'"

# What SQLite takes in one statement unless it was built otherwise.
MOST_VARIABLES = 32_766


class SQLite(Dialect):
    now = f"strftime({_FORMAT}, 'now')"

    def later(self, seconds: str) -> str:
        start = "'now'" if self.now == SQLite.now else self.now
        return f"strftime({_FORMAT}, {start}, printf('%%+.3f seconds', {seconds}))"

    def ticks(self, moment: str) -> str:
        ticks = f"CAST(ROUND((julianday({moment}) - {_ORIGIN_JULIAN_DAY}) * {86_400 * TICKS_PER_SECOND}) AS INTEGER)"
        # The very last moment of the calendar is rounded up to one that SQLite does not know.
        return f"MIN(IFNULL({ticks}, {LAST_TICK}), {LAST_TICK})"

    def epoch(self, moment: str) -> str:
        return f"(ROUND((julianday({moment}) - {_UNIX_JULIAN_DAY}) * 86400000) / 1000)"

    def latest(self, *moments: str) -> str:
        return f"MAX({', '.join(moments)})"

    def id_parameter(self, value: UUID | None) -> Any:
        return None if value is None else value.hex

    def read_id(self, value: Any) -> UUID:
        return UUID(value)

    def time_parameter(self, value: datetime | None) -> Any:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def among(self, column: str, values: Collection[Any]) -> tuple[str, list[Any]]:
        texts = [each.hex if isinstance(each, UUID) else each for each in values]
        return f"{column} IN (SELECT value FROM json_each(%s))", [json.dumps(texts)]

    def update(
        self,
        sets: str,
        set_parameters: Sequence[Any],
        where: str,
        where_parameters: Sequence[Any],
        returning: str,
        *,
        order: str = "id",
        limit: int | None = None,
        index: str = "",
        skip_locked: bool = False,
        also: str = "",
        also_parameters: Sequence[Any] = (),
    ) -> list[Row]:
        chosen = self._chosen("id", where, order, limit, also, "")
        return self.query(
            f"UPDATE {self.job} SET {sets} WHERE id IN ({chosen}) RETURNING {returning}",
            [*set_parameters, *where_parameters, *also_parameters],
        )

    def update_each(
        self,
        columns: Columns,
        records: Sequence[Row],
        sets: str,
        guard: str,
        returning: str,
        *,
        skip_locked: bool = False,
    ) -> list[Row]:
        source, parameters = self._rows(self.divided(columns, records))
        # RETURNING in an UPDATE knows the table under its own name only.
        return self.query(
            f"UPDATE {self.job} AS j SET {sets} FROM {source} WHERE j.id = o.id AND {guard} "
            f"RETURNING {returning.replace('j.', '')}",
            parameters,
        )

    def insert(self, insertion: Insertion, table: Table) -> Answer:
        source, parameters = self._rows(table)
        if len(parameters) > MOST_VARIABLES and len(table) > 1:
            answers = [self.insert(insertion, half) for half in table.halves()]
            return lambda: [row for answer in answers for row in answer()]
        values = insertion.values(self, self.of_record)
        names = ", ".join(self.connection.ops.quote_name(name) for name in values)
        # "WHERE TRUE" tells SQLite's parser that ON is not the beginning of a join.
        unless = "" if insertion.unique is None else f"WHERE TRUE ON CONFLICT {insertion.unique.target} DO NOTHING "
        rows = self.query(
            f"INSERT INTO {self.job} ({names}) SELECT {', '.join(values.values())} FROM {source} "
            f"{unless}RETURNING {insertion.returning(self)}",
            parameters,
        )
        return lambda: rows

    def _rows(self, table: Table) -> tuple[str, list[Any]]:
        quote = self.connection.ops.quote_name
        selected = [f"%s AS {quote(name)}" for name in table.shared]
        selected += [f"column{number} AS {quote(name)}" for number, name in enumerate(table.own, 1)]
        parameters = list(table.shared.values())
        if not table.own:
            return f"(SELECT {', '.join(selected)}) AS o", self._parameters(parameters)
        line = f"({', '.join(['%s'] * len(table.own))})"
        source = f"(SELECT {', '.join(selected)} FROM (VALUES {', '.join([line] * len(table))})) AS o"
        for values in zip(*table.own.values(), strict=True):
            parameters += values
        return source, self._parameters(parameters)

    def _parameters(self, values: Sequence[Any]) -> list[Any]:
        return [self._parameter(value) for value in values]

    def _parameter(self, value: Any) -> Any:
        if isinstance(value, UUID):
            return value.hex
        return self.time_parameter(value) if isinstance(value, datetime) else value
