"""What a job calls sensitive is seen by nobody but the job."""

import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from django_jobs import Job, job
from django_jobs.definitions.redaction import HIDDEN, shown_call, shown_result
from django_jobs.errors import IdempotencyConflict, InvalidOption


@job(name="redaction.log_in", sensitive=["password", "codes", "return"])
def log_in(user, password, *codes, **more):
    return "token"


@pytest.mark.parametrize(
    ("args", "kwargs", "shown"),
    [
        (["ann", "secret"], {}, (["ann", HIDDEN], {})),
        (["ann"], {"password": "secret"}, (["ann"], {"password": HIDDEN})),
        (["ann", "secret", 1, 2], {"hint": "h"}, (["ann", HIDDEN, HIDDEN, HIDDEN], {"hint": "h"})),
        (["ann"], {}, (["ann"], {})),
    ],
)
def test_a_sensitive_argument_is_hidden_however_it_was_passed(args, kwargs, shown):
    assert shown_call("redaction.log_in", args, kwargs) == shown


def test_a_result_is_hidden_where_its_job_says_so():
    assert shown_result("redaction.log_in", "token") == HIDDEN
    assert shown_result("redaction.log_in", None) is None
    assert shown_result("samples.note", 3) == 3


def test_more_arguments_than_the_function_takes_now_are_hidden():
    @job(name="redaction.changed", sensitive=["password"])
    def changed(password): ...

    assert shown_call("redaction.changed", ["old", "secret"], {}) == ([HIDDEN, HIDDEN], {})


def test_a_job_that_is_not_registered_hides_nothing():
    assert shown_call("redaction.gone", [1], {"a": 2}) == ([1], {"a": 2})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["pasword"], "sensitive names 'pasword', which is no parameter. Did you mean 'password'?"),
        ("password", "must be a list of parameter names, not 'password'. Write"),
    ],
)
def test_a_name_that_would_hide_nothing_is_refused(names, message):
    with pytest.raises(InvalidOption, match=message):

        @job(name="redaction.refused", sensitive=names)
        def refused(password): ...


@pytest.mark.django_db
def test_the_message_of_a_conflict_hides_it():
    handle = log_in.using(idempotency_key="one")
    handle.enqueue("ann", "first secret")
    with pytest.raises(IdempotencyConflict) as raised:
        handle.enqueue("ann", "second secret")
    assert "secret" not in str(raised.value)
    assert HIDDEN in str(raised.value)


@pytest.mark.django_db
def test_the_page_of_a_job_and_the_command_hide_it(admin_client, capsys):
    stored = log_in.enqueue("ann", "a secret")
    Job.objects.filter(pk=stored.pk).update(state="successful", result_text=json.dumps("a token"))
    page = admin_client.get(reverse("admin:django_jobs_job_change", args=[stored.pk])).content.decode()
    call_command("jobs", "show", str(stored.pk))
    told = capsys.readouterr().out
    for text in (page, told):
        assert HIDDEN in text
        assert "ann" in text
        assert "a secret" not in text
        assert "a token" not in text
