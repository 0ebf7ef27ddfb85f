"""What only a worker of the next release knows."""

from django_jobs import job


@job(name="newer.greet")
def greet(name: str) -> str:
    return f"Hello, {name}."
