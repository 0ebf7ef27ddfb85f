"""Which systems are measured, and at which settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

POSTGRESQL, MARIADB, SQLITE, REDIS = "postgresql", "mariadb", "sqlite", "redis"
MANY, SOME, FEW = 10_000, 2_000, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system at one setting. `jobs`: how many it drains, fewer than 10,000 where those would take minutes."""

    key: str
    title: str
    peer: str
    requirements: str
    database: str | None = None
    redis: bool = False
    # Said by the database: ALTER DATABASE ... SET synchronous_commit.
    synchronous_commit: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = MANY
    # (10,): one job at a time whatever it is told, so it is measured once.
    concurrencies: tuple[int, ...] = (1, 10, 50)
    bodies: tuple[str, ...] = ("empty", "io")
    bulk: bool = True
    # None: all. Names of workloads otherwise.
    only: tuple[str, ...] | None = None
    is_ours: bool = False

    @property
    def durable(self) -> bool:
        return self.database is not None

    @property
    def is_node(self) -> bool:
        return self.peer.endswith(".mjs")

    @property
    def uses_django(self) -> bool:
        return "apps" in self.options


# The table is ours, and nothing else.
WITHOUT_QUEUE = {"apps": ["django_jobs"], "settings": {"DJANGO_JOBS": {"TRANSPORT": "database:"}}}


def _ours(key: str, title: str, database: str, transport: str, **others: Any) -> System:
    settings = {"DJANGO_JOBS": {"TRANSPORT": transport, "PREFIX": f"benchmarks_{key}"}}
    # As docs/deployment.md tells those who want it fast.
    driver = {"prepare_threshold": 5, "server_side_binding": True} if database == POSTGRESQL else {}
    return System(
        key=key,
        title=f"django_jobs, {title}",
        peer="ours",
        requirements="ours.txt",
        database=database,
        redis=transport == "{redis}",
        options={"apps": ["django_jobs"], "settings": settings, "database": driver},
        bodies=("empty", "io", "aio"),
        is_ours=True,
        **others,
    )


def _dramatiq_settings() -> dict[str, Any]:
    middleware = ["AgeLimit", "TimeLimit", "Callbacks", "Retries"]
    own = ["DbConnectionsMiddleware", "AdminMiddleware"]
    return {
        "DRAMATIQ_BROKER": {
            "BROKER": "dramatiq.brokers.redis.RedisBroker",
            "OPTIONS": {"url": "{redis}"},
            "MIDDLEWARE": [
                *(f"dramatiq.middleware.{name}" for name in middleware),
                *(f"django_dramatiq.middleware.{name}" for name in own),
            ],
        }
    }


OURS, BARE, BARE_BELL = "ours", "bare", "bare-bell"
BULLMQ_REDIS, BULLMQ_POSTGRESQL = "bullmq-redis", "bullmq-postgresql"
CELERY, CELERY_RESULTS, DRAMATIQ = "celery", "celery-results", "dramatiq"
PROCRASTINATE, DJANGO_TASKS, RQ, HUEY = "procrastinate", "django-tasks-db", "rq", "huey"
OURS_DATABASE = "ours-database"

SYSTEMS = {
    each.key: each
    for each in (
        _ours(OURS, "PostgreSQL + Redis", POSTGRESQL, "{redis}"),
        _ours("ours-relaxed", "PostgreSQL (sync. commit off) + Redis", POSTGRESQL, "{redis}", synchronous_commit=False),
        _ours(OURS_DATABASE, "PostgreSQL alone", POSTGRESQL, "database:"),
        _ours("ours-mariadb", "MariaDB + Redis", MARIADB, "{redis}"),
        _ours("ours-sqlite", "SQLite + embedded Valkey", SQLITE, "embedded:"),
        System(
            key=BARE,
            title="no queue: the same rows by psycopg",
            peer="bare",
            requirements="ours.txt",
            database=POSTGRESQL,
            options=WITHOUT_QUEUE,
            only=("enqueue", "bulk", "transaction", "drain"),
            concurrencies=(10,),
            bodies=("empty",),
        ),
        System(
            key=BARE_BELL,
            title="no queue: the same row by psycopg, a bell in Redis",
            peer="bare_bell",
            requirements="ours.txt",
            database=POSTGRESQL,
            redis=True,
            options=WITHOUT_QUEUE,
            only=("latency",),
            concurrencies=(10,),
        ),
        System(
            key=BULLMQ_REDIS,
            title="BullMQ, Redis",
            peer="bullmq.mjs",
            requirements="package.json",
            redis=True,
            options={"backend": "redis"},
            bodies=("empty", "aio"),
        ),
        System(
            key=BULLMQ_POSTGRESQL,
            title="BullMQ, PostgreSQL",
            peer="bullmq.mjs",
            requirements="package.json",
            database=POSTGRESQL,
            options={"backend": "postgresql"},
            bodies=("empty", "aio"),
            jobs=SOME,
        ),
        System(
            key=PROCRASTINATE,
            title="Procrastinate",
            peer="procrastinate",
            requirements="procrastinate.txt",
            database=POSTGRESQL,
            options={"apps": ["procrastinate.contrib.django"]},
            bodies=("empty", "io", "aio"),
            jobs=SOME,
        ),
        System(
            key=DJANGO_TASKS,
            title="django.tasks, database backend",
            peer="django_tasks",
            requirements="django-tasks-db.txt",
            database=POSTGRESQL,
            options={
                "apps": ["django_tasks_db"],
                "settings": {"TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}},
            },
            concurrencies=(10,),
            bulk=False,
            jobs=FEW,
        ),
        System(
            key=DRAMATIQ,
            title="Dramatiq + django_dramatiq",
            peer="dramatiq",
            requirements="dramatiq.txt",
            database=POSTGRESQL,
            redis=True,
            options={"apps": ["django_dramatiq"], "settings": _dramatiq_settings()},
            bulk=False,
            jobs=FEW,
        ),
        System(
            key=CELERY_RESULTS,
            title="Celery + django-celery-results",
            peer="celery",
            requirements="celery-results.txt",
            database=POSTGRESQL,
            redis=True,
            options={
                "apps": ["django_celery_results"],
                # As installed it would connect to the database anew for each job.
                "celery": {"result_backend": "django-db", "task_track_started": True, "CELERY_DB_REUSE_MAX": 10_000},
            },
            bulk=False,
            jobs=FEW,
        ),
        System(
            key=CELERY,
            title="Celery, Redis, no results",
            peer="celery",
            requirements="celery.txt",
            redis=True,
            options={"celery": {"task_ignore_result": True}},
            bulk=False,
            jobs=SOME,
        ),
        System(
            key=RQ,
            title="RQ, SimpleWorker",
            peer="rq",
            requirements="rq.txt",
            redis=True,
            concurrencies=(10,),
            jobs=FEW,
        ),
        System(
            key=HUEY,
            title="Huey, Redis",
            peer="huey",
            requirements="huey.txt",
            redis=True,
            bulk=False,
            jobs=SOME,
        ),
    )
}
