"""Ways to a server: encrypted with a user of one's own, over a Unix socket; a job goes each of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_jobs import enqueue_many
from django_jobs.errors import ConfigurationError, TransportError
from django_jobs.models import Job
from django_jobs.testing.transports import Taker, bell, ids
from django_jobs.transports import get_transport
from django_jobs.transports.redis import RedisTransport
from django_jobs.transports.redis.addresses import connect
from tests.conftest import StartWorkers
from tests.project.jobs import add
from tests.redis_servers import SECRET, USER, EncryptedRedis, RedisWithOptions, make_certificates
from tests.waiting import wait_until
from tests.worker.watching import all_successful

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def encrypted() -> Iterator[EncryptedRedis]:
    with EncryptedRedis() as server:
        yield server


@pytest.mark.django_db(transaction=True)
def test_jobs_enqueued_through_a_socket_are_run_by_a_worker_that_speaks_tls(
    encrypted: EncryptedRedis, settings: Any, start_workers: StartWorkers
):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": encrypted.socket_address, "PREFIX": "test"}
    workers = start_workers(options={"TRANSPORT": encrypted.address()})
    # Until then jobs are found in the table.
    wait_until(lambda: not get_transport().is_flushed(), what="the transport is open")
    all_successful(enqueue_many([add.request(number, 1) for number in range(100)]))
    workers.stop()
    server = connect(encrypted.socket_address)
    counts = server.ask(lambda client: client.info("commandstats"))
    server.close()
    # Only an answer with ids is kept.
    assert "cmdstat_rpush" in counts
    assert set(Job.objects.values_list("starts", flat=True)) == {1}
    assert SECRET not in workers.output()
    assert USER not in workers.output()


def refusal(address: str) -> str:
    """Return what is said of an address that does not work, which tells no secret."""
    transport = RedisTransport(address, "test")
    with pytest.raises(TransportError) as caught:
        transport.announce([bell()])
    transport.close()
    said = f"{caught.value} {caught.value.__cause__!r}"
    assert SECRET not in said
    assert USER not in said
    return said


def test_a_server_whose_certificate_is_of_another_authority_is_not_spoken_with(
    encrypted: EncryptedRedis, tmp_path: Path
):
    make_certificates(tmp_path)
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(encrypted.address(ssl_ca_certs=f"{tmp_path}/ca.crt"))


def test_who_has_no_certificate_of_the_authority_is_refused(encrypted: EncryptedRedis, tmp_path: Path):
    make_certificates(tmp_path, "client")
    other = {"ssl_certfile": f"{tmp_path}/client.crt", "ssl_keyfile": f"{tmp_path}/client.key"}
    assert "could not do its part" in refusal(encrypted.address(**other))


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_certificate_that_is_not_there_is_named_before_anything_is_connected(encrypted: EncryptedRedis, option: str):
    with pytest.raises(ConfigurationError, match=f"{option}='/not/there'") as caught:
        connect(encrypted.address(**{option: "/not/there"}))
    assert SECRET not in str(caught.value)


def test_a_wrong_password_of_a_user_is_refused_without_either(encrypted: EncryptedRedis):
    assert "invalid username-password pair" in refusal(encrypted.address(password=f"not-{SECRET}"))


def test_a_user_who_may_not_touch_these_keys_is_not_named(encrypted: EncryptedRedis):
    transport = RedisTransport(encrypted.address(), "other")
    with pytest.raises(TransportError, match="permissions") as caught:
        transport.announce([bell()])
    transport.close()
    assert USER not in str(caught.value)


def test_a_server_that_quotes_user_and_password_is_not_quoted():
    with RedisWithOptions("--rename-command", "HELLO", "") as server:
        said = refusal(server.url.replace("://", f"://{USER}:open%2Fsesame%231@"))
        options = f"sentinel_username={USER}&sentinel_password=open%2Fsesame%231"
        said_by_sentinel = refusal(f"redis+sentinel://127.0.0.1:{server.port}/shop?{options}")
    assert said.count("***") == said_by_sentinel.count("***") == 2


def test_a_user_needs_no_more_than_the_page_says():
    page = Path(__file__).parents[2] / "docs" / "transports.md"
    [said] = re.findall(r"ACL SETUSER .*? (-@all .*?)\n```", page.read_text("utf-8"), re.DOTALL)
    commands = said.split()
    with RedisWithOptions("--user", USER, "on", f">{SECRET}", "~{test:1}:*", *commands) as server:
        transport = RedisTransport(server.url.replace("://", f"://{USER}:open%2Fsesame%231@"), "test")
        first, second = bell(), bell(seconds=1)
        transport.announce([first, second])
        taker = Taker(transport)
        assert taker.take(limit=1).ids == ids(first)
        transport.put_back(taker.id)
        transport.wake()
        transport.wait(["default"], 1)
        assert Taker(transport).take(seconds=2).ids == ids(first, second)
        transport.forget("default")
        assert not transport.is_flushed()
        transport.describe()
        transport.close()
