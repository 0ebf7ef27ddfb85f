"""Long work is done in several requests, each of which ends within seconds and leaves what it did done."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import Promise

# No server should cut off a request that answers after so long.
MOST_SECONDS = 5.0


def go_on(
    page: "admin.ModelAdmin[Any]",
    request: HttpRequest,
    *,
    title: str | Promise,
    told: str,
    kept: Sequence[tuple[str, object]],
    back: str,
) -> HttpResponse:
    """Return the page that tells how far it is, and asks for the next part by itself, or with its button."""
    request.current_app = page.admin_site.name
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "media": page.media,
        "told": told,
        "kept": kept,
        "back": back,
    }
    return TemplateResponse(request, "admin/django_jobs/go_on.html", context)
