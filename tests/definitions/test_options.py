"""Options are checked where they are written and laid over each other when a job is stored; errors say what to do."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from django_jobs import Exponential, Fixed, job
from django_jobs.definitions.options import NOT_AVAILABLE_YET, OPTION_NAMES, UNSET, JobOptions, make_options
from django_jobs.definitions.registry import get_spec, job_names, queue_names
from django_jobs.definitions.requests import JobRequest, key_of, queue_options, resolve
from django_jobs.definitions.retries import DEFAULT_BACKOFF
from django_jobs.errors import InvalidArguments, InvalidOption, NotAvailableYet, UnknownJob
from tests.samples import mail, note

MOMENT = datetime(2030, 1, 2, 3, tzinfo=UTC)


@job(name="options.says_nothing")
def says_nothing(): ...


@job(
    name="options.says_all",
    queue_name="spoken",
    priority=1,
    lifo=True,
    run_after=10,
    expires=100,
    max_attempts=11,
    backoff=Fixed(12),
    timeout=15,
    max_stalls=13,
    max_starts=14,
    max_payload_bytes=14,
    idempotency_key="15",
    idempotency_ttl=16,
)
def says_all(): ...


@job(
    name="options.callables", backoff=lambda error, context: 1, idempotency_key=lambda order, **kwargs: f"order {order}"
)
def callables(order, **kwargs): ...


def with_settings(settings, **values):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **values}


def test_every_option_has_its_check():
    for name in OPTION_NAMES:
        with pytest.raises(InvalidOption, match=f"^here: {name} must be "):
            make_options({name: object()}, whose="here")


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [
        ("queue_name", "mail", "mail"),
        ("queue_name", "Ünï.code_1:2-3", "Ünï.code_1:2-3"),
        ("priority", -100, -100),
        ("priority", 100, 100),
        ("lifo", False, False),
        ("run_after", MOMENT, MOMENT),
        ("run_after", MOMENT.astimezone(timezone(timedelta(hours=9))), MOMENT),
        ("run_after", timedelta(minutes=1), 60.0),
        ("run_after", timedelta(minutes=-1), 0.0),
        ("run_after", 5, 5.0),
        ("expires", MOMENT, MOMENT),
        ("expires", timedelta(minutes=1), 60.0),
        ("max_attempts", 1, 1),
        ("max_attempts", 32_000, 32_000),
        ("backoff", Fixed(1), Fixed(1)),
        ("backoff", Exponential(1), Exponential(1)),
        ("max_stalls", 0, 0),
        ("timeout", timedelta(minutes=1), 60.0),
        ("timeout", 0.5, 0.5),
        ("max_starts", 1, 1),
        ("max_payload_bytes", 2, 2),
        ("idempotency_key", "é" * 1000, "é" * 1000),
        ("idempotency_ttl", timedelta(days=1), 86400.0),
        ("idempotency_ttl", 0, 0.0),
    ],
)
def test_an_option_that_can_work_is_taken(name, value, checked):
    assert getattr(make_options({name: value}, whose="here"), name) == checked


NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("queue_name", "", "queue_name must be 1 to 100 letters, digits or _ . : -, not ''."),
        ("queue_name", "a b", "not 'a b'."),
        ("queue_name", "x" * 101, "queue_name must be 1 to 100 letters"),
        ("queue_name", "a\n", r"not 'a\n'."),
        ("queue_name", 7, "not 7."),
        ("priority", 101, "priority must be a whole number from -100 to 100, not 101."),
        ("priority", -101, "not -101."),
        ("priority", 1.0, "not 1.0."),
        ("priority", True, "not True."),
        ("priority", "high", "not 'high'."),
        ("lifo", 1, "lifo must be True or False, not 1."),
        ("run_after", "tomorrow", "run_after must be a datetime, a timedelta or seconds, not 'tomorrow'."),
        ("run_after", -1, "not -1."),
        ("run_after", float("nan"), "not nan."),
        ("run_after", float("inf"), "not inf."),
        ("run_after", 1e300, "run_after must be a duration from 0 seconds to 1,000 years, not 1e+300."),
        ("run_after", True, "not True."),
        ("run_after", NAIVE, f"run_after must be an aware datetime, not {NAIVE!r}. Use django.utils.timezone."),
        ("run_after", NAIVE.date(), "not datetime.date(2030, 1, 1)."),
        ("max_attempts", 0, "max_attempts must be a whole number from 1 to 32000, not 0."),
        ("max_attempts", 32_001, "not 32001."),
        ("backoff", 5, "backoff must be Fixed(...) or Exponential(...), not 5. A callable goes on @job."),
        ("backoff", len, "A callable goes on @job."),
        ("expires", NAIVE, f"expires must be an aware datetime, not {NAIVE!r}. Use django.utils.timezone."),
        ("expires", -1, "not -1."),
        ("max_starts", 0, "max_starts must be a whole number from 1 to 2000000000, not 0."),
        ("timeout", 0, "timeout must be more than 0 seconds, not 0."),
        ("timeout", -1, "timeout must be a duration from 0 seconds"),
        ("timeout", "1 min", "not '1 min'."),
        ("max_stalls", -1, "max_stalls must be a whole number from 0 to 32000, not -1."),
        ("max_payload_bytes", 1, "max_payload_bytes must be a whole number from 2 to 16777216, not 1."),
        ("idempotency_key", "", "idempotency_key must be a text of 1 to 1000 characters without NUL, not ''."),
        ("idempotency_key", "x" * 1001, "idempotency_key must be a text of 1 to 1000 characters"),
        ("idempotency_key", "a\0b", r"not 'a\x00b'."),
        ("idempotency_key", "\ud800", "idempotency_key holds a lone surrogate, which is no text"),
        ("idempotency_key", 7, "not 7."),
        ("idempotency_key", len, "idempotency_key must be a text"),
        ("idempotency_ttl", -1, "idempotency_ttl must be a duration from 0 seconds"),
        ("idempotency_ttl", "1 d", "not '1 d'."),
        ("priorty", 1, "there is no option 'priorty'. Did you mean 'priority'?"),
        ("queue", "mail", "there is no option 'queue'. Did you mean 'queue_name'?"),
        ("nonsense", 1, "there is no option 'nonsense'."),
        ("takes_context", True, "the option 'takes_context' goes on @job alone."),
        ("name", "x", "the option 'name' goes on @job alone."),
        ("atomic", True, "the option 'atomic' goes on @job alone."),
        ("sensitive", None, "the option 'sensitive' goes on @job alone."),
    ],
)
def test_an_option_that_cannot_work_says_whose_it_is_and_what_to_write(settings, name, value, message):
    with pytest.raises(InvalidOption) as caught:
        note.using(**{name: value})
    assert str(caught.value).startswith("samples.note.using(): ")
    assert message in str(caught.value)
    if name in ("queue_name", "idempotency_key"):
        return  # not in the settings of a queue at all
    with_settings(settings, QUEUES={"default": {name.upper(): value}})
    request = note.request()
    with pytest.raises(InvalidOption) as caught:
        resolve(request)
    assert str(caught.value).startswith("DJANGO_JOBS['QUEUES']['default']: ")
    # What is meant is spelled as settings are, in capitals.
    assert message.partition(" Did you")[0] in str(caught.value)


@pytest.mark.parametrize("name", sorted(NOT_AVAILABLE_YET))
def test_what_is_planned_is_told_from_what_is_wrong(name):
    with pytest.raises(NotAvailableYet, match=rf"samples.note.using\(\): the option '{name}' is not available yet."):
        note.using(**{name: None})


def test_a_naive_time_is_a_local_one_where_the_project_has_no_zones(settings):
    settings.USE_TZ = False
    assert make_options({"run_after": NAIVE}, whose="here").run_after == NAIVE.astimezone(UTC)


def test_using_changes_a_copy_and_adds_up():
    one = note.using(priority=1, lifo=True)
    two = one.using(priority=2)
    assert (note.options, one.options) == (JobOptions(), JobOptions(priority=1, lifo=True))
    assert two.options == JobOptions(priority=2, lifo=True)


def test_none_takes_back_what_was_said_before():
    assert note.using(priority=1, lifo=True).using(priority=None).options == JobOptions(lifo=True)
    assert note.using(priority=None).options == JobOptions()
    resolved = resolve(says_all.using(priority=50).using(priority=None).request())
    assert resolved.priority == 1


def test_without_a_word_the_defaults_hold(settings):
    resolved = resolve(says_nothing.request())
    assert (resolved.queue_name, resolved.priority, resolved.lifo, resolved.run_after) == ("default", 0, False, None)
    assert (resolved.max_attempts, resolved.backoff, resolved.max_stalls) == (1, DEFAULT_BACKOFF, 3)
    assert (resolved.max_payload_bytes, resolved.idempotency_key, resolved.idempotency_ttl) == (256 * 1024, None, None)


LAYERS = [
    ("priority", None, 20, 1, 30),
    ("lifo", None, False, True, False),
    ("run_after", None, 20.0, 10.0, 30.0),
    ("max_attempts", 40, 20, 11, 30),
    ("backoff", None, Fixed(20), Fixed(12), Fixed(30)),
    ("expires", None, 200.0, 100.0, 300.0),
    ("timeout", 40, 20.0, 15.0, 30.0),
    ("max_stalls", 40, 20, 13, 30),
    ("max_starts", None, 20, 14, 30),
    ("max_payload_bytes", 40, 20, 14, 30),
    ("idempotency_ttl", None, 20.0, 16.0, 30.0),
]


@pytest.mark.parametrize(
    ("name", "of_settings", "of_queue", "of_function", "of_call"), LAYERS, ids=[each[0] for each in LAYERS]
)
def test_the_call_goes_before_the_function_before_the_queue_before_the_settings(
    settings, name, of_settings, of_queue, of_function, of_call
):
    key = name.upper()
    if of_settings is not None:
        with_settings(settings, **{key: of_settings})
        assert getattr(resolve(says_nothing.request()), name) == of_settings
    with_settings(settings, QUEUES={"default": {key: of_queue}, "spoken": {key: of_queue}})
    assert getattr(resolve(says_nothing.request()), name) == of_queue
    assert getattr(resolve(says_all.request()), name) == of_function
    assert getattr(resolve(says_all.using(**{name: of_call}).request()), name) == of_call


def test_the_queue_of_the_call_brings_the_options_of_that_queue(settings):
    with_settings(settings, QUEUES={"slow": {"PRIORITY": -50}, "default": {"PRIORITY": 3}})
    assert resolve(says_nothing.request()).priority == 3
    moved = resolve(says_nothing.using(queue_name="slow").request())
    assert (moved.queue_name, moved.priority) == ("slow", -50)
    assert resolve(mail.using(queue_name="slow").request("a@example.org")).priority == 5


@pytest.mark.parametrize("name", ["QUEUE_NAME", "IDEMPOTENCY_KEY"])
def test_a_queue_cannot_set_what_belongs_to_a_job(settings, name):
    with_settings(settings, QUEUES={"mail": {name: "x"}})
    with pytest.raises(InvalidOption, match="cannot set QUEUE_NAME, IDEMPOTENCY_KEY or DEDUPLICATE"):
        resolve(mail.request("a@example.org"))


def test_options_of_a_queue_may_be_not_available_yet(settings):
    with_settings(settings, QUEUES={"mail": {"CONCURRENCY": 5}})
    with pytest.raises(NotAvailableYet, match="the option 'concurrency' is not available yet"):
        resolve(mail.request("a@example.org"))


def test_a_queue_without_settings_says_nothing():
    from django_jobs.conf import get_settings

    assert queue_options(get_settings(), "unheard_of") == JobOptions()


def test_a_callable_backoff_stays_out_of_the_row_unless_the_call_says_another(settings):
    assert resolve(callables.request(1)).backoff is None
    assert resolve(callables.using(backoff=Fixed(1)).request(1)).backoff == Fixed(1)
    with_settings(settings, QUEUES={"default": {"BACKOFF": Fixed(9)}})
    assert resolve(callables.request(1)).backoff is None


def key(request: JobRequest) -> str | None:
    return key_of(request, resolve(request))


def test_a_callable_key_is_asked_with_the_arguments_unless_the_call_says_another():
    assert key(callables.request(7, note="x")) == "order 7"
    assert key(callables.using(idempotency_key="mine").request(7)) == "mine"


@pytest.mark.parametrize(
    "options", [{"expires": 60, "run_after": 60}, {"expires": MOMENT, "run_after": MOMENT + timedelta(days=1)}], ids=str
)
def test_a_job_that_would_expire_before_it_is_due_is_refused(options):
    with pytest.raises(InvalidOption, match=r"samples\.note: expires .* so it could never start"):
        resolve(note.using(**options).request())


def test_a_job_may_expire_when_it_is_due_for_a_while():
    assert resolve(note.using(expires=61, run_after=60).request()).expires == 61.0
    assert resolve(note.using(expires=60, run_after=MOMENT).request()).expires == 60.0


@pytest.mark.parametrize("answer", [None, "", 7, "a\0"])
def test_a_callable_key_that_answers_nonsense_is_told(answer):
    @job(name="options.nonsense", idempotency_key=lambda: answer)
    def nonsense(): ...

    with pytest.raises(InvalidOption, match=r"idempotency_key of @job options\.nonsense"):
        key(nonsense.request())


def test_a_queue_that_nobody_declares_is_told_at_the_request(settings):
    with_settings(settings, QUEUES={"reports": {}})
    assert note.using(queue_name="reports").request().options.queue_name == "reports"
    assert note.using(queue_name="mail").request()
    lost = note.using(queue_name="mails")
    with pytest.raises(InvalidOption) as caught:
        lost.request()
    for part in (
        "No queue is called 'mails'.",
        "Did you mean 'mail'?",
        "Known are:",
        "DJANGO_JOBS['QUEUES'] or on a @job",
    ):
        assert part in str(caught.value)


def test_queues_are_those_of_settings_and_jobs_and_the_default(settings):
    with_settings(settings, QUEUES={"reports": {}})
    assert {"default", "mail", "reports", "spoken"} <= set(queue_names())
    assert queue_names() == sorted(queue_names())


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'address'"),
        (("a", 1, 2), {}, "too many positional arguments"),
        (("a",), {"copys": 2}, "got an unexpected keyword argument 'copys'"),
        (("a",), {"address": "b"}, "multiple values for argument 'address'"),
    ],
)
def test_a_call_that_does_not_fit_is_told_at_the_request(args, kwargs, message):
    with pytest.raises(InvalidArguments) as caught:
        mail.request(*args, **kwargs)
    assert "samples.mail(address: str, copies: int = 1) -> int cannot be called like this" in str(caught.value)
    assert message in str(caught.value)


def test_a_name_that_nobody_registered_is_told_with_the_nearest():
    with pytest.raises(UnknownJob) as caught:
        get_spec("samples.nota")
    for part in ("No job named 'samples.nota' is registered.", "Did you mean 'samples.note'?", "INSTALLED_APPS"):
        assert part in str(caught.value)


def test_registered_jobs_are_found_by_name():
    assert get_spec("samples.note") is note.spec
    assert {"samples.note", "samples.mail"} <= set(job_names())
    assert job_names() == sorted(job_names())


def test_nothing_said_is_nothing():
    assert make_options(dict.fromkeys(OPTION_NAMES), whose="here") == JobOptions()
    assert JobOptions().queue_name is UNSET
