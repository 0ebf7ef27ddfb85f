"""The code of a later deploy, in which a job is called otherwise."""

from django_jobs import job


@job(name="shop.mail.welcome", aliases=["shop.welcome"])
def welcome(name: str) -> str:
    return f"Welcome, {name}!"
