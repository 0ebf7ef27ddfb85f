"""Jobs before they are stored: what each has of its own, what all of a kind share, and both as rows to insert."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django_jobs.definitions.metadata import Fact
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.sql.base import DEDUPLICATION, IDEMPOTENCY, Dialect, Of, UniqueKey
from django_jobs.transitions.sql.records import Columns, Table

# Django's name of a field -> the type of its column, in the words of PostgreSQL.
_TYPES = {
    "UUIDField": "uuid",
    "CharField": "text",
    "TextField": "text",
    "BooleanField": "boolean",
    "SmallIntegerField": "bigint",
    "PositiveSmallIntegerField": "bigint",
    "IntegerField": "bigint",
    "PositiveIntegerField": "bigint",
    "BigIntegerField": "bigint",
    "FloatField": "float8",
    "DateTimeField": "timestamptz",
    "BinaryField": "bytea",
}
# What only the statement knows; every other column is stored as the row has it.
_DECIDED = ("state", "rank", "enqueued_at", "key_expires_at", "deduplication_expires_at")
_STORED = {
    each.attname: _TYPES[each.get_internal_type()] for each in Job._meta.concrete_fields if each.attname not in _DECIDED
}
# Seconds from the INSERT on, of which the statement makes moments.
_SECONDS = ("delay", "expires_after", "key_seconds", "held_seconds")
_COLUMNS = {**_STORED, **dict.fromkeys(_SECONDS, "float8")}
# What the rank and the moments of a row come from.
_DECIDING = {"priority", "lifo", "run_after", "expires_at", *_SECONDS}
# Most columns of most rows are one of these. They stand in the statement and need not travel with it.
_LITERALS: dict[tuple[type, Any], str] = {(int, 0): "0", (bool, False): "FALSE", (str, ""): "''"}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What all jobs share that are made of one function with the same options.

    `columns`: all columns of a row; `own`: those of which each job has a value of its own. `delay`, `expires_after`:
    seconds from the INSERT, where the columns name no moment; neither: at once, never.
    """

    columns: Mapping[str, Any]
    own: tuple[str, ...]
    delay: float | None = None
    expires_after: float | None = None
    key_seconds: float | None = None
    # For so long a deduplication key is held, if not while the job is alive.
    held_seconds: float | None = None
    metadata: Mapping[str, Fact] | None = None
    # The kind of key that each of the jobs has.
    unique: UniqueKey | None = field(init=False)
    form: "Form" = field(init=False)

    def __post_init__(self) -> None:
        unique = next((each for each in (IDEMPOTENCY, DEDUPLICATION) if each.column in self.own), None)
        object.__setattr__(self, "unique", unique)
        object.__setattr__(self, "form", _form([self], State.READY))

    def values(self) -> dict[str, Any]:
        """Return what the jobs share, as the statement names it."""
        return {**self.columns, **{name: getattr(self, name) for name in _SECONDS}}


@dataclass(slots=True)
class NewJob:
    """A row to insert, complete but for what the database's clock decides. Frozen it would take three times as long."""

    job: Job
    template: Template


@dataclass(frozen=True, slots=True, eq=False)
class Insertion:
    """How jobs are stored of which these columns are given; each is made once, so that it can be known by itself."""

    own: tuple[str, ...]
    # Column -> how it is written in the statement.
    literals: Mapping[str, str]
    unique: UniqueKey | None
    state: State
    # All are stored, and the database decides the same for each.
    is_uniform: bool
    columns: Columns

    def values(self, sql: Dialect, given: Of) -> dict[str, str]:
        columns = self.columns

        def of(column: str) -> str:
            return self.literals.get(column) or given(column)

        def later_if_given(column: str) -> str:
            return f"CASE WHEN {of(column)} IS NULL THEN NULL ELSE {sql.later(of(column))} END"

        values = {name: of(name) for name in _STORED if name in columns or name in self.literals}
        due = sql.later(f"COALESCE({of('delay')}, 0)") if "delay" in columns else sql.now
        if "run_after" in columns:
            due = f"COALESCE({of('run_after')}, {due})"
        values["state"] = f"'{self.state.value}'"
        values["run_after"] = due
        values["rank"] = sql.rank(due if due == sql.now else sql.latest(due, sql.now), of("priority"), of("lifo"))
        values["enqueued_at"] = sql.now
        if "expires_after" in columns:
            expires = later_if_given("expires_after")
            values["expires_at"] = f"COALESCE({of('expires_at')}, {expires})" if "expires_at" in columns else expires
        if "key_seconds" in columns:
            values["key_expires_at"] = later_if_given("key_seconds")
        if "held_seconds" in columns:
            values["deduplication_expires_at"] = later_if_given("held_seconds")
        return values

    def returning(self, sql: Dialect) -> str:
        return f"id, rank, {sql.epoch('run_after')}, {sql.epoch('enqueued_at')}, {sql.epoch('expires_at')}"


@dataclass(frozen=True, slots=True)
class Form:
    """By which statement jobs are stored, and the values that they share."""

    insertion: Insertion
    shared: dict[str, Any]


def table_of(drafts: Sequence[NewJob], state: State) -> tuple[Insertion, Table]:
    """Return how these jobs are stored in that state, and their values by column."""
    templates = {id(draft.template): draft.template for draft in drafts}
    form = drafts[0].template.form if len(templates) == 1 and state is State.READY else _form(templates.values(), state)
    own = {
        name: [getattr(draft.template, name) for draft in drafts]
        if name in _SECONDS
        else [vars(draft.job)[name] for draft in drafts]
        for name in form.insertion.own
    }
    return form.insertion, Table(form.shared, own)


def _form(templates: Collection[Template], state: State) -> Form:
    own = {name for template in templates for name in template.own}
    first, *others = [template.values() for template in templates]
    shared: dict[str, Any] = {}
    literals: dict[str, str] = {}
    for name in _COLUMNS:
        value = first[name]
        if name in own:
            continue
        if any(values[name] != value for values in others):
            own.add(name)
        elif (literal := _LITERALS.get((type(value), value))) is not None:
            literals[name] = literal
        elif value is not None:
            shared[name] = value
    # One statement promises one kind of key; those of other jobs that come with them have none.
    unique = next((template.unique for template in templates if template.unique is not None), None)
    in_order = tuple(name for name in _COLUMNS if name in own)
    return Form(_insertion(tuple(shared), in_order, tuple(literals.items()), unique, state), shared)


@lru_cache(maxsize=1000)
def _insertion(
    shared: tuple[str, ...],
    own: tuple[str, ...],
    literals: tuple[tuple[str, str], ...],
    unique: UniqueKey | None,
    state: State,
) -> Insertion:
    is_uniform = unique is None and _DECIDING.isdisjoint(own)
    columns = {name: _COLUMNS[name] for name in (*shared, *own)}
    return Insertion(own, dict(literals), unique, state, is_uniform, columns)
