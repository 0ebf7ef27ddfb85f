"""A task that can be imported where there are no apps."""

from django_jobs.compat import task


@task
def shout(text):
    return text.upper()
