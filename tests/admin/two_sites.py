"""URLs of a project that shows the jobs in an admin site of its own, beside the usual one."""

from django.contrib import admin
from django.urls import path

from django_jobs.admin import JobAdmin, QueueAdmin, WorkerAdmin
from django_jobs.models import Job, Queue, Worker

site = admin.AdminSite(name="operations")
site.register(Job, JobAdmin)
site.register(Queue, QueueAdmin)
site.register(Worker, WorkerAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("operations/", site.urls)]
