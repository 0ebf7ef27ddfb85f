"""Views as projects have them: business data, and a job about it."""

from uuid import uuid4

from django.db import transaction
from django.http import HttpRequest, JsonResponse

from tests.project.jobs import add
from tests.project.models import Effect


def order(request: HttpRequest) -> JsonResponse:
    """Store business data and a job, and fail afterwards if asked to."""
    effect = Effect.objects.create(job_id=uuid4())
    job = add.enqueue(effect.pk, 1)
    if "fail" in request.GET:
        raise RuntimeError("The view failed.")
    return JsonResponse({"job": str(job.pk)})


@transaction.non_atomic_requests
def order_without_a_transaction(request: HttpRequest) -> JsonResponse:
    return order(request)
