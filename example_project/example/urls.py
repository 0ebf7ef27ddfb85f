"""The catalogue at /, the admin beside it."""

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

from catalogue.views import catalogue

urlpatterns = [
    path("", catalogue),
    path("admin/", admin.site.urls),
    # Browsers ask for it; without an answer each page would log an error.
    path("favicon.ico", lambda request: HttpResponse(status=204)),
]
