"""Workers are steered from the list: each verb with its permission, and a question before what ends one."""

import pytest
from django.contrib.admin.models import LogEntry

from django_jobs.models import Worker
from tests import rows
from tests.admin.pages import WORKERS, Page, selection

pytestmark = pytest.mark.django_db

QUIET = {"view_worker", "quiet_worker"}
VERBS = {"quiet": "quiet_worker", "resume": "quiet_worker", "resize": "resize_worker"}
VERBS |= {"restart": "stop_worker", "stop": "stop_worker"}


def living(**fields):
    return rows.worker(supervisor_pid=1, **fields)


def asked(worker):
    return Worker.objects.values_list("quiet", "asked_to", "concurrency").get(pk=worker)


def test_a_worker_is_made_quiet_and_resumes_without_a_question(staff, messages):
    client, worker, other = staff(*QUIET), living(), living()
    response = client.post(WORKERS, selection(worker, action="quiet"), follow=True)
    assert messages(response) == ["Quiet: take nothing new: 1 worker hears of it."]
    assert (asked(worker)[0], asked(other)[0]) == (True, False)
    assert "Quiet" in Page(client.get(WORKERS)).text
    client.post(WORKERS, selection(worker, action="resume"))
    assert not asked(worker)[0]
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize(("verb", "badge"), [("stop", "Stopping"), ("restart", "Restarting")])
def test_what_ends_a_process_is_asked_before_it_is_done(staff, messages, verb, badge):
    client, worker = staff("view_worker", "stop_worker"), living(host="web1", pid=4711)
    page = Page(client.post(WORKERS, selection(worker, action=verb)))
    assert asked(worker)[1] == ""
    assert "web1:4711" in page.text
    response = client.post(WORKERS, page.fields() | {"index": 0}, follow=True)
    assert asked(worker)[1] == verb
    assert "1 worker hears of it." in messages(response)[0]
    assert badge in Page(response).text
    assert "1 worker hears of it." in LogEntry.objects.get().change_message


def test_another_concurrency_is_asked_for_and_checked(staff):
    client, worker = staff("view_worker", "resize_worker"), living()
    fields = Page(client.post(WORKERS, selection(worker, action="resize"))).fields() | {"index": 0}
    page = Page(client.post(WORKERS, fields | {"concurrency": 1001}))
    assert "Ensure this value is less than or equal to 1000." in page.text
    assert asked(worker)[2] == 1
    client.post(WORKERS, fields | {"concurrency": 20})
    assert asked(worker)[2] == 20


@pytest.mark.parametrize("verb", VERBS)
def test_who_lacks_the_permission_of_a_verb_is_not_offered_it_and_cannot_use_it(staff, verb):
    client, worker = staff("view_worker", *(set(VERBS.values()) - {VERBS[verb]})), living()
    offered = {attrs.get("value") for tag, attrs in Page(client.get(WORKERS)).tags if tag == "option"}
    assert verb not in offered
    before = asked(worker)
    client.post(WORKERS, selection(worker, action=verb, confirmed="yes", concurrency=5))
    assert asked(worker) == before


def test_the_dead_and_those_without_a_supervisor_are_told_nothing(staff, messages):
    client, dead, by_hand = staff(*QUIET), living(dead_at=rows.now()), rows.worker(supervisor_pid=0)
    response = client.post(WORKERS, selection(dead, by_hand, action="quiet"), follow=True)
    assert messages(response) == ["None of these workers is alive to hear it."]
    response = client.post(WORKERS, selection(dead, living(), action="quiet"), follow=True)
    assert messages(response) == [
        "Quiet: take nothing new: 1 worker hears of it. The others had been told before, or do not live."
    ]
