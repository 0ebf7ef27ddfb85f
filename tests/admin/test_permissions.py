"""Who may do what, on every path: anonymous, staff, one who may look, and one for each verb."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from django_jobs.models import Queue
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, WORKERS, job_page, retry_url, selection

pytestmark = pytest.mark.django_db

PAUSE = reverse("admin:django_jobs_queue_pause")
RESUME = reverse("admin:django_jobs_queue_resume")
MODELS = ("job", "queue", "worker")


def pages(job, queue, worker):
    """Return every page that only shows."""
    pks = {"job": job.pk, "queue": queue.pk, "worker": worker}
    details = [
        reverse(f"admin:django_jobs_{model}_{page}", args=[pks[model]])
        for model in MODELS
        for page in ("change", "history")
    ]
    return [JOBS, QUEUES, WORKERS, *details]


def changes(job):
    """Return every POST that would change something."""
    return [
        (retry_url(job), {}),
        (JOBS, selection(job.pk)),
        (JOBS, selection(job.pk, select_across=1)),
        (job_page(job), {**selection(job.pk), "change_form-action": "retry"}),
        (PAUSE, {"name": "default"}),
        (RESUME, {"name": "paused"}),
    ]


def impossible(job, queue, worker):
    """Return what nobody may do: add, delete, change by hand."""
    pks = {"job": job.pk, "queue": queue.pk, "worker": worker}
    added = [reverse(f"admin:django_jobs_{model}_add") for model in MODELS]
    deleted = [reverse(f"admin:django_jobs_{model}_delete", args=[pks[model]]) for model in MODELS]
    changed = [reverse(f"admin:django_jobs_{model}_change", args=[pks[model]]) for model in MODELS]
    return [*added, *deleted, *changed]


@pytest.fixture
def job():
    return rows.put(State.FAILED)


@pytest.fixture
def queue():
    return Queue.objects.create(name="paused", paused=True, paused_at=rows.now())


@pytest.fixture
def worker():
    return rows.worker()


def untouched(job):
    """Tell whether nothing of what `changes` would do has happened."""
    paused = list(Queue.objects.filter(paused=True).values_list("name", flat=True))
    return rows.fresh(job).state == "failed" and paused == ["paused"]


def test_a_stranger_is_sent_to_the_login_from_everywhere(job, queue, worker):
    client = Client()
    responses = [client.get(url) for url in pages(job, queue, worker)]
    responses += [client.get(url) for url, _ in changes(job)]
    responses += [client.post(url, data) for url, data in changes(job)]
    responses += [client.post(url) for url in impossible(job, queue, worker)]
    assert all(each.status_code == 302 and "/login/" in each["Location"] for each in responses)
    assert untouched(job)


def test_staff_without_a_permission_sees_and_does_nothing(staff, job, queue, worker):
    client = staff()
    responses = [client.get(url) for url in pages(job, queue, worker)]
    responses += [client.post(url, data) for url, data in changes(job)]
    responses += [client.post(url) for url in impossible(job, queue, worker)]
    assert {each.status_code for each in responses} == {403}
    assert untouched(job)


def test_staff_without_a_permission_does_not_even_see_the_app(staff):
    assert "django_jobs" not in staff().get(reverse("admin:index")).content.decode()


def test_a_viewer_sees_every_page(viewer, job, queue, worker):
    assert {viewer.get(url).status_code for url in pages(job, queue, worker)} == {200}


def test_a_viewer_changes_nothing(viewer, job, queue, worker):
    for url, data in changes(job):
        viewer.post(url, data)
        viewer.get(url, data)
    assert {viewer.post(url).status_code for url in (retry_url(job), PAUSE, RESUME)} == {403}
    assert viewer.get(JOBS).context["action_form"] is None
    assert untouched(job)


def test_nobody_adds_deletes_or_edits_by_hand(admin_client, job, queue, worker):
    answers = {admin_client.post(url, {"post": "yes"}).status_code for url in impossible(job, queue, worker)}
    assert answers == {403}
    assert untouched(job)


def test_a_permission_for_a_verb_is_worth_nothing_without_sight(staff, job, queue):
    client = staff("retry_job", "pause_queue")
    assert {client.post(url, data).status_code for url, data in changes(job)} == {403}
    assert untouched(job)


def test_each_verb_asks_for_its_own_permission(staff, job, queue):
    client = staff("view_job", "view_queue", "retry_job")
    assert client.post(PAUSE, {"name": "default"}).status_code == 403
    assert untouched(job)
    assert client.post(retry_url(job)).status_code == 302
    assert rows.fresh(job).state == "ready"
    client = staff("view_queue", "pause_queue")
    assert client.post(RESUME, {"name": "paused"}).status_code == 302
    assert not Queue.objects.filter(paused=True).exists()


def test_the_action_of_the_list_is_for_those_who_may_retry(staff, job):
    staff("view_job", "retry_job").post(JOBS, selection(job.pk))
    assert rows.fresh(job).state == "ready"


def test_a_permission_is_there_for_each_verb_and_none_to_add_change_or_delete():
    codenames = Permission.objects.filter(content_type__app_label="django_jobs").values_list("codename", flat=True)
    assert set(codenames) == {
        *("view_job", "view_payload", "cancel_job", "remove_job", "reprioritize_job", "retry_job", "run_now_job"),
        *("view_queue", "pause_queue", "view_worker"),
    }
