"""What the page of a job and `jobs show` tell of a deduplication key."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from django_jobs import Deduplicate
from django_jobs.models import Job
from tests.rows import claim_one
from tests.samples import note

pytestmark = pytest.mark.django_db(transaction=True)

KEEPS_LAST = note.using(deduplicate=Deduplicate(key="<b>feed</b>", keep_last=True))


def running_and_waiting() -> tuple[Job, Job]:
    first = KEEPS_LAST.enqueue(1)
    KEEPS_LAST.enqueue(2)
    claim_one(first)
    return first, KEEPS_LAST.enqueue(3)


def test_the_page_shows_key_mode_and_count_and_leads_to_the_other_job(admin_client, transport):
    first, follow_up = running_and_waiting()
    for one, other in ((first, follow_up), (follow_up, first)):
        page = admin_client.get(reverse("admin:django_jobs_job_change", args=[one.pk])).content.decode()
        assert reverse("admin:django_jobs_job_change", args=[other.pk]) in page
        assert "keep_last" in page
        assert "&lt;b&gt;feed&lt;/b&gt;" in page
        assert "<b>feed</b>" not in page


def test_the_command_tells_the_same(transport):
    first, follow_up = running_and_waiting()
    shown = []
    for one in (first, follow_up):
        output = StringIO()
        call_command("jobs", "show", str(one.pk), "--json", stdout=output)
        shown.append(json.loads(output.getvalue()))
    assert [(each["waits_for"], each["follow_up"]) for each in shown] == [
        (None, str(follow_up.pk)),
        (str(first.pk), None),
    ]
    assert [each["duplicates"] for each in shown] == [1, 0]
    assert {each["deduplication_mode"] for each in shown} == {"keep_last"}
