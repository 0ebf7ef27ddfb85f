"""The database's clock in queries of the ORM."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import DateTimeField, Func
from django.db.models.sql.compiler import SQLCompiler

from django_jobs import clock

# A moment in UTC, as SQL that is worth what the clock of such a database says.
_LITERALS = {
    "postgresql": "'{}+00'::timestamptz",
    "mysql": "CAST('{}' AS DATETIME(6))",
    "sqlite": "'{}'",
}


def moment_sql(vendor: str, moment: datetime) -> str:
    """Return an aware datetime as an SQL expression that can stand where the database's time does."""
    return _LITERALS[vendor].format(moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds"))


class DatabaseNow(Func):
    """The database's time. Django's own Now() is in the session's time zone on MySQL, where rows are in UTC."""

    template = "STATEMENT_TIMESTAMP()"
    output_field = DateTimeField()

    def as_sql(self, compiler: SQLCompiler, connection: Any, *args: Any, **context: Any) -> tuple[str, Any]:
        moment = clock.database_now()
        if moment is not None:
            context["template"] = moment_sql(connection.vendor, moment)
        return super().as_sql(compiler, connection, *args, **context)

    def as_mysql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f000', 'now')"
        return self.as_sql(compiler, connection, template=template, **context)
