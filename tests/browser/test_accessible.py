"""The pages can be used by people who do not see them, who see little, or who have no mouse."""

from typing import Any

import pytest

from django_jobs.models import Attempt, Job, LogLine, Report
from django_jobs.models.report import line_text
from django_jobs.states import State
from tests import rows
from tests.admin.every_page import put_rows
from tests.browser.visits import JOBS, QUEUES, WORKERS, Visit, job_page

pytestmark = pytest.mark.django_db(transaction=True)

# Django's own: a box whose label is a picture with a text, and in Django 5.2 links that only their colour tells.
OF_DJANGO = ["#searchbar", ".breadcrumbs"]


def violations(visit: Visit) -> list[str]:
    """Return what axe-core says of the whole page, with all that can be opened open."""
    # Not at the head: where it is not installed, this module is still collected, and its tests are skipped.
    from axe_playwright_python.sync_playwright import Axe

    visit.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert visit.complaints() == []
    found = Axe().run(visit.page, {"exclude": OF_DJANGO}).response["violations"]
    # It tries styles, which the security policy refuses.
    visit.complaints()
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(visit, admin, scheme):
    put = put_rows()
    lines = "\n".join(f"line {number}" for number in range(100))
    Attempt.objects.create(job=put.jobs["failed"], number=6, outcome="failed", finished_at=rows.now(), traceback=lines)
    log = "\n".join(line_text(LogLine(1, rows.now(), f"line {number}")) for number in range(100))
    Report.objects.filter(job=put.jobs["running"]).update(log_text=log)
    visit = visit(admin, color_scheme=scheme)
    places = [JOBS, f"{JOBS}?state=failed", QUEUES, WORKERS, *map(job_page, put.jobs.values())]
    for place in places:
        visit.open(place)
        assert violations(visit) == [], place


def test_axe_finds_nothing_on_the_pages_that_ask(visit, admin):
    put = put_rows()
    visit = visit(admin)
    for name in ("Change priority…", "Cancel…", "Remove…"):
        visit.open(job_page(put.jobs["ready"]))
        visit.press(name)
        assert violations(visit) == [], name
    for name in ("Drain…", "Clean…", "Obliterate…"):
        visit.open(QUEUES)
        visit.press(name, visit.row("mail"))
        assert violations(visit) == [], name
        visit.press("Count them")
        assert violations(visit) == [], f"{name}, counted"


def test_a_job_is_cancelled_without_a_mouse(visit, admin):
    job = rows.put()
    page = (visit := visit(admin)).page
    visit.open(job_page(job))
    reach(page, "Cancel…")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    reach(page, "Reason")
    page.keyboard.type("by keyboard")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert Job.objects.get(pk=job.pk).state == State.CANCELLED


def reach(page: Any, name: str) -> None:
    """Press the tabulator until what has this name has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        told = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent")
        if told.strip().rstrip(":") == name:
            assert page.evaluate("document.activeElement.matches(':focus-visible')")
            return
    pytest.fail(f"{name!r} cannot be reached by the tabulator.")
