"""Retry all that match: the page says first what will happen, and what the list shows is what is meant."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models.signals import post_save

from django_jobs.admin import job_list, long_work, steering
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions import steering as moves
from tests import rows
from tests.admin.pages import JOBS, Page, all_matching

pytestmark = pytest.mark.django_db

FAILED = f"{JOBS}?state=failed"


def states():
    return sorted(Job.objects.values_list("state", flat=True))


@pytest.mark.parametrize("query", ["state=failed", "queue_name=default", "q=samples", "state=successful"])
def test_a_list_that_is_narrowed_offers_it(admin_client, query):
    rows.put(State.FAILED)
    rows.put(State.SUCCESSFUL)
    assert Page(admin_client.get(f"{JOBS}?{query}")).verbs() == ["retry"]


@pytest.mark.parametrize("query", ["", "state=running", "state=scheduled", "state=cancelled"])
def test_a_list_of_everything_or_of_what_lives_or_of_nothing_does_not(admin_client, query):
    rows.put(State.FAILED)
    rows.put(State.RUNNING)
    assert Page(admin_client.get(f"{JOBS}?{query}")).verbs() == []


def test_nobody_is_offered_what_they_may_not_do(viewer):
    rows.put(State.FAILED)
    assert Page(viewer.get(FAILED)).verbs() == []


def test_the_page_says_how_many_match_and_how_many_can_run_again(admin_client):
    for state in (State.FAILED, State.FAILED, State.RUNNING):
        rows.put(state, queue_name="mail")
    rows.put(State.FAILED)
    page = Page(admin_client.post(f"{JOBS}?queue_name=mail", all_matching()))
    assert "2 of 3 jobs will run again. Only jobs that have ended can." in page.text
    assert "Queue mail" in page.text
    assert states() == ["failed", "failed", "failed", "running"]


def test_the_whole_filtered_list_runs_again_in_steps_once_it_was_confirmed(admin_client, messages, monkeypatch):
    monkeypatch.setattr(moves, "CHUNK", 2)
    monkeypatch.setattr(job_list, "MOST_LISTED", 3)
    for _ in range(5):
        rows.put(State.FAILED)
    rows.put(State.SUCCESSFUL)
    asked = admin_client.post(FAILED, all_matching())
    response = admin_client.post(FAILED, Page(asked).fields(), follow=True)
    assert messages(response) == ["5 of 5 jobs will run again."]
    assert response.redirect_chain == [(FAILED, 302)]
    assert states() == ["ready"] * 5 + ["successful"]


def test_what_lies_beyond_the_reach_of_the_list_is_left(admin_client, monkeypatch):
    monkeypatch.setattr(job_list, "MOST_LISTED", 3)
    oldest, *newest = [rows.put(State.FAILED) for _ in range(4)]
    admin_client.post(f"{JOBS}?queue_name=default", all_matching(confirmed="yes"))
    assert [rows.fresh(job).state for job in (oldest, *newest)] == ["failed", "ready", "ready", "ready"]


def test_the_log_has_one_entry_that_tells_how_many_and_which(admin_client, admin_user):
    for _ in range(3):
        rows.put(State.FAILED)
    admin_client.post(FAILED, all_matching(confirmed="yes"))
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_id, entry.object_repr) == (admin_user, None, "3 jobs")
    assert entry.change_message == "Retry: 3 of 3 jobs will run again. (?state=failed)"


def test_who_began_is_written_down_before_anything_moves(admin_client):
    job = rows.put(State.FAILED)
    written = []

    def look(instance, **kwargs):
        written.append((instance.change_message, rows.fresh(job).state))

    post_save.connect(look, sender=LogEntry)
    try:
        admin_client.post(FAILED, all_matching(confirmed="yes"))
    finally:
        post_save.disconnect(look, sender=LogEntry)
    assert written == [
        ("Retry: ... (?state=failed)", "failed"),
        ("Retry: 1 of 1 job will run again. (?state=failed)", "ready"),
    ]


def test_a_long_one_says_that_it_takes_a_while(admin_client, monkeypatch):
    rows.put(State.FAILED)
    assert "This takes a while" not in Page(admin_client.post(FAILED, all_matching())).text
    monkeypatch.setattr(steering, "MOST_AT_ONCE", 0)
    assert "This takes a while" in Page(admin_client.post(FAILED, all_matching())).text


@pytest.mark.parametrize("verb", ["retry", "cancel", "run_now", "reprioritize", "remove"])
def test_every_verb_asks_before_it_acts_on_all_that_match(admin_client, verb):
    for state in State:
        rows.put(state)
    before = states()
    assert "No, go back" in Page(admin_client.post(JOBS, all_matching(verb))).text
    assert states() == before


def test_the_way_back_leads_to_the_filtered_list(admin_client):
    rows.put(State.FAILED)
    page = Page(admin_client.post(FAILED, all_matching()))
    assert [attrs["href"] for tag, attrs in page.tags if attrs.get("class") == "closelink"] == [FAILED]


def test_long_work_goes_on_from_one_request_to_the_next(admin_client, messages, monkeypatch):
    monkeypatch.setattr(long_work, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(steering, "PAGE", 2)
    for _ in range(5):
        rows.put(State.FAILED)
    asked = admin_client.post(FAILED, all_matching())
    response = admin_client.post(FAILED, Page(asked).fields())
    late = rows.put(State.FAILED)
    told = []
    while "Go on" in (values := [attrs.get("value") for _, attrs in Page(response).tags]):
        told.append(Page(response).text.partition(" Leave this page")[0].rpartition("Retry ")[2])
        assert any(str(attrs.get("src")).endswith("go_on.js") for tag, attrs in Page(response).tags if tag == "script")
        response = admin_client.post(FAILED, Page(response).fields(), follow=True)
    assert told == ["2 of 2 jobs will run again.", "4 of 4 jobs will run again."]
    assert "Go on" not in values
    assert messages(response) == ["5 of 5 jobs will run again."]
    assert states() == ["failed"] + ["ready"] * 5
    assert rows.fresh(late).state == "failed"
    assert [entry.object_repr for entry in LogEntry.objects.order_by("pk")] == ["2 jobs", "2 jobs", "1 jobs"]


def test_what_a_verb_asks_for_is_kept_from_one_request_to_the_next(admin_client, monkeypatch):
    monkeypatch.setattr(long_work, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(steering, "PAGE", 1)
    jobs = [rows.put(), rows.put()]
    asked = admin_client.post(f"{JOBS}?state=ready", all_matching("reprioritize"))
    response = admin_client.post(f"{JOBS}?state=ready", {**Page(asked).fields(), "priority": "7"})
    admin_client.post(f"{JOBS}?state=ready", Page(response).fields())
    assert [rows.fresh(job).priority for job in jobs] == [7, 7]


@pytest.mark.parametrize("sent", [{"after": "x"}, {"moved": "-1"}, {"until": ""}])
def test_a_page_that_was_tampered_with_begins_anew(admin_client, messages, sent):
    rows.put(State.FAILED)
    come = {"until": "0" * 32, "after": "0" * 32, "moved": "3", "chosen": "3", **sent}
    response = admin_client.post(FAILED, all_matching(confirmed="yes", **come), follow=True)
    assert messages(response) == ["1 of 1 job will run again."]
