"""A transport that remembers what was announced, in place of the one that the settings name."""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import pytest

from django_jobs.errors import TransportError
from django_jobs.lifecycle import dispatching
from django_jobs.transports import current
from django_jobs.transports.base import Bell, Taken, Transport

# Under what the transport is kept that the settings of a test name.
KEY = (os.getpid(), "memory:", "recorded")


class RecordingTransport(Transport):
    """Keeps each announcement as one list; `away` it cannot be reached, `flushed` it has lost its memory."""

    name: ClassVar[str] = "recording"

    def __init__(self) -> None:
        self.announced: list[list[Bell]] = []
        self.away = self.flushed = False
        self.asked = 0
        self.woken = 0
        self.forgotten: list[str] = []

    @property
    def rung(self) -> list[UUID]:
        return [bell.id for bells in self.announced for bell in bells]

    def announce(self, bells: Sequence[Bell]) -> None:
        self.asked += 1
        if self.away:
            raise TransportError("Nobody is there.")
        self.announced.append(list(bells))

    def take(
        self,
        taker: UUID,
        queue_names: Sequence[str],
        limit: int,
        now: datetime,
        batch: int,
        shares: Sequence[int] = (),
    ) -> Taken | None:
        return Taken()

    def wait(self, queue_names: Sequence[str], seconds: float) -> None: ...

    def wake(self) -> None:
        self.woken += 1

    def forget(self, queue_name: str) -> None:
        if self.away:
            raise TransportError("Nobody is there.")
        self.forgotten.append(queue_name)

    def is_flushed(self) -> bool:
        return self.flushed

    def describe(self) -> str:
        if self.away:
            raise TransportError("Nobody is there.")
        return "recording"


def install(recording: RecordingTransport) -> None:
    """Ring into this one: again after a change of the settings, which forgets all transports."""
    current._transports[KEY] = recording


@pytest.fixture(autouse=True)
def transport(settings: Any) -> Iterator[RecordingTransport]:
    """Ring here and nowhere else."""
    options = dict(zip(("TRANSPORT", "PREFIX"), KEY[1:], strict=True))
    # Workers here are rows that beat once: they live for as long as a slow machine takes.
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **options, "DEAD_AFTER_SECONDS": 60.0}
    recording = RecordingTransport()
    install(recording)
    dispatching._transport_is_away = False
    yield recording
    current._transports.pop(KEY, None)
    dispatching._transport_is_away = False
