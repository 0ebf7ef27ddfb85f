"""Checks of what is declared: names and timeouts."""

import importlib
import sys

import pytest

from django_jobs import job
from django_jobs.checks.jobs import check_names

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_timeout_longer_than_the_grace_is_told_before_a_deploy(ids, message):
    @job(name="checks.slow", timeout=300)
    def slow(): ...

    assert ids(GRACE_SECONDS=30, TRANSPORT="database:") == set()
    assert ids(GRACE_SECONDS=300, TRANSPORT="database:", deploy=True) == set()
    told = message(GRACE_SECONDS=30, TRANSPORT="database:", deploy=True)
    assert "longer than a stopping worker waits, 30 s: checks.slow (300 s)." in told


def test_a_timeout_counts_that_the_queue_or_the_settings_give(message):
    @job(name="checks.by_queue", queue_name="long")
    def by_queue(): ...

    options = {"GRACE_SECONDS": 30, "TRANSPORT": "database:", "deploy": True}
    assert "30 s: checks.by_queue (60 s)." in message(QUEUES={"long": {"TIMEOUT": 60}}, **options)
    assert "checks.by_queue (90 s)" in message(TIMEOUT=90, **options)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Give `shop(text)`, which writes a module of jobs and loads it, again if it was."""
    monkeypatch.syspath_prepend(tmp_path)

    def shop(text):
        (tmp_path / "shop.py").write_text(f"from django_jobs import job\n{text}")
        importlib.invalidate_caches()
        loaded = sys.modules.get("shop")
        return importlib.reload(loaded) if loaded else importlib.import_module("shop")

    yield shop
    sys.modules.pop("shop", None)


SEND = "\n@job\ndef send(): ...\n"
IN_A_LOOP = """
for size in (1, 2):
    @job(name="resize")
    def resize(): ...
"""


DECORATED = """
from functools import wraps

class Client:
    def __call__(self): ...

def counted(function):
    @wraps(function)
    def counting(): function()
    return counting

send = job(name="shop.send")(counted(Client()))
"""


@pytest.mark.parametrize(
    ("text", "name"), [(SEND + SEND, "shop.send"), (IN_A_LOOP, "resize"), (DECORATED + DECORATED, "shop.send")]
)
def test_a_job_that_another_of_the_same_name_replaced_is_an_error(shop, text, name):
    shop(text)
    (told,) = check_names()
    assert told.id == "django_jobs.E017"
    assert f"Two functions are the job {name!r}" in told.msg


def test_a_module_that_is_loaded_again_declares_nothing_twice(shop):
    shop(SEND)
    shop(SEND)
    assert check_names() == []
