"""One small interface to SQL, spoken by each database in its own way."""

from django.db import connections

from django_jobs.errors import ConfigurationError
from django_jobs.transitions.sql.base import Dialect


def dialect(alias: str) -> Dialect:
    """Return the dialect of a database alias. Raises ConfigurationError for a database that is not supported."""
    connection = connections[alias]
    # Imported late: MySQL's needs nothing of PostgreSQL's, and a project has one of them.
    match connection.vendor:
        case "postgresql":
            from django_jobs.transitions.sql.postgresql import PostgreSQL

            return PostgreSQL(connection)
        case "mysql":
            from django_jobs.transitions.sql.mysql import MySQL

            return MySQL(connection)
        case "sqlite":
            from django_jobs.transitions.sql.sqlite import SQLite

            return SQLite(connection)
    raise ConfigurationError(
        f"The database {alias!r} is {connection.display_name}; "
        "jobs can be kept in PostgreSQL, MariaDB, MySQL or SQLite."
    )
