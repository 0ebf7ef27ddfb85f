"""MariaDB and MySQL: no UPDATE ... RETURNING, so rows are locked, changed and read again in one transaction."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from django_jobs.definitions.rank import LAST_TICK, TICKS_PER_SECOND
from django_jobs.transitions.sql.base import Answer, Dialect, Insertion, UniqueKey
from django_jobs.transitions.sql.records import Columns, Row, Table

_TYPES = {
    "uuid": "CHAR(36)",
    "text": "LONGTEXT",
    "bytea": "CHAR(64)",
    "bigint": "BIGINT",
    "float8": "DOUBLE",
    "boolean": "TINYINT",
    "timestamptz": "DATETIME(6)",
}
_DUPLICATE_ENTRY = 1062


class MySQL(Dialect):
    # Never CURRENT_TIMESTAMP, which is in the session's time zone.
    now = "UTC_TIMESTAMP(6)"
    locks_when_refused = True

    def later(self, seconds: str) -> str:
        return f"({self.now} + INTERVAL ROUND(({seconds}) * 1000000) MICROSECOND)"

    def ticks(self, moment: str) -> str:
        ticks = f"TIMESTAMPDIFF(MICROSECOND, '2025-01-01', {moment}) DIV {1_000_000 // TICKS_PER_SECOND}"
        return f"LEAST({ticks}, {LAST_TICK})"

    def epoch(self, moment: str) -> str:
        return f"(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {moment}) / 1000000e0)"

    def latest(self, *moments: str) -> str:
        return f"GREATEST({', '.join(moments)})"

    def id_parameter(self, value: UUID | None) -> Any:
        if value is None:
            return None
        return str(value) if self.connection.features.has_native_uuid_field else value.hex

    def read_id(self, value: Any) -> UUID:
        return value if isinstance(value, UUID) else UUID(value)

    def time_parameter(self, value: datetime | None) -> Any:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def among(self, column: str, values: Collection[Any]) -> tuple[str, list[Any]]:
        if not values:
            return "FALSE", []
        parameters = [self.id_parameter(each) if isinstance(each, UUID) else each for each in values]
        return f"{column} IN ({', '.join(['%s'] * len(parameters))})", parameters

    def connection_counts(self) -> tuple[int, int] | None:
        ((_, count),) = self.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
        ((limit,),) = self.query("SELECT @@GLOBAL.max_connections")
        return int(count), int(limit)

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
        lock = " FOR UPDATE SKIP LOCKED" if skip_locked else " FOR UPDATE"
        # Whatever the statistics say: what is read to be sorted stays locked, also beyond the limit.
        hint = f" FORCE INDEX ({index})" if index else ""
        chosen = self._chosen("id", where, order, limit, also, lock, hint)
        with transaction.atomic(self.connection.alias, savepoint=False):
            ids = [self.read_id(row[0]) for row in self.query(chosen, [*where_parameters, *also_parameters])]
            if not ids:
                return []
            among, parameters = self.among("id", ids)
            self.execute(f"UPDATE {self.job} SET {sets} WHERE {among}", [*set_parameters, *parameters])
            return self.query(f"SELECT {returning} FROM {self.job} WHERE {among}", parameters)

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
        """Always skip what is locked: here a wait for a lock cannot be shorter than a second."""
        source, rows = self._rows(columns, records)
        # Straight, from each record to its row by its id, whatever the statistics say: so no other row is locked, and
        # no entry of another index, which somebody may have locked who waits for the row, makes it look locked.
        joined = f"{source} STRAIGHT_JOIN {self.job} AS j FORCE INDEX (PRIMARY) ON j.id = o.id"
        lock = f"SELECT j.id FROM {joined} WHERE {guard} ORDER BY j.id FOR UPDATE SKIP LOCKED"
        with transaction.atomic(self.connection.alias, savepoint=False):
            chosen = {self.read_id(row[0]) for row in self.query(lock, [rows])}
            if not chosen:
                return []
            # An update of the others would wait for their locks.
            _, rows = self._rows(columns, [record for record in records if record[0] in chosen])
            self.execute(f"UPDATE {joined} SET {sets} WHERE {guard}", [rows])
            among, parameters = self.among("j.id", chosen)
            return self.query(f"SELECT {returning} FROM {self.job} AS j WHERE {among}", parameters)

    def insert(self, insertion: Insertion, table: Table) -> Answer:
        """Insert unkeyed jobs at once and keyed ones each in a savepoint: IGNORE would swallow other errors too."""
        columns, unique = insertion.columns, insertion.unique
        keys = [None] * len(table) if unique is None else table.own[unique.column]
        unkeyed = table.rows([place for place, key in enumerate(keys) if not key])
        keyed = [table.rows([place]) for place, key in enumerate(keys) if key]
        values = insertion.values(self, self.of_record)
        with transaction.atomic(self.connection.alias, savepoint=False):
            inserted = list(unkeyed.own["id"])
            if inserted:
                self._insert(columns, unkeyed, values)
            for record in keyed:
                if unique is not None and self._insert_keyed(columns, record, values, unique):
                    inserted += record.own["id"]
            among, parameters = self.among("id", inserted[:1] if insertion.is_uniform else inserted)
            rows = self.query(f"SELECT {insertion.returning(self)} FROM {self.job} WHERE {among}", parameters)
        return lambda: rows

    def insert_once(self, insert: str, parameters: Sequence[Any], key: str) -> bool:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(insert, list(parameters))
                return bool(cursor.rowcount == 1)
        except IntegrityError as error:  # it has undone the statement alone, so there is no need for a savepoint
            if error.args[0] == _DUPLICATE_ENTRY:
                return False
            raise

    def lock_to_read_the_present(self) -> str:
        """Above READ COMMITTED only a locking read sees it; a shared one, for those who wait for one row have that."""
        level = getattr(self.connection, "isolation_level", None)
        if not self.connection.in_atomic_block or level == "read committed":
            return ""
        return " LOCK IN SHARE MODE"

    def _unless_newer(self, table: str, columns: Sequence[str]) -> str:
        # The fence is the last: it is compared until then, and assigned from left to right.
        sets = ", ".join(f"{name} = IF(fence <= VALUES(fence), VALUES({name}), {name})" for name in columns[1:])
        return f"ON DUPLICATE KEY UPDATE {sets}"

    def _insert_keyed(self, columns: Columns, record: Table, values: dict[str, str], unique: UniqueKey) -> bool:
        try:
            with transaction.atomic(self.connection.alias):
                self._insert(columns, record, values)
        except IntegrityError as error:
            number, message = error.args[0], str(error.args[1:])
            if number == _DUPLICATE_ENTRY and unique.index in message:
                return False
            raise
        return True

    def _insert(self, columns: Columns, table: Table, values: dict[str, str]) -> None:
        source, parameters = self._source(columns, table)
        names = ", ".join(self.connection.ops.quote_name(name) for name in values)
        expressions = ", ".join(
            f"UNHEX({value})" if columns.get(name) == "bytea" else value for name, value in values.items()
        )
        self.execute(f"INSERT INTO {self.job} ({names}) SELECT {expressions} FROM {source}", parameters)

    def _source(self, columns: Columns, table: Table) -> tuple[str, list[Any]]:
        """Return the records to select from, and the parameters of the expression."""
        if len(table) == 1:
            table = Table(table.only(), {})
        quoted = {name: self.connection.ops.quote_name(name) for name in columns}
        # A moment must be known as one, for a text compares otherwise.
        selected = [
            f"{'CAST(%s AS DATETIME(6))' if columns[name] == 'timestamptz' else '%s'} AS {quoted[name]}"
            for name in table.shared
        ]
        parameters = [self._as_parameter(value) for value in table.shared.values()]
        if not table.own:
            return f"(SELECT {', '.join(selected)}) AS o", parameters
        own = {name: columns[name] for name in table.own}
        source, rows = self._rows(own, list(zip(*table.own.values(), strict=True)))
        selected += [f"o.{quoted[name]}" for name in own]
        return f"(SELECT {', '.join(selected)} FROM {source}) AS o", [*parameters, rows]

    def _rows(self, columns: Columns, records: Sequence[Row]) -> tuple[str, str]:
        paths = ", ".join(
            f"{self.connection.ops.quote_name(name)} {_TYPES[kind]} PATH '$[{index}]'"
            for index, (name, kind) in enumerate(columns.items())
        )
        return f"JSON_TABLE(%s, '$[*]' COLUMNS ({paths})) AS o", json.dumps(records, default=self._as_json)

    def _as_json(self, value: object) -> object:
        if isinstance(value, UUID):
            return self.id_parameter(value)
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, datetime):
            return self.time_parameter(value)
        raise TypeError(f"{value!r} is no value of a job's row.")

    def _as_parameter(self, value: object) -> object:
        return self._as_json(value) if isinstance(value, UUID | bytes | datetime) else value
