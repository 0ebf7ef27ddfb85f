"""A real browser, a real server, real workers. Without a browser these tests are skipped, loudly; in CI they fail."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from tests.browser.visits import Visit
from tests.conftest import StartWorkers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PASSWORD = "only for tests"
MISSING = pytest.StashKey[str]()


def missing() -> str:
    """Return what must be installed before a browser can be started, or an empty text."""
    try:
        import axe_playwright_python  # noqa: F401
        import playwright.sync_api  # noqa: F401
        import unfold  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed: pip install --group browser"
    return "" if shutil.which("chromium") else "Chromium is not installed: on Debian, apt install chromium"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if MISSING in config.stash:
        terminalreporter.section("THE BROWSER TESTS DID NOT RUN", red=True, bold=True)
        terminalreporter.line(config.stash[MISSING], red=True)
        terminalreporter.line("Nobody has clicked through the admin; with CI set this is a failure.", red=True)


@pytest.fixture(scope="module")
def group(pytestconfig: pytest.Config) -> None:
    """Require what the dependency group of the same name as this folder brings, and the browser."""
    if why := missing():
        if os.environ.get("CI"):
            pytest.fail(f"CI is set, so the browser tests must run. {why}", pytrace=False)
        pytestconfig.stash[MISSING] = why
        pytest.skip(why)


@pytest.fixture(scope="module")
def browser(group: None) -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, on a greenlet of its own. Django sees that there is one and
        # would refuse to ask the database, though nothing of ours runs on it.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: "Browser", live_server: LiveServer, settings: Any) -> Iterator[Callable[..., Visit]]:
    """Give `visit(user=None, **options)`, a new window, in which this user is logged in.

    At the end no page may have complained: of the security policy, of a script, of a file that is not there.
    """
    # The real ones take a second each.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    visits = []
    with ExitStack() as ends:

        def visit(user: User | None = None, **options: Any) -> Visit:
            context = browser.new_context(base_url=live_server.url, **options)
            ends.callback(context.close)
            if user is not None:
                client = Client()
                client.force_login(user)
                name = settings.SESSION_COOKIE_NAME
                context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
            visits.append(Visit(context, live_server.url))
            return visits[-1]

        yield visit
        assert [each for visit in visits for each in visit.complaints()] == []


@pytest.fixture
def admin(transactional_db: None, settings: Any) -> User:
    """Somebody who may do everything."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return User.objects.create_superuser("admin", password=PASSWORD)


@pytest.fixture
def operator(transactional_db: None) -> User:
    """Somebody who may do everything with jobs, and nothing else."""
    return staff("operator", "")


@pytest.fixture
def viewer(transactional_db: None) -> User:
    """Somebody who may look at everything and do nothing."""
    return staff("viewer", "view_")


def staff(name: str, permissions: str) -> User:
    """Make somebody who may enter the admin and has those permissions that begin so."""
    user = User.objects.create_user(name, is_staff=True)
    ours = Permission.objects.filter(content_type__app_label="django_jobs", codename__startswith=permissions)
    user.user_permissions.set(ours)
    return user


@pytest.fixture
def workers(start_workers: StartWorkers) -> None:
    """Real workers, for whom the exception that is made for the browser does not hold."""
    start_workers(environment={"DJANGO_ALLOW_ASYNC_UNSAFE": ""})
