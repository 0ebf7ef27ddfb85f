"""A site whose pages enqueue jobs."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.testing import samples


def order(request: HttpRequest, name: str) -> HttpResponse:
    with transaction.atomic():
        job = samples.write.enqueue(name)
        seen = samples.effects()
    job.refresh()
    return HttpResponse(f"{', '.join(seen) or 'nothing'}, then {job.state}")


async def aorder(request: HttpRequest, name: str) -> HttpResponse:
    job = await samples.awrite.aenqueue(name)
    await job.arefresh()
    return HttpResponse(str(job.state))


urlpatterns = [path("order/<name>/", order), path("aorder/<name>/", aorder)]
