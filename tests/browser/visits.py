"""What somebody does in the admin, and what the pages must not do."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.urls import reverse

from django_jobs.models import Job
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Response

JOBS = reverse("admin:django_jobs_job_changelist")
QUEUES = reverse("admin:django_jobs_queue_changelist")
WORKERS = reverse("admin:django_jobs_worker_changelist")
# The browser asks for it by itself; whether there is one is the project's business.
NOT_OURS = "/favicon.ico"
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
    reportViolation(`${event.effectiveDirective} ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`));
"""


def job_page(job: Job) -> str:
    return reverse("admin:django_jobs_job_change", args=[job.pk])


class Visit:
    """One window. It remembers every complaint: of the policy, of scripts, of the network."""

    def __init__(self, context: "BrowserContext", home: str) -> None:
        self._home = home
        self._complaints: list[str] = []
        context.set_default_timeout(10_000)
        context.expose_function("reportViolation", self._complain)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("console", self._on_console)
        context.on("weberror", lambda each: self._complain(f"script: {each.error}"))
        self.page: Page = context.new_page()

    def complaints(self) -> list[str]:
        """Return what was complained of so far, and forget it."""
        # A round trip, after which what was on its way has arrived.
        self.page.title()
        complaints, self._complaints = self._complaints, []
        return complaints

    def open(self, place: str) -> None:
        self.page.goto(place)

    def press(self, name: str, within: "Locator | None" = None) -> None:
        """Press a button, and wait until the page that comes is there."""
        with self.page.expect_navigation():
            (within or self.page).get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str, within: "Locator | None" = None) -> None:
        """Follow a link, and wait until the page is there."""
        with self.page.expect_navigation():
            (within or self.page).get_by_role("link", name=name, exact=True).first.click()

    def row(self, text: str) -> "Locator":
        """Return the row of the list that has this text."""
        return self.page.get_by_role("row").filter(has_text=text)

    def message(self) -> str:
        """Return what the page tells the user, which is one thing."""
        return self.page.locator(".messagelist li").inner_text()

    def buttons(self) -> list[str]:
        """Return the names of the buttons of the page's content."""
        texts = self.page.locator("#content button, #content input[type=submit]").evaluate_all(
            "(all) => all.map((each) => each.innerText || each.value)"
        )
        return [str(each) for each in texts]

    def reload_until(self, state: str) -> None:
        """Reload the page of a job until it shows this state."""

        def shown() -> Any:
            self.page.reload()
            return self.page.locator(".jobs-badge").first.inner_text() == state

        wait_until(shown, what=f"the state {state!r} on {self.page.url}")

    def _complain(self, text: str) -> None:
        self._complaints.append(text)

    def _on_request(self, request: "Request") -> None:
        if not request.url.startswith((self._home, "data:")):
            self._complain(f"asks elsewhere: {request.url}")

    def _on_response(self, response: "Response") -> None:
        if response.status >= 400 and urlsplit(response.url).path != NOT_OURS:
            self._complain(f"status {response.status}: {response.url}")

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning") and not message.location["url"].endswith(NOT_OURS):
            self._complain(f"console: {message.text}")
