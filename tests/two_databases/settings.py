"""A project whose business data and jobs are in two databases, with a replica of the jobs' one and a router."""

import os
from typing import Any

from tests.databases import database
from tests.settings import *  # noqa: F403 (all that this one does not say)
from tests.settings import DJANGO_JOBS as OF_ALL_TESTS
from tests.settings import INSTALLED_APPS as APPS_OF_ALL_TESTS
from tests.settings import RUN

INSTALLED_APPS = [*APPS_OF_ALL_TESTS, "tests.two_databases"]


def entry(name: str, **test: str) -> dict[str, Any]:
    """Return a database on the run's server; it has its name from the start, so that workers find it under test."""
    found = database(os.environ["DJANGO_JOBS_TEST_DATABASE"])
    named = f"{found['NAME']}_{name}_{RUN}"
    return {**found, "NAME": named, "TEST": {**found["TEST"], "NAME": named, **test}}


DATABASES = {
    "default": {**entry("business"), "ATOMIC_REQUESTS": True},
    "jobs": {**entry("jobs"), "ATOMIC_REQUESTS": True},
    "replica": entry("replica", MIRROR="jobs"),
}
DATABASE_ROUTERS = ["tests.two_databases.routers.Apart"]
DJANGO_JOBS = {**OF_ALL_TESTS, "DATABASE": "jobs"}
# Who only reads needs no lock, and SQLite has one.
DATABASES["replica"].get("OPTIONS", {}).pop("transaction_mode", None)
