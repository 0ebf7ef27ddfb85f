"""What a worker and a sandbox say to each other: lines of JSON, and how claims and outcomes travel in them."""

import json
import socket
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django_jobs.definitions.outcomes import (
    Claim,
    ErrorReport,
    Failed,
    GivenBack,
    Outcome,
    Retried,
    Snoozed,
    Stopped,
    Succeeded,
    Written,
)
from django_jobs.states import State

Packed = dict[str, Any]

# From the sandbox: it can run jobs now; the body begins; how far it has come; what the attempt came to.
READY, BEGUN, PROGRESS, OUTCOME = "ready", "begun", "progress", "outcome"
# From the worker: run this; somebody asked to cancel what runs.
CLAIM, CANCEL = "claim", "cancel"


class Channel:
    """One end of the line between the two. A message is a word that says what it is, and a value."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._begun = b""
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._line.fileno()

    def send(self, word: str, value: object = None) -> None:
        """Say something. Raises OSError when nobody is there any more."""
        data = json.dumps([word, value], separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._line.sendall(data)

    def receive(self) -> list[tuple[str, Any]]:
        """Wait for something and return what has come whole. Raises EOFError when nobody is there any more."""
        try:
            data = self._line.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        *whole, self._begun = (self._begun + data).split(b"\n")
        return [tuple(json.loads(each)) for each in whole]

    def shut(self) -> None:
        """Say that nothing more will be said."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._line.close()


def pack_claim(claim: Claim) -> Packed:
    return asdict(claim) | {"id": claim.id.hex, "owner": claim.owner.hex}


def unpack_claim(packed: Packed) -> Claim:
    return Claim(**{**packed, "id": UUID(packed["id"]), "owner": UUID(packed["owner"])})


_OUTCOMES = {each.__name__: each for each in (Succeeded, Failed, Retried, Snoozed, Stopped, GivenBack)}


def pack_outcome(outcome: Outcome) -> Packed:
    """Return an outcome as JSON has it. The exception itself stays behind: texts are all that is kept of it."""
    values: Packed
    match outcome:
        case Succeeded(result, row):
            values = {"result": result, "row": None if row is None else _pack_row(row)}
        case Failed(error):
            values = {"error": _pack_error(error)}
        case Retried(error, delay):
            values = {"error": _pack_error(error), "delay": delay}
        case Snoozed(delay):
            values = {"delay": delay}
        case Stopped(reason):
            values = {"reason": reason}
        case GivenBack(begun):
            values = {"begun": begun}
    return {"kind": type(outcome).__name__, **values}


def unpack_outcome(packed: Packed) -> Outcome:
    values = dict(packed)
    kind = _OUTCOMES[values.pop("kind")]
    if "error" in values:
        values["error"] = ErrorReport(**values["error"])
    if values.get("row") is not None:
        values["row"] = _unpack_row(values["row"])
    outcome: Outcome = kind(**values)
    return outcome


def _pack_error(error: ErrorReport) -> Packed:
    return {"class_path": error.class_path, "message": error.message, "traceback": error.traceback}


def _pack_row(row: Written) -> Packed:
    key = None if row.given_back is None else row.given_back.hex()
    return asdict(row) | {"id": row.id.hex, "state": row.state.value, "given_back": key}


def _unpack_row(packed: Packed) -> Written:
    key = packed["given_back"]
    changed = {
        "id": UUID(packed["id"]),
        "state": State(packed["state"]),
        "given_back": None if key is None else bytes.fromhex(key),
    }
    return Written(**{**packed, **changed})
