"""The transport inside one process keeps the whole contract, and the one of the database the part that fits it."""

import pytest

from django_jobs.testing.transports import HandingOutContract, Taker, TransportContract, bell, ids
from django_jobs.transports.base import Transport
from django_jobs.transports.database import DatabaseTransport
from django_jobs.transports.memory import MemoryTransport


class TestMemoryTransport(HandingOutContract):
    @pytest.fixture
    def transport(self) -> Transport:
        return MemoryTransport()

    def test_it_never_loses_its_memory(self, transport: Transport) -> None:
        assert not transport.is_flushed()

    def test_another_one_knows_nothing_of_it(self, transport: Transport) -> None:
        only = bell()
        transport.announce([only])
        assert Taker(MemoryTransport()).take().ids == ()
        assert Taker(transport).take().ids == ids(only)


class TestDatabaseTransport(TransportContract):
    @pytest.fixture
    def transport(self) -> Transport:
        return DatabaseTransport()
