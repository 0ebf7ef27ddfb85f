"""Importing a project and our checks of it connect to nothing: neither to a database nor to a transport."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import django_jobs

pytestmark = pytest.mark.once

PROGRAM = """
import sys

met = []
EVENTS = ("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "os.fork")
sys.addaudithook(lambda event, arguments: met.append(event) if event in EVENTS else None)

import pkgutil
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "never.sqlite3"}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.messages", "django.contrib.sessions", "django_jobs"],
    DJANGO_JOBS={"TRANSPORT": "%s"},
    SILENCED_SYSTEM_CHECKS=["admin.E403", "admin.E408", "admin.E409", "admin.E410"],
    USE_TZ=True,
)
django.setup()
import django_jobs.management
for module in pkgutil.walk_packages(django_jobs.__path__, "django_jobs."):
    if ".migrations" not in module.name and ".backend" not in module.name and ".testing" not in module.name:
        __import__(module.name)
call_command("check", tags=["django_jobs"], %s)
print(met)
"""


def met(tmp_path, transport, options=""):
    """Return what happened while a project with this transport was imported and checked."""
    program = PROGRAM % (transport, options)
    environment = {**os.environ, "PYTHONPATH": str(Path(django_jobs.__file__).parents[1])}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert list(tmp_path.iterdir()) == []
    return told.stdout.splitlines()[-1]


@pytest.mark.parametrize("transport", ["redis://127.0.0.1:1/0", "embedded:", "database:"])
def test_a_project_is_imported_and_checked_without_any_connection(tmp_path, transport):
    assert met(tmp_path, transport) == "[]"


def test_the_check_for_deployment_does_ask_the_server(tmp_path):
    assert "socket.connect" in met(tmp_path, "redis://127.0.0.1:1/0", "deploy=True")
