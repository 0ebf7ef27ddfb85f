"""What `ps` shows of a process, where the package setproctitle is installed; without it all look like Python."""

try:
    from setproctitle import setproctitle
except ImportError:
    setproctitle = None


def set_title(text: str) -> None:
    """Show a text after the name of the package."""
    if setproctitle is not None:
        setproctitle(f"django_jobs {text}")
