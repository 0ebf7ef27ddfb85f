"""Real workers in processes of their own, on the database and the transport of the running test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

import django_jobs
from tests.databases import VARIABLES, environment

STOP_SECONDS = 60


class Workers:
    """One `runworkers` command with all of its children."""

    def __init__(
        self, arguments: tuple[str, ...], options: Mapping[str, Any], log: Path, environment: Mapping[str, str]
    ) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "runworkers", *arguments],
                env=worker_environment(options) | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """Return what the command and its children have printed so far."""
        return self._log.read_text(errors="replace")

    def wait(self, seconds: float = 60) -> int:
        """Return the exit status once the command has ended by itself."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask the command to end and return its exit status; whoever is left of its group is killed."""
        try:
            self.process.terminate()
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the command and all of its children where they stand."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def worker_environment(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment in which another process sees what this test sees, with `options` over DJANGO_JOBS."""
    package, tests = Path(django_jobs.__file__).parents[1], Path(__file__).parents[1]
    return {
        **{name: value for name, value in os.environ.items() if name not in VARIABLES.values()},
        **environment({each.alias: each.settings_dict["NAME"] for each in connections.all() if is_made(each)}),
        "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
        "DJANGO_JOBS_TEST_OPTIONS": json.dumps({**settings.DJANGO_JOBS, **options}),
        # Workers import the very package that this run imports, be it installed or the working tree.
        "PYTHONPATH": os.pathsep.join((str(package), str(tests))),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error",
    }


def is_made(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether this run has made the database: it makes those that its tests ask for."""
    return bool(connection.settings_dict["NAME"] == connection.settings_dict["TEST"]["NAME"])
