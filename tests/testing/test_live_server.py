"""A live server enqueues in threads of its own; the test's thread runs what it has committed."""

from urllib.request import urlopen

from django.test import LiveServerTestCase, override_settings

from django_jobs.testing import JobsTestMixin
from tests.testing import samples
from tests.testing.samples import effects
from tests.testing.test_draining import OPTIONS


@override_settings(DJANGO_JOBS=OPTIONS, ROOT_URLCONF="tests.testing.site")
class TestWithALiveServer(JobsTestMixin, LiveServerTestCase):
    def get(self, path):
        with urlopen(f"{self.live_server_url}{path}", timeout=60) as answer:  # noqa: S310 (our own server)
            return answer.read().decode()

    def test_what_a_page_has_enqueued_is_drained_by_the_test(self):
        assert self.get("/order/a/") == "nothing, then ready"
        self.assertEnqueued(samples.write, "a")
        self.drain_jobs(raise_errors=True)
        assert effects() == ["a"]

    def test_immediately_it_has_run_before_the_page_is_there(self):
        self.run_jobs_immediately(raise_errors=True)
        assert self.get("/order/a/") == "nothing, then successful"
        assert self.get("/aorder/b/") == "successful"
        assert self.get("/order/c/") == "a, b, then successful"
        assert effects() == ["a", "b", "c"]

    def test_captured_are_the_jobs_of_all_threads(self):
        jobs = self.capture_jobs()
        self.get("/order/a/")
        assert [job.args for job in jobs] == [["a"]]

    def test_a_frozen_clock_is_that_of_the_server_too(self):
        clock = self.freeze_clock()
        jobs = self.capture_jobs()
        self.get("/order/a/")
        clock.move(60)
        self.get("/order/b/")
        assert [(clock.now() - job.enqueued_at).total_seconds() for job in jobs] == [60, 0]
