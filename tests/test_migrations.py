"""Models and migrations say the same, on every Django that is supported."""

import os
import subprocess
import sys
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

import django_jobs


@pytest.mark.django_db
def test_no_model_has_changed_without_its_migration():
    output = StringIO()
    with suppress(SystemExit):
        call_command("makemigrations", "--check", "--dry-run", stdout=output)
    assert output.getvalue().strip() == "No changes detected"


def test_no_setting_of_a_project_makes_a_migration_for_our_tables(tmp_path):
    """Keys are those of the app, whatever DEFAULT_AUTO_FIELD says; texts stay as they are in any language."""
    program = """
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.SmallAutoField",
    LANGUAGE_CODE="de",
    USE_TZ=False,
    INSTALLED_APPS=["django_jobs"],
)
django.setup()
call_command("makemigrations", "--check", "--dry-run", skip_checks=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(django_jobs.__file__).parents[1])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("No changes detected", 0), done.stdout + done.stderr
