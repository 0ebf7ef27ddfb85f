"""What the moves need of a database, and the parts that all databases share.

A moment is an SQL expression of a time; ticks, epochs and ranks are numbers made of one. All times come from the
database's clock, at the start of the statement.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from django_jobs import clock
from django_jobs.definitions.rank import BAND_SIZE, HIGHEST_PRIORITY, LAST_TICK
from django_jobs.models import Job
from django_jobs.models.functions import moment_sql
from django_jobs.transitions.sql.records import Columns, Row, Table

# Returns how a column of a record is written.
Of = Callable[[str], str]
# Waits for the rows of a statement that was sent.
Answer = Callable[[], list[Row]]


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique index that may refuse a row: by the column of the records, where that is not None."""

    index: str
    column: str
    # As ON CONFLICT wants to hear it.
    target: str


class Insertion(Hashable, Protocol):
    """All that a statement which inserts jobs is made of, but for their values."""

    @property
    def columns(self) -> Columns:
        """The columns of its records."""

    @property
    def unique(self) -> UniqueKey | None:
        """The key that may be taken; None: nobody has one."""

    @property
    def is_uniform(self) -> bool:
        """Whether all are stored and one row of the answer tells all, for it is the same for each."""

    def values(self, sql: "Dialect", of: Of) -> dict[str, str]:
        """Return the expression of each column of job; a column that is not there is NULL."""

    def returning(self, sql: "Dialect") -> str:
        """Return what is wanted of each row that was inserted; its id is the first."""


IDEMPOTENCY = UniqueKey("django_jobs_key", "key_digest", "(key_digest) WHERE key_digest IS NOT NULL")
DEDUPLICATION = UniqueKey(
    "django_jobs_deduplication",
    "deduplication_digest",
    "(deduplication_digest, deduplication_slot) WHERE deduplication_slot IS NOT NULL",
)


def unseen(condition: str) -> str:
    """Hide a condition on rows that are looked up by their ids from PostgreSQL's planner.

    By old statistics there may be no row of that state. Then to read all of them, by an index of that state, seems
    shorter than to look up the ids, and one row is all that is expected of it.
    """
    return f"CASE WHEN {condition} THEN TRUE ELSE FALSE END"


class Dialect(ABC):
    """SQL as one vendor speaks it. Made for one call; holds nothing but the connection."""

    # The database's time at the start of the statement.
    now: str
    # Whether an INSERT that a unique index refuses keeps a lock on what refused it until the transaction ends.
    locks_when_refused = False

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.job = connection.ops.quote_name(Job._meta.db_table)
        moment = clock.database_now()
        if moment is not None:
            self.now = moment_sql(connection.vendor, moment)

    # Moments.

    @abstractmethod
    def later(self, seconds: str) -> str:
        """Return the moment that lies `seconds`, an SQL number, after now; before it if negative."""

    @abstractmethod
    def ticks(self, moment: str) -> str:
        """Return the whole number of 0.1 ms between 2025-01-01 UTC and the moment, at most the last of a band."""

    @abstractmethod
    def epoch(self, moment: str) -> str:
        """Return the seconds between 1970-01-01 UTC and the moment."""

    @abstractmethod
    def latest(self, *moments: str) -> str:
        """Return the latest of two or more moments."""

    def rank(self, moment: str, priority: str = "priority", lifo: str = "lifo") -> str:
        """Return the rank under the moment, by the priority and lifo of the row, or by other expressions."""
        band = f"(({HIGHEST_PRIORITY} - {priority}) * 2 + CASE WHEN {lifo} THEN 0 ELSE 1 END)"
        tick = self.ticks(moment)
        return f"({band} * {BAND_SIZE} + CASE WHEN {lifo} THEN {LAST_TICK} - {tick} ELSE {tick} END)"

    # Values.

    @abstractmethod
    def id_parameter(self, value: UUID | None) -> Any:
        """Return an id as the driver takes it."""

    @abstractmethod
    def read_id(self, value: Any) -> UUID:
        """Return an id that the driver gave."""

    @abstractmethod
    def time_parameter(self, value: datetime | None) -> Any:
        """Return an aware datetime as the driver takes it: in UTC, whatever USE_TZ says."""

    @abstractmethod
    def among(self, column: str, values: Collection[Any]) -> tuple[str, list[Any]]:
        """Return a condition "column is one of the values", and its parameters. Values are ids or texts."""

    def place(self, column: str, ids: Collection[UUID]) -> str:
        """Return the place that a row has among the ids, a number to order by."""
        places = " ".join(f"WHEN '{self.id_parameter(id)}' THEN {place}" for place, id in enumerate(ids))
        return f"CASE {column} {places} END"

    def connection_counts(self) -> tuple[int, int] | None:
        """Return how many connections the server has and how many it takes; None where there is no server."""
        return None

    def flag(self, column: str, value: bool) -> str:
        """Return a condition "column is value" that an index can serve."""
        return f"{column} = {int(value)}"

    # Statements. All return rows with the values that hold after the change.

    @abstractmethod
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
        """Lock the rows of `where` in their `order`, change them, return them.

        `also` is asked once for all of them (is the worker alive?), not a row at a time. `index`: by which they are to
        be found, where more might be locked otherwise.
        """

    @abstractmethod
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
        """Change the row `j` of each record `o`; with `skip_locked` only those that nobody has locked.

        `columns` begins with id; no other is called like a column of job. `sets` is evaluated from left to right on
        MySQL, so what reads an old value comes before what changes it.
        """

    @abstractmethod
    def insert(self, insertion: Insertion, table: Table) -> Answer:
        """Insert a row for each record unless its unique key is taken; answer with those that were inserted.

        Where all are alike, one or more rows are the answer.
        """

    def pipelined(self) -> AbstractContextManager[bool]:
        """Let `insert` return before the database has answered; tell whether it does. Inside of a transaction."""
        return nullcontext(False)

    def of_record(self, column: str) -> str:
        """Return a column of a record in a statement that selects from records as `o`."""
        return f"o.{self.connection.ops.quote_name(column)}"

    def divided(self, columns: Columns, records: Sequence[Row]) -> Table:
        """Return the records by column: what is the same in all travels once, however many there are."""
        shared: dict[str, Any] = {}
        own: dict[str, Sequence[Any]] = {}
        for name, values in zip(columns, zip(*records, strict=True), strict=True):
            # The last one first: of ids it tells at once that they differ.
            if values[-1] == values[0] and values.count(values[0]) == len(values):
                shared[name] = values[0]
            else:
                own[name] = values
        return Table(shared, own)

    def keep_newest(self, model: type[Model], columns: Sequence[str], records: Sequence[Row]) -> None:
        """Insert each record, or put it in the place of the row with its key unless that has a higher fence.

        `columns` begins with the key, an id, and ends with the fence.
        """
        quote = self.connection.ops.quote_name
        table, names = quote(model._meta.db_table), ", ".join(columns)
        line = f"({', '.join(['%s'] * len(columns))})"
        values = [value for id, *others in records for value in (self.id_parameter(id), *others)]
        self.execute(
            f"INSERT INTO {table} ({names}) VALUES {', '.join([line] * len(records))} "
            f"{self._unless_newer(table, columns)}",
            values,
        )

    def _unless_newer(self, table: str, columns: Sequence[str]) -> str:
        sets = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
        return f"ON CONFLICT ({columns[0]}) DO UPDATE SET {sets} WHERE {table}.fence <= excluded.fence"

    def insert_once(self, insert: str, parameters: Sequence[Any], key: str) -> bool:
        """Run an INSERT of one row unless its `key`, columns of a unique index, is taken; tell whether it came in."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"{insert} ON CONFLICT ({key}) DO NOTHING", list(parameters))
            return bool(cursor.rowcount == 1)

    def limit_lock_waits(self, milliseconds: int) -> None:
        """Let statements fail that wait longer for a lock, where the database can, and the transaction is ours."""

    def transaction(self, idle_seconds: float, lock_wait_milliseconds: int | None) -> AbstractContextManager[None]:
        """Begin a transaction that ends, with its session, if nothing is asked of it for so long.

        Statements that wait longer for a lock fail; None: they may wait. Both where the database can.
        """
        return transaction.atomic(using=self.connection.alias)

    def lock_to_read_the_present(self) -> str:
        """Return what a SELECT needs at its end to see rows that were committed after the transaction began."""
        return ""

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Run one statement that returns rows, and return them."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters if isinstance(parameters, Mapping) else list(parameters))
            return cursor.fetchall()  # type: ignore[no-any-return]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement that returns no rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, list(parameters))

    def _chosen(
        self, columns: str, where: str, order: str, limit: int | None, also: str, lock: str, hint: str = ""
    ) -> str:
        """Return the SELECT that picks and locks the rows of an update."""
        condition = f"{where} AND {also}" if also else where
        end = f" LIMIT {int(limit)}" if limit is not None else ""
        return f"SELECT {columns} FROM {self.job}{hint} WHERE {condition} ORDER BY {order}{end}{lock}"
