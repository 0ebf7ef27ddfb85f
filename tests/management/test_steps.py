"""manage.py jobs and steps: what is done is shown, and a retry may forget it."""

from datetime import timedelta

import pytest

from django_jobs import job
from django_jobs.models import Step
from django_jobs.states import State
from tests import rows

pytestmark = pytest.mark.django_db


@job(name="management.secretive", sensitive=["return"])
def secretive(): ...


def put_with_step(name="samples.note", **fields):
    of = rows.put(State.FAILED, name=name)
    moment = rows.now()
    Step.objects.create(
        job=of, name="charge", attempt=2, started_at=moment - timedelta(seconds=1), finished_at=moment, **fields
    )
    return of


def test_show_tells_of_steps(run, run_json):
    of = put_with_step(result_text='{"receipt":"ü"}', unused=True)
    text = run("jobs", "show", of.pk)
    assert "Step charge: attempt 2, " in text
    assert "not used by the last attempt" in text
    assert '{"receipt": "ü"}' in text
    (step,) = run_json("jobs", "show", of.pk)["steps"]
    assert (step["name"], step["attempt"], step["unused"], step["result"]) == ("charge", 2, True, {"receipt": "ü"})


def test_show_hides_what_a_step_returned_where_the_job_does_so(run):
    of = put_with_step(secretive.name, result_text='"secret"')
    text = run("jobs", "show", of.pk)
    assert '"secret"' not in text
    assert "[hidden]" in text


def test_a_retry_keeps_the_steps_unless_told_to_forget_them(run):
    of, other = put_with_step(), put_with_step()
    run("jobs", "retry", of.pk)
    assert of.steps.count() == 1
    run("jobs", "retry", other.pk, "--reset-steps")
    assert (of.steps.count(), other.steps.count()) == (1, 0)
