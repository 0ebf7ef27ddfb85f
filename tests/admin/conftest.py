"""Clients of people who may do this or that. Bells are rung into a record: no test here needs a server for them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.bells import transport

__all__ = ["transport"]


@pytest.fixture
def admin_user(db: None) -> User:
    """Somebody who may do everything; without a password, for to hash one takes a second."""
    return User.objects.create_user("admin", is_staff=True, is_superuser=True)


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """Give `staff(*codenames)`, the client of somebody who may enter the admin and has these permissions."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user(f"user{User.objects.count()}", is_staff=True)
        permissions = Permission.objects.filter(content_type__app_label="django_jobs", codename__in=codenames)
        assert len(permissions) == len(codenames)
        user.user_permissions.set(permissions)
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def viewer(staff: Callable[..., Client]) -> Client:
    """The client of somebody who may look at everything and do nothing."""
    return staff("view_job", "view_queue", "view_worker", "view_payload")


@pytest.fixture
def messages() -> Callable[[Any], list[str]]:
    """Give `messages(response)`, what the page that was shown in the end tells the user."""
    return lambda response: [str(message) for message in response.context["messages"]]
