"""PostgreSQL: everything in one statement, rows as arrays, locks that insert no key lock."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django_jobs.definitions.rank import LAST_TICK, ORIGIN_EPOCH_SECONDS, TICKS_PER_SECOND
from django_jobs.transitions.sql.base import Columns, Dialect, Insertion, Row, UniqueKey

_ELEMENTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    UUID: lambda value: value.hex,
    int: repr,
    float: repr,
    str: lambda value: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"',
}
# Far more than the kinds of jobs that one process enqueues one by one.
_MOST_TEXTS = 1000
_texts: dict[Hashable, str] = {}


class PostgreSQL(Dialect):
    now = "STATEMENT_TIMESTAMP()"

    def later(self, seconds: str) -> str:
        return f"({self.now} + {seconds} * INTERVAL '1 second')"

    def ticks(self, moment: str) -> str:
        ticks = f"FLOOR((EXTRACT(EPOCH FROM {moment}) - {ORIGIN_EPOCH_SECONDS}) * {TICKS_PER_SECOND})::bigint"
        return f"LEAST({ticks}, {LAST_TICK})"

    def epoch(self, moment: str) -> str:
        return f"EXTRACT(EPOCH FROM {moment})::float8"

    def latest(self, *moments: str) -> str:
        return f"GREATEST({', '.join(moments)})"

    def id_parameter(self, value: UUID | None) -> Any:
        return value

    def read_id(self, value: Any) -> UUID:
        return value  # type: ignore[no-any-return]

    def time_parameter(self, value: datetime | None) -> Any:
        return value

    def among(self, column: str, values: Collection[Any]) -> tuple[str, list[Any]]:
        values = list(values)
        kind = "uuid[]" if values and isinstance(values[0], UUID) else "text[]"
        return f"{column} = ANY(%s::{kind})", [values]

    def flag(self, column: str, value: bool) -> str:
        return column if value else f"NOT {column}"

    def connection_counts(self) -> tuple[int, int] | None:
        ((count, limit, pid),) = self.query(
            # pg_stat_activity shows all sessions to few users only.
            "SELECT (SELECT SUM(numbackends) FROM pg_stat_database), "
            "CURRENT_SETTING('max_connections')::int - CURRENT_SETTING('superuser_reserved_connections')::int, "
            "pg_backend_pid()"
        )
        # Who promised another process is a PgBouncer: of its clients the server does not know.
        is_direct = pid == self.connection.connection.info.backend_pid
        return (int(count), int(limit)) if is_direct else None

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
        lock = " FOR NO KEY UPDATE SKIP LOCKED" if skip_locked else " FOR NO KEY UPDATE"
        # An array that is made first is looked up by primary key, whatever the statistics of the table say.
        chosen = self._chosen("id", where, order, limit, also, lock)
        return self.query(
            f"UPDATE {self.job} SET {sets} WHERE id = ANY(ARRAY({chosen})) RETURNING {returning}",
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
        source, parameters = self._rows(columns, records)
        ids = [record[0] for record in records]
        mine = "%s::uuid[]"
        if skip_locked:
            mine = f"ARRAY(SELECT id FROM {self.job} WHERE id = ANY({mine}) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"
        # The list of ids beside the join keeps the primary key in the plan on a table that was analysed while empty.
        return self.query(
            f"UPDATE {self.job} AS j SET {sets} FROM {source} "
            f"WHERE j.id = o.id AND j.id = ANY({mine}) AND {guard} RETURNING {returning}",
            [*parameters, ids],
        )

    def insert(self, insertion: Insertion, records: Sequence[Row], unique: UniqueKey) -> list[Row]:
        if len(records) == 1:
            text = self._remembered((insertion, unique), lambda: self._insert_of_one(insertion, unique))
            return self.query(text, dict(zip(insertion.columns, records[0], strict=True)))
        rows, parameters = self._rows(insertion.columns, records)
        values = insertion.values(self, self.of_record)
        return self.query(
            self._insert(insertion, values, f"SELECT {', '.join(values.values())} FROM {rows}", unique), parameters
        )

    def _insert_of_one(self, insertion: Insertion, unique: UniqueKey) -> str:
        """VALUES are planned in less time than a SELECT from one row."""
        columns = insertion.columns
        values = insertion.values(self, lambda column: f"%({column})s::{columns[column]}")
        return self._insert(insertion, values, f"VALUES ({', '.join(values.values())})", unique)

    def _insert(self, insertion: Insertion, values: dict[str, str], source: str, unique: UniqueKey) -> str:
        names = ", ".join(self.connection.ops.quote_name(name) for name in values)
        returning = insertion.returning(self)
        return f"INSERT INTO {self.job} ({names}) {source} ON CONFLICT {unique.target} DO NOTHING RETURNING {returning}"

    def _remembered(self, key: Hashable, make: Callable[[], str]) -> str:
        """Return a text that depends on nothing but the key; made once, unless the time is part of it."""
        if self.now is not type(self).now:
            return make()
        if key not in _texts:
            if len(_texts) >= _MOST_TEXTS:
                _texts.clear()
            _texts[key] = make()
        return _texts[key]

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        if not isinstance(parameters, Mapping):
            parameters = [_array(each) if isinstance(each, list) else each for each in parameters]
        return super().query(sql, parameters)

    def limit_lock_waits(self, milliseconds: int) -> None:
        # In somebody else's transaction, as of a test that drains, it would hold for all that they do afterwards.
        if not self.connection.savepoint_ids:
            self.execute(f"SET LOCAL lock_timeout = {int(milliseconds)}")

    def limit_idleness(self, seconds: float) -> None:
        self.execute(f"SET LOCAL idle_in_transaction_session_timeout = {round(seconds * 1000)}")

    def _rows(self, columns: Columns, records: Sequence[Row]) -> tuple[str, list[Any]]:
        shared, own = self.divided(columns, records)
        quoted = {name: self.connection.ops.quote_name(name) for name in columns}
        selected = [f"%s::{columns[name]} AS {quoted[name]}" for name in shared] + [quoted[name] for name in own]
        if not own:
            return f"(SELECT {', '.join(selected)}) AS o", list(shared.values())
        arrays = ", ".join(f"%s::{columns[name]}[]" for name in own)
        names = ", ".join(quoted[name] for name in own)
        source = f"(SELECT {', '.join(selected)} FROM unnest({arrays}) AS own({names})) AS o"
        return source, [*shared.values(), *map(list, own.values())]


def _array(values: list[Any]) -> Any:
    """Write a list as PostgreSQL reads an array; the driver takes four times as long, half of a worker's own time."""
    try:
        return "{" + ",".join([_ELEMENTS[type(value)](value) for value in values]) + "}"
    except KeyError:
        return values  # of another type: the driver knows it
