"""Middleware: what was active where a job was enqueued is active again where it runs.

DJANGO_JOBS["MIDDLEWARE"] lists classes by their dotted paths, the outermost first, as Django's MIDDLEWARE does. One
instance of each lives as long as the process.
"""

import datetime as datetimes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone, translation
from django.utils.module_loading import import_string

from django_jobs import clock
from django_jobs.conf import SETTING, JobsSettings, get_settings
from django_jobs.definitions.requests import JobRequest
from django_jobs.errors import ConfigurationError

if TYPE_CHECKING:
    from django_jobs.execution.context import JobContext

_NOTHING = nullcontext()


class JobMiddleware:
    """Change requests before they are stored, and surround the bodies of jobs. Override what you need."""

    def enqueue(self, request: JobRequest) -> JobRequest:
        """Return the request that is to be stored: this one, or a changed copy. What it raises refuses the job."""
        return request

    @contextmanager
    def execute(self, context: "JobContext") -> Iterator[None]:
        """Surround the body of an attempt.

        What is raised here steers the attempt as if the body had raised it. An error of the body passes through; it
        may be replaced by another, but not swallowed: a body that did not end has no result.
        """
        yield

    @asynccontextmanager
    async def aexecute(self, context: "JobContext") -> AsyncIterator[None]:
        """Surround the body of an `async def` job, on the event loop: with `execute`, unless you override this too."""
        with self.execute(context):
            yield


class LanguageMiddleware(JobMiddleware):
    """Run a job in the language that was active where it was enqueued."""

    def enqueue(self, request: JobRequest) -> JobRequest:
        language = translation.get_language()
        return request if language is None else request.with_headers(language=language)

    @contextmanager
    def execute(self, context: "JobContext") -> Iterator[None]:
        with translation.override(context.headers.get("language", translation.get_language())):
            yield


class TimeZoneMiddleware(JobMiddleware):
    """Run a job in the time zone that was active where it was enqueued."""

    def enqueue(self, request: JobRequest) -> JobRequest:
        if not settings.USE_TZ:
            return request
        zone = timezone.get_current_timezone()
        if isinstance(zone, ZoneInfo) and zone.key:
            return request.with_headers(time_zone=zone.key)
        # One without a name: how far it is from UTC now.
        offset = clock.now().astimezone(zone).utcoffset()
        return request if offset is None else request.with_headers(time_zone=offset.total_seconds())

    @contextmanager
    def execute(self, context: "JobContext") -> Iterator[None]:
        with timezone.override(self._zone(context.headers.get("time_zone"))):
            yield

    def _zone(self, said: str | float | None) -> datetimes.tzinfo:
        if said is None:
            return timezone.get_current_timezone()
        return ZoneInfo(said) if isinstance(said, str) else datetimes.timezone(datetimes.timedelta(seconds=said))


def before_enqueue(request: JobRequest) -> JobRequest:
    """Return the request as it leaves the chain, the outermost first."""
    for each in chain():
        request = each.enqueue(request)
        if not isinstance(request, JobRequest):
            raise ConfigurationError(f"{type(each).__qualname__}.enqueue() must return a JobRequest, not {request!r}.")
    return request


def around(context_of: "Callable[[], JobContext]") -> "_Around | nullcontext[None]":
    """Return what surrounds a body with the chain: `with` for `def`, `async with` for `async def`."""
    return _Around(context_of()) if chain() else _NOTHING


class _Around:
    """The chain as one manager. Swallows no error, whatever a middleware does."""

    def __init__(self, context: "JobContext") -> None:
        self._context = context

    def __enter__(self) -> None:
        self._stack = ExitStack()
        with self._stack:
            for each in chain():
                self._stack.enter_context(each.execute(self._context))
            # Kept open: from here on an end of the body closes it.
            self._stack = self._stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    async def __aenter__(self) -> None:
        self._async_stack = AsyncExitStack()
        async with self._async_stack:
            for each in chain():
                await self._async_stack.enter_async_context(each.aexecute(self._context))
            self._async_stack = self._async_stack.pop_all()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._async_stack.__aexit__(kind, error, traceback)


def chain() -> tuple[JobMiddleware, ...]:
    """Return the middleware in force. Raises ConfigurationError, naming the entry."""
    return _chain(get_settings())


@lru_cache(maxsize=1)
def _chain(jobs_settings: JobsSettings) -> tuple[JobMiddleware, ...]:
    return tuple(_instance(path) for path in jobs_settings.MIDDLEWARE)


def _instance(path: str) -> JobMiddleware:
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f"{SETTING}['MIDDLEWARE'] names {path!r}, which cannot be imported: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, JobMiddleware)):
        raise ConfigurationError(
            f"{SETTING}['MIDDLEWARE'] names {path!r}, which is {found!r}. Name a subclass of JobMiddleware."
        )
    return found()
