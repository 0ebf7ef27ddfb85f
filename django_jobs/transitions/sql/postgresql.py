"""PostgreSQL: everything in one statement, rows as arrays, locks that insert no key lock."""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import transaction

from django_jobs.conf import OWN_CONNECTION
from django_jobs.definitions.rank import LAST_TICK, ORIGIN_EPOCH_SECONDS, TICKS_PER_SECOND
from django_jobs.transitions.sql.base import Answer, Dialect, Insertion
from django_jobs.transitions.sql.records import Columns, Row, Table

_ELEMENTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    UUID: lambda value: f"{value.int:032x}",
    int: repr,
    float: repr,
    str: lambda value: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"',
}
# Far more than the kinds of jobs that one process enqueues one by one.
_MOST_TEXTS = 1000
_texts: dict[Hashable, str] = {}
# What the sessions of a worker were told last; None: told in each transaction, for somebody else has them in between.
_sessions: WeakKeyDictionary[Any, dict[str, str] | None] = WeakKeyDictionary()


class PostgreSQL(Dialect):
    now = "STATEMENT_TIMESTAMP()"

    def later(self, seconds: str) -> str:
        return f"({self.now} + {seconds} * INTERVAL '1 second')"

    def ticks(self, moment: str) -> str:
        # Exact, for a moment is a whole number of microseconds; with decimal numbers it would take ten times as long.
        microseconds = f"ROUND(({self.epoch(moment)} - {ORIGIN_EPOCH_SECONDS}) * 1e6)"
        return f"LEAST(FLOOR({microseconds} / {1_000_000 // TICKS_PER_SECOND})::bigint, {LAST_TICK})"

    def epoch(self, moment: str) -> str:
        # EXTRACT would make a decimal number of it first.
        return f"DATE_PART('epoch', {moment})"

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
        table = self.divided(columns, records)
        ids = [record[0] for record in records]
        mine = "%s::uuid[]"
        if skip_locked:
            mine = f"ARRAY(SELECT id FROM {self.job} WHERE id = ANY({mine}) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"
        # The list of ids beside the join keeps the primary key in the plan on a table that was analysed while empty.
        return self.query(
            f"UPDATE {self.job} AS j SET {sets} FROM {self._source(columns, table)} "
            f"WHERE j.id = o.id AND j.id = ANY({mine}) AND {guard} RETURNING {returning}",
            [*table.shared.values(), *map(_array, table.own.values()), ids],
        )

    def insert(self, insertion: Insertion, table: Table) -> Answer:
        if len(table) == 1:
            text = self._remembered((insertion, "one"), lambda: self._insert_of_one(insertion))
            return self._sent(text, table.only())
        text = self._remembered((insertion, "many"), lambda: self._insert_of_many(insertion, table))
        return self._sent(text, [*table.shared.values(), *map(_array, table.own.values())])

    def _insert_of_one(self, insertion: Insertion) -> str:
        """VALUES are planned in less time than a SELECT from one row."""
        columns = insertion.columns
        values = insertion.values(self, lambda column: f"%({column})s::{columns[column]}")
        return self._insert(insertion, values, f"VALUES ({', '.join(values.values())})")

    def _insert_of_many(self, insertion: Insertion, table: Table) -> str:
        values = insertion.values(self, self.of_record)
        source = self._source(insertion.columns, table)
        text = self._insert(insertion, values, f"SELECT {', '.join(values.values())} FROM {source}")
        # All are inserted whatever is read of them.
        return f"WITH stored AS ({text}) SELECT * FROM stored LIMIT 1" if insertion.is_uniform else text

    def _insert(self, insertion: Insertion, values: dict[str, str], source: str) -> str:
        names = ", ".join(self.connection.ops.quote_name(name) for name in values)
        # Where nothing can be taken it is not asked for, which costs a second record in the log for each row.
        unless = "" if insertion.unique is None else f" ON CONFLICT {insertion.unique.target} DO NOTHING"
        return f"INSERT INTO {self.job} ({names}) {source}{unless} RETURNING {insertion.returning(self)}"

    def _sent(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any]) -> Answer:
        """Send one statement; in a pipeline its answer comes when it is asked for."""
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters)

        def answer() -> list[Row]:
            with cursor:
                return cursor.fetchall()  # type: ignore[no-any-return]

        return answer

    @contextmanager
    def pipelined(self) -> Iterator[bool]:
        self.connection.ensure_connection()
        session = self.connection.connection
        if not _can_pipeline(session):
            yield False
            return
        # What one of its statements raises may come to light at its end.
        with self.connection.wrap_database_errors, session.pipeline():
            yield True

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

    @contextmanager
    def transaction(self, idle_seconds: float, lock_wait_milliseconds: int | None) -> Iterator[None]:
        limits = {"idle_in_transaction_session_timeout": f"'{round(idle_seconds * 1000)}'"}
        if lock_wait_milliseconds is not None:
            limits["lock_timeout"] = f"'{lock_wait_milliseconds}'"
        if self._has_own_session():
            # NULL: what the settings of the user say.
            self._limit_session({"lock_timeout": "NULL"} | limits)
            with transaction.atomic(using=self.connection.alias):
                yield
            return
        with transaction.atomic(using=self.connection.alias):
            self._limit(limits, only_here=True)
            yield

    def _has_own_session(self) -> bool:
        """Tell whether the session is the worker's, and no PgBouncer lends it to others after a transaction."""
        if OWN_CONNECTION not in self.connection.settings_dict:
            return False
        self.connection.ensure_connection()
        session = self.connection.connection
        if session not in _sessions:
            ((pid,),) = self.query("SELECT pg_backend_pid()")
            _sessions[session] = {} if pid == session.info.backend_pid else None
        return _sessions[session] is not None

    def _limit_session(self, limits: dict[str, str]) -> None:
        """Say once what is the same for one transaction after the other: each saying is a round trip.

        After it the thread has to wait for Python's lock, which the bodies have that it has just started.
        """
        if _sessions[self.connection.connection] != limits:
            self._limit(limits, only_here=False)
            _sessions[self.connection.connection] = limits

    def _limit(self, limits: dict[str, str], *, only_here: bool) -> None:
        values = ", ".join(f"SET_CONFIG('{name}', {value}, {only_here})" for name, value in limits.items())
        self.query(f"SELECT {values}")

    def _source(self, columns: Columns, table: Table) -> str:
        """Return the records to select from; its parameters are what they share, then an array for each column."""
        quoted = {name: self.connection.ops.quote_name(name) for name in columns}
        selected = [f"%s::{columns[name]} AS {quoted[name]}" for name in table.shared]
        if not table.own:
            return f"(SELECT {', '.join(selected)}) AS o"
        selected += [quoted[name] for name in table.own]
        arrays = ", ".join(f"%s::{columns[name]}[]" for name in table.own)
        names = ", ".join(quoted[name] for name in table.own)
        return f"(SELECT {', '.join(selected)} FROM unnest({arrays}) AS own({names})) AS o"


def _can_pipeline(session: Any) -> bool:
    """Psycopg 2, and clients of before PostgreSQL 14, take one statement after the other."""
    if not hasattr(session, "pipeline"):
        return False
    from psycopg import Pipeline

    return bool(Pipeline.is_supported())


def _array(values: Sequence[Any]) -> Any:
    """Write a list as PostgreSQL reads an array; the driver takes four times as long, half of a worker's own time."""
    try:
        if len(kinds := set(map(type, values))) == 1:
            return "{" + ",".join(map(_ELEMENTS[kinds.pop()], values)) + "}"
        return "{" + ",".join([_ELEMENTS[type(value)](value) for value in values]) + "}"
    except KeyError:
        return list(values)  # of another type: the driver knows it
