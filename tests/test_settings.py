"""The setting DJANGO_JOBS: read late, read anew when a test overrides it, and enough as a line of the environment."""

import ast
import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import django_jobs
from django_jobs import job
from django_jobs.conf import JobsSettings, get_settings
from django_jobs.definitions.keeping import Keep, kept_by_settings
from django_jobs.definitions.registry import get_spec, queue_names
from django_jobs.definitions.requests import JobRequest, resolve
from django_jobs.middleware import LanguageMiddleware, chain
from django_jobs.models import Job
from django_jobs.transports import get_transport

SETTINGS_PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
# Something else than the default, for every setting.
OTHERS = {
    "TRANSPORT": "memory:",
    "PREFIX": "shop",
    "DATABASE": "jobs",
    "QUEUES": {"mail": {"MAX_ATTEMPTS": 5}},
    "MAX_ATTEMPTS": 2,
    "TIMEOUT": 10.0,
    "MAX_STALLS": 1,
    "KEEP": {"failed": timedelta(days=1)},
    "MAX_PAYLOAD_BYTES": 1000,
    "MAX_RESULT_BYTES": 1000,
    "MAX_TRACEBACK_BYTES": 2000,
    "MAX_DATA_BYTES": 1000,
    "MAX_LOG_LINES": 10,
    "MAX_LOG_BYTES": 2000,
    "IDEMPOTENCY_CHECKS_ARGUMENTS": False,
    "RAISE_TRANSPORT_ERRORS": True,
    "MIDDLEWARE": ["django_jobs.middleware.LanguageMiddleware"],
    "HEARTBEAT_SECONDS": 1.0,
    "DEAD_AFTER_SECONDS": 60.0,
    "GRACE_SECONDS": 5.0,
    "SANDBOX_MEMORY_MEGABYTES": 100,
    "SANDBOX_MAX_JOBS": 10,
    "SANDBOX_GRACE_SECONDS": 1.0,
    "SANDBOX_MAX_SECONDS": 60.0,
}


@pytest.mark.parametrize("name", [each.name for each in fields(JobsSettings)])
def test_every_setting_can_be_overridden_and_is_as_before_afterwards(name):
    before = getattr(get_settings(), name)
    with override_settings(DJANGO_JOBS={name: OTHERS[name]}):
        assert getattr(get_settings(), name) == OTHERS[name]
        assert getattr(get_settings(), name) != getattr(JobsSettings(), name)
    assert getattr(get_settings(), name) == before


def test_what_was_made_of_the_settings_before_is_made_anew():
    @job(name="settings.note")
    def note(): ...

    def made() -> dict[str, object]:
        options = resolve(JobRequest(get_spec("settings.note"), (), {}, note.spec.options))
        return {
            "transport": get_transport().name,
            "database": Job.objects.all().db,
            "queues": "overridden" in queue_names(),
            "attempts": options.max_attempts,
            "stalls": options.max_stalls,
            "timeout": options.timeout,
            "payload": options.max_payload_bytes,
            "middleware": [type(each) for each in chain()],
            "kept": kept_by_settings(get_settings()).failed,
        }

    before = made()
    with override_settings(DJANGO_JOBS={**OTHERS, "QUEUES": {"overridden": {}, "default": {"MAX_ATTEMPTS": 7}}}):
        assert made() == {
            "transport": "memory",
            "database": "jobs",
            "queues": True,
            "attempts": 7,
            "stalls": 1,
            "timeout": 10.0,
            "payload": 1000,
            "middleware": [LanguageMiddleware],
            "kept": Keep(timedelta(days=1)),
        }
    assert made() == before


def test_no_module_reads_the_settings_while_it_is_imported():
    """It would keep what was in force then, whatever a test overrides."""
    early = []
    for source in Path(django_jobs.__file__).parent.rglob("*.py"):
        outside: list[ast.AST] = [ast.parse(source.read_text())]
        while outside:
            node = outside.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # Their defaults and decorators are evaluated at once, their bodies are not.
                outside += [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.decorator_list]
            elif not isinstance(node, ast.Lambda):
                outside += ast.iter_child_nodes(node)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("get_settings"):
                early.append(f"{source.name}:{node.lineno}")
    assert early == []


@pytest.mark.parametrize(
    ("environment", "transport"),
    [
        ({}, "database:"),
        ({"REDIS_URL": "rediss://shop:secret@redis.example:6380/3"}, "rediss://shop:secret@redis.example:6380/3"),
        ({"REDIS_URL": "unix:///run/redis.sock?db=2"}, "unix:///run/redis.sock?db=2"),
        ({"REDIS_URL": "embedded:"}, "embedded:"),
    ],
)
def test_an_address_out_of_the_environment_is_enough(monkeypatch, environment, transport):
    monkeypatch.delenv("REDIS_URL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (documented,) = re.findall(r"```python\n(import os\n.*?)```", SETTINGS_PAGE.read_text(), re.DOTALL)
    written: dict[str, Any] = {}
    exec(documented, written)  # noqa: S102 (as a project would)
    with override_settings(DJANGO_JOBS=written["DJANGO_JOBS"]):
        assert transport == get_settings().TRANSPORT
        get_transport()
