"""Pages of the admin: where they are, what they show to a reader and to a browser."""

from collections import Counter
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

from django.urls import reverse

JOBS = reverse("admin:django_jobs_job_changelist")
QUEUES = reverse("admin:django_jobs_queue_changelist")
WORKERS = reverse("admin:django_jobs_worker_changelist")


def job_page(job: Any) -> str:
    return reverse("admin:django_jobs_job_change", args=[getattr(job, "pk", job)])


def button(job: Any, verb: str = "retry", **others: Any) -> tuple[str, dict[str, Any]]:
    """Return where a button on the page of a job sends to, and what."""
    data = {"action": verb, "_selected_action": str(job.pk), "from_page": "yes", **others}
    return f"{JOBS}?q={job.pk}", data


def selection(*ids: UUID, action: str = "retry", **others: Any) -> dict[str, Any]:
    """Return what the list's form sends when these rows are ticked."""
    return {"action": action, "_selected_action": [str(each) for each in ids], "index": 0, **others}


def all_matching(action: str = "retry", **others: Any) -> dict[str, Any]:
    """Return what is sent when all that the list's filters match are meant."""
    return {"action": action, "_selected_action": "all", "select_across": "1", **others}


class Page(HTMLParser):
    """What a browser would make of a response: its tags with attributes, its text, the cells of its table."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.cells: list[list[str]] = []
        self.in_cell = False
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(response.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and self.cells:
            self.cells[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)
        if self.in_cell:
            self.cells[-1][-1] = " ".join(f"{self.cells[-1][-1]}{data}".split())

    @property
    def text(self) -> str:
        """All text, white space as a reader sees it."""
        return " ".join("".join(self.pieces).split())

    def forms(self) -> list[str]:
        """Return where the page's forms of ours send to; an empty text for the page itself."""
        return [
            attrs.get("action") or "" for tag, attrs in self.tags if tag == "form" and attrs.get("class") == "jobs-verb"
        ]

    def verbs(self) -> list[str]:
        """Return the verbs that the page has a button for."""
        return [attrs["value"] or "" for tag, attrs in self.tags if tag == "button" and attrs.get("name") == "action"]

    def fields(self) -> dict[str, list[str]]:
        """Return what the page's inputs would send, by name."""
        sent: dict[str, list[str]] = {}
        for tag, attrs in self.tags:
            if tag == "input" and attrs.get("name"):
                sent.setdefault(str(attrs["name"]), []).append(attrs.get("value") or "")
        return sent

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if "href" in attrs]

    def shape(self) -> Counter[tuple[str, ...]]:
        """Return how often each tag is there with each set of attributes: what a text must not change."""
        return Counter((tag, *sorted(attrs)) for tag, attrs in self.tags)
