"""What travels between a worker and a sandbox arrives as it was, as JSON and nothing else."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from django_jobs.definitions.identifiers import uuid7
from django_jobs.definitions.outcomes import (
    ErrorReport,
    Failed,
    GivenBack,
    Retried,
    Snoozed,
    Stopped,
    Succeeded,
    Written,
)
from django_jobs.states import State
from django_jobs.worker.sandbox.messages import Channel, pack_claim, pack_outcome, unpack_claim, unpack_outcome
from tests.project.sandboxed import where
from tests.worker.claims import claim

REPORT = ErrorReport(class_path="builtins.ValueError", message="No. \ud83d", traceback="Traceback\n", exception=None)
ROW = Written(uuid7(), State.SUCCESSFUL, "mail", 2**52, b"\0\xff")


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    channels = [Channel(each) for each in socket.socketpair()]
    yield channels[0], channels[1]
    for each in channels:
        each.close()


def test_a_claim_arrives_as_it_was():
    sent = replace(claim(where, "ä"), timeout=0.5, expires=17.25, headers='{"language":"de"}')
    assert unpack_claim(json.loads(json.dumps(pack_claim(sent)))) == sent


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(None),
        Succeeded('{"a":1}'),
        Succeeded("1", ROW),
        Succeeded("1", replace(ROW, given_back=None)),
        Failed(REPORT),
        Retried(REPORT, 1.5),
        Snoozed(0.0),
        Stopped("Not needed."),
        GivenBack(),
        GivenBack(begun=True),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_outcome_arrives_as_it_was(outcome):
    assert unpack_outcome(json.loads(json.dumps(pack_outcome(outcome)))) == outcome


def test_the_exception_itself_stays_where_it_was_raised():
    sent = Failed(replace(REPORT, exception=ValueError("No.")))
    received = unpack_outcome(pack_outcome(sent))
    assert isinstance(received, Failed)
    assert received.error.exception is None


def test_messages_come_whole_and_in_order_however_they_are_cut(ends):
    here, there = ends
    sent = [("progress", [number, None, "x" * 50]) for number in range(2000)]
    received: list[object] = []
    for number, (word, value) in enumerate(sent):
        here.send(word, value)
        if number % 7 == 0:
            received += there.receive()
    here.shut()
    with suppress(EOFError):
        while True:
            received += there.receive()
    assert received == sent
    with pytest.raises(EOFError):
        there.receive()
