"""Commands as a shell would call them. Bells are rung into a record: no test here needs a server for them."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tests.bells import transport

__all__ = ["transport"]


@pytest.fixture
def run(db: None) -> Callable[..., str]:
    """Give `run(*words)`, what the command prints."""

    def run(*words: object, stderr: StringIO | None = None) -> str:
        stdout = StringIO()
        call_command(*map(str, words), stdout=stdout, stderr=stderr or StringIO())
        return stdout.getvalue()

    return run


@pytest.fixture
def run_json(run: Callable[..., str]) -> Callable[..., Any]:
    """Give `run_json(*words)`, what the command prints for machines."""
    return lambda *words: json.loads(run(*words, "--json"))
