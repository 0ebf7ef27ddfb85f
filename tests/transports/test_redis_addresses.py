"""Every way to write where the server is: what works, and what is refused before anything is connected."""

import re
import sys
from typing import Any

import pytest
from django.test import override_settings

from django_jobs.errors import ConfigurationError
from django_jobs.testing.transports import Taker, bell, ids
from django_jobs.transports.redis import RedisTransport
from django_jobs.transports.redis.addresses import connect

SECRET = "open/sesame#1"


@pytest.mark.parametrize(
    "address",
    [
        "redis://:open/sesame#1@localhost:6379/0",
        "redis://localhost:port/0",
        "redis://localhost:6379/0?no_such_option=1",
        "redis://localhost:6379/0?socket_timeout=soon",
        "redis://localhost:6379/0?protocol=7",
    ],
)
def test_an_address_that_cannot_work_is_refused_at_once_without_being_quoted(address):
    with pytest.raises(ConfigurationError, match=r"redis://host:6379/0") as caught:
        RedisTransport(address, "test")
    assert "sesame" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "address",
    [
        "redis+sentinel://:open/sesame#1@localhost/shop/0",
        "redis+sentinel://:sesame@localhost:26379",
        "redis+sentinel://:sesame@localhost:26379/",
        "redis+sentinel://:sesame@localhost:26379/shop/first",
        "redis+sentinel://:sesame@localhost:26379,/shop/0",
        "redis+sentinel://:sesame@localhost:port/shop/0",
        "redis+sentinel://:sesame@/shop/0",
        "redis+sentinel://localhost/shop?sentinel_password=sesame&no_such_option=1",
        "redis+sentinel://localhost/shop?sesame",
        "rediss+sentinel://:sesame@localhost:26379",
        "redis+cluster://:sesame@localhost:port",
        "redis+cluster://:sesame@localhost,",
        "redis+cluster://:sesame@localhost?no_such_option=1",
        "rediss+cluster://:sesame@",
    ],
)
def test_an_address_behind_others_that_cannot_work_is_refused_with_its_shape(address):
    scheme = address.partition(":")[0]
    with pytest.raises(ConfigurationError, match=rf"Write {re.escape(scheme)}://host:\d+,host2:") as caught:
        RedisTransport(address, "test")
    assert "sesame" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("address", ["redis+cluster://a/1", "redis+cluster://a/x", "redis+cluster://a?db=1"])
def test_a_database_of_a_cluster_is_refused_because_there_is_only_one(address):
    with pytest.raises(ConfigurationError, match="a Cluster has only one"):
        RedisTransport(address, "test")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("redis+sentinel://a,b:1/shop", "redis+sentinel://a:26379,b:1/shop"),
        (
            "rediss+sentinel://me:sesame@[::1],b/shop/3?sentinel_password=x",
            "rediss+sentinel://[::1]:26379,b:26379/shop/3",
        ),
        ("redis+cluster://me:sesame@a,b:1/0", "redis+cluster://a:6379,b:1"),
        ("rediss+cluster://[::1]", "rediss+cluster://[::1]:6379"),
    ],
)
def test_an_address_behind_others_is_named_with_all_ports_and_without_secrets(address, name):
    assert connect(address, "key").name == name


def test_options_of_an_address_cannot_break_the_protocol(server):
    options = "decode_responses=yes&socket_timeout=0.001&retry_on_timeout=yes&protocol=2&max_connections=1"
    transport = RedisTransport(f"{server.url}?{options}", "test")
    only = bell()
    transport.announce([only])
    transport.wait(["default"], 1)
    transport.wait(["default"], 0.1)
    assert Taker(transport).take().ids == ids(only)
    transport.close()


def test_the_client_never_repeats_by_itself_whatever_the_address_says(server):
    connection = connect(f"{server.url}?retry_on_timeout=yes&protocol=2")
    made: Any = connection.ask(lambda client: client.connection_pool.make_connection())
    assert (made.retry.get_retries(), made.get_protocol()) == (0, 3)


def test_the_description_names_place_product_and_version(server):
    transport = RedisTransport(server.url, "test")
    assert transport.describe().startswith(f"{server.url} (Redis ")
    transport.close()


def test_the_server_of_a_cache_can_be_used(server):
    pytest.importorskip("django_redis")
    connection = connect(server.url)
    connection.ask(lambda client: client.config_set("requirepass", SECRET))
    connection.close()
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": [server.url.replace("/0", "/5")],
        "OPTIONS": {"PASSWORD": SECRET, "SOCKET_TIMEOUT": 0.001, "CONNECTION_POOL_KWARGS": {"decode_responses": True}},
    }
    with override_settings(CACHES={"default": cache}):
        transport = RedisTransport("cache:default", "test")
        only = bell()
        transport.announce([only])
        assert Taker(transport).take().ids == ids(only)
        assert transport.describe().startswith(f"cache:default at redis://127.0.0.1:{server.port}/5 (Redis ")
        transport.close()


@pytest.mark.parametrize("alias", ["plain", "missing", ""])
def test_a_cache_that_is_not_in_redis_is_refused(alias):
    pytest.importorskip("django_redis")
    caches = {name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"} for name in ("default", "plain")}
    with override_settings(CACHES=caches), pytest.raises(ConfigurationError, match=f"cache:{alias}'"):
        RedisTransport(f"cache:{alias}", "test")


def test_without_django_redis_a_cache_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "django_redis", None)
    with pytest.raises(ConfigurationError, match=r"Install django-durable-jobs\[django-redis\]"):
        RedisTransport("cache:default", "test")
