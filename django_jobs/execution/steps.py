"""Steps: parts of a body that are done once. What each came to is kept, and a later attempt goes on after them."""

import inspect
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, transaction

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import encode_result
from django_jobs.definitions.outcomes import Claim
from django_jobs.definitions.registry import JobSpec
from django_jobs.errors import ClaimLost, InvalidArguments, InvalidStep
from django_jobs.execution.atomic import unbroken
from django_jobs.transitions import steps

logger = logging.getLogger("django_jobs")

LONGEST_NAME = 200

Call = Callable[[], Any]


class Steps:
    """The steps of one attempt: which are kept, and which it has asked for. Costs nothing until it is asked."""

    __slots__ = ("_asked", "_claim", "_kept", "_spec", "_using")

    def __init__(self, claim: Claim, spec: JobSpec) -> None:
        self._claim, self._spec, self._using = claim, spec, get_settings().DATABASE
        self._asked: set[str] = set()
        # Name -> whether it is marked as unused; known once somebody asks.
        self._kept: dict[str, bool] | None = None

    def run(self, name: str, call: Call, *, atomic: bool) -> Any:
        """Return what the step came to in this attempt or in an earlier one."""
        with self._asking(name):
            try:
                found = self._find(name)
            except SynchronousOnlyOperation as error:
                raise InvalidStep(f"Step {name!r}: in an `async def` job write: await context.astep(...).") from error
            if found is None:
                found = self._do_atomically(name, call) if atomic else self._do(name, call)
            return _value(found)

    async def arun(self, name: str, function: Callable[..., Any], call: Call, *, atomic: bool) -> Any:
        """Return what the step came to; `def` functions run in the thread of this job's sync parts."""
        if not iscoroutinefunction(function):
            return await sync_to_async(self.run)(name, call, atomic=atomic)
        if atomic:
            raise InvalidStep(f"Step {name!r}: atomic=True needs a `def`; Django has no transactions in `async def`.")
        with self._asking(name):
            found = await sync_to_async(self._find)(name)
            if found is None:
                started = clock.monotonic()
                value = await call()
                found = await sync_to_async(self._keep)(name, value, started)
            return _value(found)

    @property
    def must_be_marked(self) -> bool:
        """Whether this attempt, which has succeeded, asked for other steps than the marks in the table say."""
        return self._kept is not None and any(was == (name in self._asked) for name, was in self._kept.items())

    def mark(self) -> None:
        """Mark the steps that this attempt did not ask for. Nothing here may harm a body that has ended well."""
        unused = sorted((self._kept or {}).keys() - self._asked)
        if unused:
            logger.warning(
                "Job %s (%s) has kept steps that its last attempt did not ask for: %s. Has the function changed?",
                self._claim.id,
                self._claim.name,
                ", ".join(unused),
            )
        try:
            steps.mark_unused(self._using, self._claim.id, unused)
        except DatabaseError:
            logger.exception("The steps of job %s cannot be marked.", self._claim.id)

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Refuse what cannot be kept before anything is done; a step that failed may be asked for again."""
        _check_name(name)
        if self._spec.batch is not None:
            raise InvalidStep(
                f"Step {name!r}: {self._spec.name} runs in batches, which have no steps: the next attempt of an item "
                "may run among others. Keep what is done with item.save(...)."
            )
        if self._spec.is_atomic:
            raise InvalidStep(
                f"Step {name!r}: {self._spec.name} is atomic, so a step would be undone together with all the rest."
            )
        if name in self._asked:
            raise InvalidStep(
                f"Step {name!r} was asked for twice in one attempt. Give each a name of its own; in a loop, "
                'f"page {number}".'
            )
        self._asked.add(name)
        try:
            yield
        except BaseException:
            self._asked.discard(name)
            raise

    def _find(self, name: str) -> steps.Kept | None:
        if self._kept is None:
            self._kept = steps.kept(self._using, self._claim.id)
        return steps.read(self._using, self._claim.id, name) if name in self._kept else None

    def _do(self, name: str, call: Call) -> steps.Kept:
        started = clock.monotonic()
        return self._keep(name, call(), started)

    def _do_atomically(self, name: str, call: Call) -> steps.Kept:
        started = clock.monotonic()
        with transaction.atomic(using=self._using):
            text = self._text(name, unbroken(self._using, call))
            is_mine = steps.keep(self._using, self._claim, name, text, clock.monotonic() - started)
            if not is_mine:
                transaction.set_rollback(True, using=self._using)
        return (text,) if is_mine else self._kept_by_another(name)

    def _keep(self, name: str, value: object, started: float) -> steps.Kept:
        text = self._text(name, value)
        is_mine = steps.keep(self._using, self._claim, name, text, clock.monotonic() - started)
        return (text,) if is_mine else self._kept_by_another(name)

    def _kept_by_another(self, name: str) -> steps.Kept:
        """Return what another attempt has kept under this name meanwhile. Raises ClaimLost if there is nothing."""
        found = steps.read(self._using, self._claim.id, name)
        if found is None:
            raise ClaimLost(f"Step {name!r} is not kept: job {self._claim.id} was taken from this worker.")
        return found

    def _text(self, name: str, value: object) -> str | None:
        if inspect.iscoroutine(value):
            value.close()
            raise InvalidStep(f"Step {name!r}: the function is `async def`. Write: await context.astep(...).")
        try:
            return encode_result(value, limit=get_settings().MAX_RESULT_BYTES, what=f"result of step {name!r}")
        except InvalidArguments as error:
            raise InvalidStep(str(error)) from error


def _value(found: steps.Kept) -> Any:
    """Return a result as every attempt sees it: what JSON made of it, in the first one too."""
    return None if found[0] is None else json.loads(found[0])


def _check_name(name: object) -> None:
    # MariaDB takes "a" for "a ".
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or name != name.strip() or "\0" in name:
        raise InvalidStep(
            f"The name of a step must be a text of 1 to {LONGEST_NAME} characters without NUL, and without blanks at "
            f"its ends, not {name!r}."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidStep(f"The name of a step holds a lone surrogate, which is no text: {name!r}.") from None
