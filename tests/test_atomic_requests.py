"""ATOMIC_REQUESTS: the transaction of a view is the one that its jobs are stored in."""

from uuid import UUID

import pytest
from django.db import connection, connections
from django.test import Client

from django_jobs.models import Job
from django_jobs.signals import jobs_enqueued
from tests.bells import transport
from tests.project.models import Effect

__all__ = ["transport"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(monkeypatch) -> Client:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    return Client(raise_request_exception=False)


def test_jobs_of_a_view_are_rung_after_its_commit(client, transport):
    in_transaction = []

    def hear(**kwargs):
        in_transaction.append(connection.in_atomic_block)

    jobs_enqueued.connect(hear)
    try:
        response = client.get("/order/")
    finally:
        jobs_enqueued.disconnect(hear)
    assert transport.rung == [UUID(response.json()["job"])]
    assert in_transaction == [False]


def test_a_view_that_fails_leaves_neither_its_data_nor_its_job_nor_a_bell(client, transport):
    assert client.get("/order/?fail").status_code == 500
    assert (Effect.objects.count(), Job.objects.count(), transport.rung) == (0, 0, [])


def test_a_view_without_a_transaction_stores_at_once_and_keeps_what_it_stored(client, transport):
    assert client.get("/order-without-a-transaction/?fail").status_code == 500
    assert (Effect.objects.count(), Job.objects.count(), len(transport.rung)) == (1, 1, 1)
