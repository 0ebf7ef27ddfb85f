"""An operator steers real workers from their list: quiet, another concurrency, restart, stop."""

import pytest

from django_jobs.models import Worker
from tests.browser.test_screens import keep_picture
from tests.browser.visits import WORKERS
from tests.project.jobs import add
from tests.waiting import wait_until
from tests.worker.watching import end_of, living_workers

pytestmark = pytest.mark.django_db(transaction=True)


def choose(visit, verb):
    """Tick the first worker and choose what is asked of it."""
    visit.open(WORKERS)
    visit.page.locator("input[name=_selected_action]").first.check()
    visit.page.get_by_label("Action:").select_option(verb)
    visit.press("Go" if visit.page.get_by_role("button", name="Go", exact=True).count() else "Run")


def shown_state(visit):
    visit.open(WORKERS)
    return visit.page.locator("#result_list .jobs-badge").first.inner_text()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_worker_is_steered_from_the_list(visit, operator, start_workers, has_scripts):
    workers = start_workers(environment={"DJANGO_ALLOW_ASYNC_UNSAFE": ""})
    (worker,) = living_workers()
    visit = visit(operator, java_script_enabled=has_scripts)
    choose(visit, "quiet")
    assert visit.message() == "Quiet: take nothing new: 1 worker hears of it."
    assert shown_state(visit) == "Quiet"
    keep_picture(visit.page, "workers-quiet")
    choose(visit, "resume")
    assert shown_state(visit) == "Alive"
    assert end_of(add.enqueue(1, 1)).result == 2

    choose(visit, "resize")
    visit.page.get_by_label("Jobs at once:").fill("3")
    keep_picture(visit.page, "workers-resize")
    visit.press("Change concurrency (1)")
    assert Worker.objects.get(pk=worker.pk).concurrency == 3

    choose(visit, "restart")
    visit.press("Restart (1)")
    wait_until(lambda: not Worker.objects.filter(pk=worker.pk, dead_at=None).exists(), what="the end of the worker")
    (successor,) = living_workers()
    assert (successor.pid != worker.pid, successor.concurrency) == (True, 3)

    choose(visit, "stop")
    assert "nobody takes their places" in visit.page.locator("#content").inner_text()
    keep_picture(visit.page, "workers-stop")
    visit.follow("No, go back")
    assert fresh_wish(successor) == ""
    Worker.objects.exclude(dead_at=None).delete()
    choose(visit, "stop")
    visit.press("Stop (1)")
    assert fresh_wish(successor) == "stop"
    assert workers.wait() == 0


def fresh_wish(worker):
    return Worker.objects.get(pk=worker.pk).asked_to
