"""Who may do what, on every path: anonymous, staff, one who may look, and one for each verb.

A page that is added and not listed here fails the first test.
"""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from django_jobs.models import Job, Queue, Worker
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, Page, all_matching, button, job_page, selection

pytestmark = [pytest.mark.django_db, pytest.mark.once]

VERBS = ("retry", "cancel", "run_now", "reprioritize", "remove")
MODELS: dict[str, type[Model]] = {"job": Job, "queue": Queue, "worker": Worker}
SHOWS = [f"{model}_{page}" for model in MODELS for page in ("changelist", "change", "history")]
SHOWS.append("job_report")
# What Django routes for every model and nobody may use here.
IMPOSSIBLE = [f"{model}_{page}" for model in MODELS for page in ("add", "delete")]
# What only answers a POST, with what is sent.
CONFIRMED = {"name": "default", "chosen": "yes", "confirmed": "yes", "state": "failed", "days": 0}
ACTS = {
    "queue_pause": {"name": "default"},
    "queue_resume": {"name": "paused"},
    **dict.fromkeys(("queue_drain", "queue_clean", "queue_obliterate"), CONFIRMED),
}


@pytest.fixture
def job():
    return rows.put(State.FAILED)


@pytest.fixture
def url(job):
    """Give `url(name)`, where a page of that name is; all rows that it may be about are there."""
    queue = Queue.objects.create(name="paused", paused=True, paused_at=rows.now())
    pks = {"job": job.pk, "queue": queue.pk, "worker": rows.worker()}

    def url(name):
        is_about_a_row = name.endswith(("_change", "_history", "_delete", "_report"))
        return reverse(f"admin:django_jobs_{name}", args=[pks[name.partition("_")[0]]] if is_about_a_row else [])

    return url


def attempts(job):
    """Return every POST by which somebody could try a verb on the job."""
    answers = {"confirmed": "yes", "priority": 9}
    for verb in VERBS:
        yield JOBS, selection(job.pk, action=verb, **answers)
        yield f"{JOBS}?state=failed", all_matching(verb, **answers)
        yield button(job, verb, **answers)
        # The buttons that Django puts on the page of a row, where it can.
        yield job_page(job), {**selection(job.pk, action=verb), "change_form-action": verb, "index": 0}


def untouched(job):
    """Tell whether nothing has happened to the job and to the queues."""
    paused = list(Queue.objects.filter(paused=True).values_list("name", flat=True))
    same = Job.objects.filter(pk=job.pk, state="failed", priority=0, cancel_requested=False)
    return same.exists() and paused == ["paused"]


def test_every_page_has_its_place_in_this_list():
    routes = [route.name for model in MODELS.values() for route in admin.site.get_model_admin(model).get_urls()]
    names = {name.removeprefix("django_jobs_") for name in routes if name is not None}
    assert names == {*SHOWS, *IMPOSSIBLE, *ACTS}
    # The nameless one leads from an old address of a row to its page.
    assert routes.count(None) == len(MODELS)


@pytest.mark.parametrize("name", [*SHOWS, *IMPOSSIBLE, *ACTS])
def test_a_stranger_is_sent_to_the_login(url, job, name):
    client = Client()
    for response in (client.get(url(name)), client.post(url(name), ACTS.get(name, {}))):
        assert response.status_code == 302
        assert "/login/" in response["Location"]
    assert untouched(job)


@pytest.mark.parametrize("name", [*SHOWS, *IMPOSSIBLE, *ACTS])
def test_staff_without_a_permission_sees_and_does_nothing(staff, url, job, name):
    client = staff()
    # To be told that only POST is answered gives nothing away.
    assert client.get(url(name)).status_code == (405 if name in ACTS else 403)
    assert client.post(url(name), ACTS.get(name, {})).status_code == 403
    assert untouched(job)


@pytest.mark.parametrize("name", SHOWS)
def test_a_viewer_sees_every_page_and_changes_nothing_there(viewer, url, job, name):
    assert viewer.get(url(name)).status_code == 200
    viewer.post(url(name), {"name": "other", "state": "ready"})
    assert untouched(job)


@pytest.mark.parametrize("name", ACTS)
def test_a_viewer_acts_nowhere(viewer, url, job, name):
    assert viewer.get(url(name), ACTS[name]).status_code == 405
    assert viewer.post(url(name), ACTS[name]).status_code == 403
    assert untouched(job)


@pytest.mark.parametrize("name", [*IMPOSSIBLE, *(f"{model}_change" for model in MODELS)])
def test_nobody_adds_deletes_or_edits_by_hand(admin_client, url, job, name):
    assert admin_client.post(url(name), {"post": "yes", "name": "other"}).status_code == 403
    assert untouched(job)


@pytest.mark.parametrize("name", ACTS)
def test_to_look_never_acts(admin_client, url, job, name):
    assert admin_client.get(url(name), ACTS[name]).status_code == 405
    assert untouched(job)


def test_no_verb_is_done_by_a_stranger_or_by_staff_without_sight(staff, url, job):
    for client in (Client(), staff(), staff(*(f"{verb}_job" for verb in VERBS))):
        assert {client.post(*attempt).status_code for attempt in attempts(job)} <= {302, 403}
        assert untouched(job)


def test_no_verb_is_done_by_a_viewer(viewer, url, job):
    for place, data in attempts(job):
        viewer.post(place, data)
        viewer.get(place, data)
        assert untouched(job)
    assert viewer.get(JOBS).context["action_form"] is None


def test_no_verb_is_done_by_looking(admin_client, url, job):
    for place, data in attempts(job):
        admin_client.get(place, data)
        assert untouched(job)


@pytest.mark.parametrize("missing", VERBS)
def test_each_verb_asks_for_its_own_permission(staff, url, job, missing):
    client = staff("view_job", *(f"{verb}_job" for verb in VERBS if verb != missing))
    for place, data in attempts(job):
        if missing in (data["action"], data.get("change_form-action")):
            client.post(place, data)
    assert untouched(job)
    assert missing not in Page(client.get(job_page(job))).verbs()
    assert missing not in dict(client.get(JOBS).context["action_form"].fields["action"].choices)


def test_the_verb_is_done_by_who_has_its_permission(staff, url, job):
    staff("view_job", "retry_job").post(JOBS, selection(job.pk))
    assert rows.fresh(job).state == "ready"


def test_to_pause_and_to_resume_is_for_those_who_may(staff, url, job):
    client = staff("view_queue", "pause_queue")
    assert client.post(url("queue_resume"), {"name": "paused"}).status_code == 302
    assert client.post(url("queue_pause"), {"name": "default"}).status_code == 302
    assert list(Queue.objects.filter(paused=True).values_list("name", flat=True)) == ["default"]


def test_staff_without_a_permission_does_not_even_see_the_app(staff):
    assert "django_jobs" not in staff().get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("lookup", ["arguments__contains=secret", "result_text__startswith=x", "attempts__message=x"])
def test_a_list_cannot_be_asked_about_columns_that_the_user_may_not_see(viewer, lookup):
    assert viewer.get(f"{JOBS}?{lookup}").status_code == 400


def test_a_permission_is_there_for_each_verb_and_none_to_add_change_or_delete():
    codenames = Permission.objects.filter(content_type__app_label="django_jobs").values_list("codename", flat=True)
    assert set(codenames) == {
        *("view_job", "view_payload", "cancel_job", "remove_job", "reprioritize_job", "retry_job", "run_now_job"),
        *("view_queue", "pause_queue", "drain_queue", "clean_queue", "obliterate_queue"),
        *("view_worker", "quiet_worker", "stop_worker", "resize_worker"),
    }
