"""Middleware: what was active at enqueue is active in the body, and what it raises steers both."""

import asyncio
import datetime
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation

from django_jobs import GiveUp, Snooze, enqueue_many
from django_jobs.definitions.arguments import decode_headers, encode_headers
from django_jobs.definitions.outcomes import Failed, Retried, Snoozed, Succeeded
from django_jobs.errors import ConfigurationError, InvalidArguments, PayloadTooLarge
from django_jobs.execution.execute import aexecute
from django_jobs.middleware import JobMiddleware
from django_jobs.models import Job
from tests.bells import transport
from tests.execution.bodies import KINDS, act_async, claim, current_body, raises, run
from tests.samples import mail, note

__all__ = ["transport"]

EVENTS: list[str] = []


class Outer(JobMiddleware):
    def enqueue(self, request):
        EVENTS.append("outer enqueue")
        return request.with_headers(outer=1)

    @contextmanager
    def execute(self, context):
        EVENTS.append("outer before")
        try:
            yield
        finally:
            EVENTS.append("outer after")


class Inner(JobMiddleware):
    def enqueue(self, request):
        EVENTS.append(f"inner enqueue {dict(request.headers)}")
        return request

    @contextmanager
    def execute(self, context):
        EVENTS.append("inner before")
        yield
        EVENTS.append("inner after a good end")


class Urgent(JobMiddleware):
    def enqueue(self, request):
        return note.using(priority=9).request(*request.args, **request.kwargs)


class Refusing(JobMiddleware):
    def enqueue(self, request):
        raise PermissionError("Not today.")


class Forgetful(JobMiddleware):
    def enqueue(self, request):
        request.with_headers(lost=True)


class Closed(JobMiddleware):
    @contextmanager
    def execute(self, context):
        if context.attempt:
            raise Snooze(60)
        yield


class Replacing(JobMiddleware):
    @contextmanager
    def execute(self, context):
        try:
            yield
        except LookupError as error:
            raise GiveUp("There is no such order.") from error


class Swallowing(JobMiddleware):
    @contextmanager
    def execute(self, context):
        try:
            yield
        except LookupError:
            EVENTS.append("swallowed")


class OnTheLoop(JobMiddleware):
    @asynccontextmanager
    async def aexecute(self, context):
        await asyncio.sleep(0)
        EVENTS.append("on the loop")
        yield


NO_CLASS = "a text"


@pytest.fixture
def use(settings):
    """Give `use(*classes)`: let them be the middleware in force, the outermost first."""

    def use(*paths):
        names = [each if isinstance(each, str) else f"{each.__module__}.{each.__qualname__}" for each in paths]
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MIDDLEWARE": names}

    EVENTS.clear()
    return use


@KINDS
def test_bodies_are_surrounded_the_outermost_first(use, function):
    use(Outer, Inner)
    assert run(lambda: EVENTS.append("body"), claim(function)) == Succeeded()
    assert EVENTS == ["outer before", "inner before", "body", "inner after a good end", "outer after"]


@KINDS
def test_an_error_of_the_body_passes_through_the_chain_and_counts(use, function):
    use(Outer, Inner)
    assert isinstance(run(raises(LookupError("gone")), claim(function)), Retried)
    assert EVENTS == ["outer before", "inner before", "outer after"]


@KINDS
def test_what_a_middleware_raises_steers_the_attempt_and_closes_those_around_it(use, function):
    use(Outer, Closed, Inner)
    assert run(lambda: EVENTS.append("body"), claim(function)) == Snoozed(60)
    assert EVENTS == ["outer before", "outer after"]


@KINDS
def test_an_error_of_the_body_may_be_replaced(use, function):
    use(Replacing)
    outcome = run(raises(LookupError("gone")), claim(function))
    assert isinstance(outcome, Failed)
    assert outcome.error.summary == "GiveUp: There is no such order."


@KINDS
def test_an_error_of_the_body_cannot_be_swallowed(use, function):
    use(Swallowing)
    outcome = run(raises(LookupError("gone")), claim(function))
    assert isinstance(outcome, Retried)
    assert outcome.error.summary == "LookupError: gone"
    assert EVENTS == ["swallowed"]


def test_an_async_body_may_be_surrounded_on_its_loop_in_a_way_of_its_own(use):
    use(Outer, OnTheLoop)
    assert asyncio.run(execute_on_a_loop()) == Succeeded("1")
    assert EVENTS == ["outer before", "on the loop", "outer after"]


async def execute_on_a_loop():

    current_body.set(lambda: 1)
    return await aexecute(claim(act_async))


@pytest.mark.django_db
def test_each_enqueue_passes_the_chain_once_and_headers_are_stored(use, transport):
    use(Outer, Inner)
    jobs = [note.enqueue("a"), *enqueue_many([note.request("b"), mail.request("c")])]
    assert EVENTS == ["outer enqueue", "inner enqueue {'outer': 1}"] * 3
    rows = Job.objects.in_bulk([job.pk for job in jobs])
    assert [decode_headers(rows[job.pk].headers) for job in jobs] == [{"outer": 1}] * 3
    assert [job.headers for job in jobs] == [rows[job.pk].headers for job in jobs]


@pytest.mark.django_db
def test_a_middleware_may_change_what_is_stored(use, transport):
    use(Urgent)
    assert Job.objects.get(pk=note.enqueue("a").pk).priority == 9


@pytest.mark.django_db
def test_a_middleware_that_raises_refuses_the_job(use, transport):
    use(Refusing)
    with pytest.raises(PermissionError, match="Not today"):
        note.enqueue("a")
    assert not Job.objects.exists()
    assert transport.announced == []


def test_a_middleware_that_returns_no_request_is_named(use):
    use(Forgetful)
    with pytest.raises(ConfigurationError, match=r"Forgetful.enqueue\(\) must return a JobRequest, not None"):
        note.enqueue("a")


def test_without_middleware_a_row_carries_nothing():
    assert encode_headers({}) == ""
    assert decode_headers("") == {}


@pytest.mark.parametrize(
    ("headers", "error", "complaint"),
    [
        ({"tenant": object()}, InvalidArguments, r"headers\['tenant'\] is <object"),
        ({"tenant": "x" * 9000}, PayloadTooLarge, r"The headers \['tenant'\] take 9,013 bytes as JSON, and 8,192"),
    ],
)
def test_headers_that_cannot_travel_are_named(headers, error, complaint):
    with pytest.raises(error, match=complaint):
        encode_headers(note.request("a").with_headers(**headers).headers)


def travel(body):
    """Enqueue a job, and run it as a worker elsewhere does: return what the body saw."""

    job = note.enqueue("a")
    seen = []
    with translation.override("en"), timezone.override("UTC"):
        run(lambda: seen.append(body()), replace(claim(), headers=job.headers))
    return seen[0]


@pytest.mark.django_db
def test_the_language_travels(use, transport):
    use("django_jobs.middleware.LanguageMiddleware")
    with translation.override("de"):
        assert travel(translation.get_language) == "de"
    with translation.override(None):
        assert travel(translation.get_language) == "en"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "zone", [ZoneInfo("Europe/Berlin"), datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))], ids=str
)
def test_the_time_zone_travels(use, transport, zone):
    use("django_jobs.middleware.TimeZoneMiddleware")
    with timezone.override(zone):
        assert travel(timezone.get_current_timezone) == zone


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("tests.test_middleware.Missing", "names 'tests.test_middleware.Missing', which cannot be imported"),
        ("nowhere", "names 'nowhere', which cannot be imported"),
        ("tests.test_middleware.NO_CLASS", "which is 'a text'. Name a subclass of JobMiddleware."),
    ],
)
def test_a_path_that_names_no_middleware_is_an_error_of_the_settings(use, path, complaint):
    use(path)
    with pytest.raises(ConfigurationError, match=complaint):
        note.enqueue("a")


def test_a_text_in_place_of_a_list_is_an_error_of_the_settings(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MIDDLEWARE": "shop.jobs.TenantMiddleware"}
    with pytest.raises(ConfigurationError, match="must be a list of dotted paths, not 'shop"):
        note.enqueue("a")
