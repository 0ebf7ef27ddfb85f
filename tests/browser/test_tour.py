"""The tour of somebody on call: a job failed, a queue must rest. Everything under the strictest security policy."""

import pytest

from django_jobs.models import Job
from django_jobs.states import State
from tests.browser.conftest import PASSWORD
from tests.browser.visits import JOBS, QUEUES, WORKERS, job_page
from tests.project.jobs import add, leave_effect_async, read
from tests.rows import fresh
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def ends(job, state):
    wait_until(lambda: fresh(job).state == state, what=f"the state {state} of {job.name}")


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_failed_job_is_found_read_retried_and_succeeds(visit, admin, workers, tmp_path, has_scripts):
    job = read.enqueue(str(tmp_path / "report.txt"))
    ends(job, State.FAILED)
    visit = visit(java_script_enabled=has_scripts)

    visit.open(JOBS)
    visit.page.get_by_label("Username:").fill("admin")
    visit.page.get_by_label("Password:").fill(PASSWORD)
    visit.press("Log in")
    visit.follow("Failed")
    visit.follow(job.name)
    attempt = visit.page.locator("details", has_text="FileNotFoundError").first
    assert "report.txt" in attempt.locator("pre").inner_text()

    (tmp_path / "report.txt").write_text("All is well.")
    visit.press("Retry")
    assert visit.message() == "1 of 1 job will run again."
    visit.reload_until("Successful")
    assert "All is well." in visit.page.locator("#content").inner_text()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without scripts"])
def test_several_jobs_are_retried_from_the_list(visit, admin, workers, tmp_path, has_scripts):
    jobs = [read.enqueue(str(tmp_path / "report.txt")) for _ in range(3)]
    for job in jobs:
        ends(job, State.FAILED)
    (tmp_path / "report.txt").write_text("All is well.")

    visit = visit(admin, java_script_enabled=has_scripts)
    visit.open(JOBS)
    for box in visit.page.locator("input[name=_selected_action]").all()[:2]:
        box.check()
    visit.page.get_by_label("Action:").select_option("retry")
    visit.press("Go" if visit.page.get_by_role("button", name="Go", exact=True).count() else "Run")
    assert visit.message() == "2 of 2 jobs will run again."
    wait_until(lambda: Job.objects.successful().count() == 2, what="the success of two jobs")
    assert Job.objects.failed().count() == 1


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without scripts"])
def test_jobs_of_a_queue_wait_while_it_is_paused(visit, admin, workers, has_scripts):
    visit = visit(admin, java_script_enabled=has_scripts)
    visit.open(QUEUES)
    visit.press("Pause", visit.row("mail"))
    assert "is paused; running jobs finish." in visit.message()

    waiting = leave_effect_async.enqueue()
    # Later than it, and in a queue that goes on.
    for _ in range(3):
        ends(add.enqueue(1, 1), State.SUCCESSFUL)
    visit.open(job_page(waiting))
    assert visit.page.locator(".jobs-badge").first.inner_text() == "Ready"
    visit.open(QUEUES)
    assert "Paused since" in visit.row("mail").inner_text()

    visit.press("Resume", visit.row("mail"))
    assert "goes on." in visit.message()
    visit.open(job_page(waiting))
    visit.reload_until("Successful")


def test_a_job_is_retried_by_the_keyboard_alone(visit, admin, workers, tmp_path):
    job = read.enqueue(str(tmp_path / "report.txt"))
    ends(job, State.FAILED)
    (tmp_path / "report.txt").write_text("All is well.")
    visit = visit(admin)
    visit.open(job_page(job))
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.innerText.trim()").lower() == "retry":
            break
    else:
        pytest.fail("The button is not reached by Tab.")
    outline = "(({outlineStyle, outlineWidth}) => outlineStyle != 'none' && parseFloat(outlineWidth) > 0)"
    assert visit.page.evaluate(f"{outline}(getComputedStyle(document.activeElement))"), "The focus cannot be seen."
    with visit.page.expect_navigation():
        visit.page.keyboard.press("Enter")
    visit.reload_until("Successful")


def test_who_may_only_look_sees_no_buttons(visit, viewer, admin, workers, tmp_path):
    job = read.enqueue(str(tmp_path / "report.txt"))
    ends(job, State.FAILED)
    looking, acting = visit(viewer), visit(admin)
    for place in (job_page(job), JOBS, QUEUES, WORKERS):
        looking.open(place)
        assert set(looking.buttons()) <= {"Search"}, place
    looking.open(job_page(job))
    assert "FileNotFoundError" in looking.page.locator("#content").inner_text()
    # The same question finds those of somebody who may.
    for place in (job_page(job), JOBS, QUEUES):
        acting.open(place)
        assert not set(acting.buttons()) <= {"Search"}, place


def test_an_inline_script_would_be_noticed(visit, admin):
    visit = visit(admin)
    visit.open(JOBS)
    visit.page.evaluate("document.head.append(Object.assign(document.createElement('script'), {text: '1'}))")
    visit.page.evaluate("document.body.setAttribute('style', 'color: red')")
    complaints = visit.complaints()
    assert any(each.startswith("script-src-elem inline") for each in complaints), complaints
    assert any(each.startswith("style-src-attr inline") for each in complaints), complaints
