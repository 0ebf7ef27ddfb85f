"""Databases of a test run, named by URLs in the environment."""

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from django.db.models import Model

# Alias -> the variable that names its server.
VARIABLES = {
    "default": "DJANGO_JOBS_TEST_DATABASE",
    "mariadb": "DJANGO_JOBS_TEST_MARIADB",
    "postgresql": "DJANGO_JOBS_TEST_POSTGRESQL",
}
REPLICA = "replica"


class Replicas:
    """A router that sends whoever reads our tables to a replica, where nothing can be read.

    It is in force in every test: what asks it where a row is fails.
    """

    def db_for_read(self, model: "type[Model]", **hints: Any) -> str | None:
        return REPLICA if model._meta.app_label == "django_jobs" else None


def databases(run: str) -> dict[str, dict[str, Any]]:
    """Return DATABASES for those variables that are set; `run` keeps two runs on one server apart.

    A second database that is the first one again would only have its tests run twice.
    """
    named = {alias: name for alias, name in VARIABLES.items() if name in os.environ}
    urls = {alias: os.environ[name] for alias, name in named.items()}
    return {
        alias: _database(url, named[alias], run)
        for alias, url in urls.items()
        if alias == "default" or url != urls.get("default")
    }


def replica() -> dict[str, Any]:
    """Return the entry of a database that refuses every question."""
    return {"ENGINE": "django.db.backends.dummy", "TEST": {"MIRROR": "default"}}


def with_jobs(entries: dict[str, dict[str, Any]]) -> list[str]:
    """Return the aliases of those that can keep jobs."""
    return [alias for alias in entries if alias != REPLICA]


def database(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for one URL, outside of any run."""
    return _database(url, "The URL", "alone")


def environment(names: dict[str, str]) -> dict[str, str]:
    """Return the variables with which another process opens these very databases, given as alias -> name."""
    return {VARIABLES[alias]: _renamed(os.environ[VARIABLES[alias]], name) for alias, name in names.items()}


def _database(url: str, variable: str, run: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and len(parts.path) > 1:
        return _sqlite(parts.path, run)
    if parts.scheme == "postgresql" and len(parts.path) > 1:
        return _server("postgresql", parts, run)
    if parts.scheme == "mysql" and len(parts.path) > 1:
        import pymysql

        pymysql.install_as_MySQLdb()
        # Servers without a configuration file still speak latin1.
        return _server("mysql", parts, run, CHARSET="utf8mb4")
    raise ValueError(
        f"{variable} is {url!r}. Write sqlite:///path, postgresql://user:password@host:port/name "
        f"or mysql://user:password@host:port/name; options of the driver as JSON behind a question mark."
    )


def _sqlite(path: str, run: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
        # A file: the default, a database in memory, could not be opened by workers.
        "TEST": {"NAME": f"{path}.test_{run}"},
    }


def _server(engine: str, parts: SplitResult, run: str, **test: str) -> dict[str, Any]:
    name = parts.path.removeprefix("/")
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": {name: json.loads(value) for name, value in parse_qsl(parts.query)},
        "TEST": {"NAME": f"test_{name}_{run}", **test},
    }


def _renamed(url: str, name: str) -> str:
    return urlsplit(url)._replace(path="/" + name.removeprefix("/")).geturl()
