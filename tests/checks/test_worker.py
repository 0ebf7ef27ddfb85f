"""What a worker says when it starts."""

import pytest
from django.core.checks import CheckMessage
from django.db import connections

from django_jobs.checks import check_worker


def told(concurrency: int = 10) -> list[CheckMessage]:
    return list(check_worker(concurrency=concurrency))


def test_a_worker_with_settings_for_production_has_nothing_to_say():
    assert told() == []


def test_a_worker_says_that_debug_is_on(settings):
    settings.DEBUG = True
    (message,) = told()
    assert message.id == "django_jobs.W007"


@pytest.mark.parametrize(
    ("pool", "enough"),
    [
        (True, 4),
        ({}, None),
        ({"min_size": 2, "max_size": 8}, 8),
        ({"min_size": 6}, 6),
        (False, None),
    ],
)
def test_a_pool_with_fewer_connections_than_jobs_at_once_is_told(monkeypatch, pool, enough):
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", {"pool": pool})
    if enough is None:
        assert told(100) == []
        return
    assert told(enough) == []
    (message,) = told(enough + 1)
    assert message.id == "django_jobs.W008"
    assert f"has {enough} connections for {enough + 1} jobs at once" in message.msg
