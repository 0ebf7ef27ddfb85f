"""Fresh interpreters: how a process of this package starts another, and what it says of that one's end."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

_ENVIRONMENT = "DJANGO_JOBS_CHILD"


def command(module: str, handed: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of a process that calls `main` of a module of this package."""
    options = [f"-W{each}" for each in sys.warnoptions]
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    return [sys.executable, *options, "-c", code], {**os.environ, _ENVIRONMENT: json.dumps(handed)}


def handed() -> Any:
    """Return, once, what the process that started this one has handed to it."""
    return json.loads(os.environ.pop(_ENVIRONMENT))


def cause_of_end(status: int) -> str:
    """Say why a process ended that returned this status to Popen."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-status}"
