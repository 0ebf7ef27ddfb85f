"""What the settings say. Connects to nothing: every command of a project comes by here."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import connections, router

from django_jobs.check_messages import error, warning
from django_jobs.conf import SETTING, JobsSettings, did_you_mean, get_settings
from django_jobs.definitions.keeping import kept_by_settings
from django_jobs.definitions.options import QUEUE_NAME
from django_jobs.definitions.queues import ageing
from django_jobs.definitions.requests import queue_options
from django_jobs.errors import ConfigurationError, InvalidOption
from django_jobs.middleware import chain
from django_jobs.models import Job

VENDORS = ("postgresql", "mysql", "sqlite")
# What Django calls the databases in memory that it makes for tests; whoever has one knows that it is alone there.
OF_TESTS = "file:memorydb_"


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Ask whether DJANGO_JOBS can be read, and whether what it names is there."""
    messages: list[CheckMessage] = []
    if not settings.USE_TZ:
        messages.append(
            error(
                "E002",
                "Jobs need USE_TZ = True.",
                "The database tells when a job is due, in UTC. Without time zones Django reads these times as local "
                "ones, so jobs would start hours early or late, and twice or never when clocks change.",
            )
        )
    try:
        jobs_settings = get_settings()
    except ConfigurationError as wrong:
        return [
            *messages,
            error("E001", str(wrong), f"Correct {SETTING}; docs/settings.md lists all that it may hold."),
        ]
    return [
        *messages,
        *_check_alias(jobs_settings.DATABASE),
        *_check_options(jobs_settings),
        *_check_middleware(),
    ]


def _check_alias(alias: str) -> Iterator[CheckMessage]:
    if alias not in connections:
        yield error(
            "E003",
            f"{SETTING}['DATABASE'] is {alias!r}, which is not in DATABASES.",
            f"{did_you_mean(alias, connections)} Known are: {', '.join(connections)}.".strip(),
        )
        return
    connection: Any = connections[alias]
    if connection.vendor not in VENDORS:
        yield error(
            "E004",
            f"Jobs cannot be kept in the database {alias!r}, which is {connection.display_name}.",
            "Use PostgreSQL, MariaDB, MySQL or SQLite. If your default database is none of these, keep the jobs in "
            f"another one and name it in {SETTING}['DATABASE'].",
        )
        return
    if not router.allow_migrate_model(alias, Job):
        yield error(
            "E015",
            f"A router of DATABASE_ROUTERS keeps the tables of django_jobs out of the database {alias!r}, where "
            f"{SETTING}['DATABASE'] looks for them.",
            f"Let its allow_migrate({alias!r}, 'django_jobs') return True or None, or name the database that has the "
            f"tables in {SETTING}['DATABASE'].",
        )
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite" and connection.is_in_memory_db() and not name.startswith(OF_TESTS):
        yield warning(
            "W004",
            f"The database {alias!r} is in the memory of this process: workers, which are others, never see a job.",
            f"Name a file: DATABASES[{alias!r}]['NAME'] = BASE_DIR / 'db.sqlite3'.",
        )


def _check_options(jobs_settings: JobsSettings) -> Iterator[CheckMessage]:
    try:
        kept_by_settings(jobs_settings)
    except InvalidOption as wrong:
        yield error("E010", str(wrong), f'Write {SETTING}["KEEP"] = {{"successful": 7 * 86400, "failed": None}}.')
    for name in jobs_settings.QUEUES:
        if not QUEUE_NAME.fullmatch(name):
            told = f"{SETTING}['QUEUES'] has {name!r}, but names are 1 to 100 letters, digits or _ . : -."
            yield error("E005", told, "Give the queue another name.")
        try:
            queue_options(jobs_settings, name)
            ageing(jobs_settings, name)
        except InvalidOption as wrong:
            yield error(
                "E005", str(wrong), f'Write {SETTING}["QUEUES"] = {{"mail": {{"MAX_ATTEMPTS": 5, "TIMEOUT": 60}}}}.'
            )


def _check_middleware() -> Iterator[CheckMessage]:
    try:
        chain()
    except ConfigurationError as wrong:
        yield error(
            "E009",
            str(wrong),
            f'Write {SETTING}["MIDDLEWARE"] = ["django_jobs.middleware.LanguageMiddleware"], dotted paths of classes.',
        )
