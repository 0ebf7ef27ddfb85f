"""The list of jobs, the page of one, and "run it again"."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import _StrOrPromise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from django_jobs.admin import audit, formatting
from django_jobs.admin.read_only import ReadOnlyAdmin
from django_jobs.handles import queues
from django_jobs.lifecycle import control
from django_jobs.models import Job, JobQuerySet

# The newest; a job may have had thousands.
MOST_ATTEMPTS = 50
