"""A project with two databases, a replica and routers passes its own tests, by Django's own runner."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import django_jobs


def test_a_project_with_jobs_apart_from_business_data():
    package, tests = Path(django_jobs.__file__).parents[1], Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "test", "tests.two_databases.stories", "--noinput"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.two_databases.settings",
            "DJANGO_JOBS_TEST_RUN": uuid4().hex[:12],
            "PYTHONPATH": os.pathsep.join((str(package), str(tests))),
            "PYTHONSAFEPATH": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stderr
