"""The database's clock in queries of the ORM."""

from typing import Any

from django.db.models import DateTimeField, Func
from django.db.models.sql.compiler import SQLCompiler


class DatabaseNow(Func):
    """The database's time. Django's own Now() is in the session's time zone on MySQL, where rows are in UTC."""

    template = "STATEMENT_TIMESTAMP()"
    output_field = DateTimeField()

    def as_mysql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f000', 'now')"
        return self.as_sql(compiler, connection, template=template, **context)
