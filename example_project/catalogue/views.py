from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from catalogue.models import Distribution


def catalogue(request: HttpRequest) -> HttpResponse:
    """Show what is installed, the largest first."""
    return render(request, "catalogue/catalogue.html", {"distributions": Distribution.objects.order_by("-lines")})
