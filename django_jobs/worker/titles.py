"""What `ps` shows of a process, where the package setproctitle is installed; without it all look like Python."""

from contextlib import suppress


def set_title(text: str) -> None:
    """Show a text after the name of the package."""
    with suppress(ImportError):  # the extra `titles`
        from setproctitle import setproctitle

        setproctitle(f"django_jobs {text}")
