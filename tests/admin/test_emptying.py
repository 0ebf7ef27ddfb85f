"""Drain, clean and obliterate a queue from its page: choose, see how many, confirm."""

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.urls import reverse

from django_jobs.admin import long_work
from django_jobs.models import Job, Queue
from django_jobs.states import State
from django_jobs.transitions import steering
from tests import rows
from tests.admin.pages import QUEUES, Page

pytestmark = pytest.mark.django_db

DRAIN, CLEAN, OBLITERATE = (reverse(f"admin:django_jobs_queue_{verb}") for verb in ("drain", "clean", "obliterate"))
NAME = {"name": "default"}
CHOICES = {DRAIN: {}, CLEAN: {"state": "failed", "days": "0"}, OBLITERATE: {}}


@pytest.fixture
def jobs():
    """A failed, a due and a scheduled job."""
    past = rows.now() - rows.HOUR
    rows.put(State.FAILED, finished_at=past)
    rows.put(enqueued_at=past)
    rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=past)


def go(client, url, **choices):
    """Take both questions with yes; return the three pages."""
    asked = client.post(url, NAME)
    counted = client.post(url, {**Page(asked).fields(), **CHOICES[url], **choices})
    return asked, counted, client.post(url, Page(counted).fields(), follow=True)


@pytest.mark.parametrize(
    ("url", "choices", "removed"),
    [(DRAIN, {}, 1), (DRAIN, {"scheduled": "on"}, 2), (CLEAN, {}, 1), (CLEAN, {"days": "1"}, 0), (OBLITERATE, {}, 3)],
)
def test_it_says_how_many_before_and_after(admin_client, jobs, messages, url, choices, removed):
    asked, counted, done = go(admin_client, url, **choices)
    assert "Failed" in Page(asked).text
    assert f"{removed} job{'' if removed == 1 else 's'} of the queue default will be removed for ever." in (
        Page(counted).text
    )
    assert messages(done) == [
        f"{removed} job{'' if removed == 1 else 's'} of default {'was' if removed == 1 else 'were'} removed."
    ]
    assert Job.objects.count() == 3 - removed


@pytest.mark.parametrize("url", CHOICES)
def test_nothing_happens_before_it_is_confirmed(admin_client, jobs, url):
    admin_client.get(url, NAME)
    asked = admin_client.post(url, NAME)
    admin_client.post(url, {**Page(asked).fields(), **CHOICES[url]})
    admin_client.post(url, {**NAME, "confirmed": "yes"})
    assert Job.objects.count() == 3
    assert not LogEntry.objects.exists()


def test_it_is_written_down_who_removed_how_many(admin_client, admin_user, jobs):
    go(admin_client, CLEAN)
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_repr, entry.action_flag) == (admin_user, "default", DELETION)
    assert entry.change_message == "Clean (state=failed, days=0.0): 1 job was removed."


def test_long_work_goes_on_from_one_request_to_the_next(admin_client, messages, monkeypatch):
    monkeypatch.setattr(long_work, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(steering, "CHUNK", 2)
    for _ in range(5):
        rows.put(State.FAILED, finished_at=rows.now() - rows.HOUR)
    _, _, response = go(admin_client, CLEAN)
    told = []
    while "removed so far" in Page(response).text:
        told.append(Page(response).fields()["removed"])
        assert any(attrs.get("data-go-on") is None and "data-go-on" in attrs for tag, attrs in Page(response).tags)
        response = admin_client.post(CLEAN, Page(response).fields(), follow=True)
    assert told == [["2"], ["4"], ["5"]]
    assert messages(response) == ["5 jobs of default were removed."]
    assert not Job.objects.exists()


def test_an_obliterate_of_several_requests_keeps_the_queue_paused(admin_client, monkeypatch):
    monkeypatch.setattr(long_work, "MOST_SECONDS", 0.0)
    rows.put(enqueued_at=rows.now() - rows.HOUR)
    _, _, response = go(admin_client, OBLITERATE)
    assert Queue.objects.get(name="default").paused
    admin_client.post(OBLITERATE, Page(response).fields())
    assert not Queue.objects.exists()


def test_an_obliterate_is_refused_while_jobs_run_and_changes_nothing(admin_client, jobs, messages):
    rows.put(State.RUNNING)
    _, _, response = go(admin_client, OBLITERATE)
    assert "Jobs of default run, so nothing was changed. " in messages(response)[0]
    assert (Job.objects.count(), Queue.objects.filter(paused=True).count()) == (4, 0)
    _, _, response = go(admin_client, OBLITERATE, force="on")
    assert messages(response) == ["4 jobs of default were removed."]


@pytest.mark.parametrize(
    "choices", [{"state": "running"}, {"state": ""}, {"days": "-1"}, {"days": "nan"}, {"days": "1e9"}]
)
def test_what_cannot_be_cleaned_is_asked_again(admin_client, jobs, choices):
    response = admin_client.post(CLEAN, {**NAME, "chosen": "yes", "confirmed": "yes", **CHOICES[CLEAN], **choices})
    assert any("errorlist" in (attrs.get("class") or "") for _, attrs in Page(response).tags)
    assert Job.objects.count() == 3


def test_a_name_that_cannot_be_one_is_told(admin_client, messages):
    response = admin_client.post(DRAIN, {"name": "no name"}, follow=True)
    assert messages(response) == ["'no name' is no name of a queue: 1 to 100 letters, digits or _ . : -."]


@pytest.mark.parametrize("verb", ["drain", "clean", "obliterate"])
def test_everybody_sees_the_verbs_that_they_may_use(staff, jobs, verb):
    client = staff("view_queue", f"{verb}_queue")
    response = client.get(QUEUES)
    assert {each.name for each in response.context["verbs"]} == {verb}
    url = reverse(f"admin:django_jobs_queue_{verb}")
    for other in {DRAIN, CLEAN, OBLITERATE} - {url}:
        assert client.post(other, {**NAME, "chosen": "yes", "confirmed": "yes", **CHOICES[other]}).status_code == 403
    assert Job.objects.count() == 3
    go(client, url)
    assert Job.objects.count() < 3
